"""Tasks in a chain: each one's rows stream into the next."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from limbeck._step import required_columns
from limbeck._task.grouping import METADATA, MODEL_NAME
from limbeck.errors import MissingColumnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from limbeck._engine.run import RowStream
    from limbeck._engine.stats import RunStats
    from limbeck.types import Row


class Chain:
    """Rows on their way through several tasks; iterate over it for what comes out.

    A fault at one place (a broken line, a refused key) lets what went past it finish: what is
    already paid for comes out, and then `error` holds the first cause.

    Args:
        tasks: in order. rows: for the first of them. start: has a task run over rows.

    Attributes:
        tasks: in order.
        error: what ended it early, or None; known once it is exhausted.
    """

    def __init__(
        self, tasks: Sequence[Any], rows: Iterable[Row], start: Callable[[Any, Iterator[Any]], RowStream]
    ) -> None:
        self.tasks = tasks
        self.error: Exception | None = None
        self._streams: list[RowStream] = []
        source: Iterator[Any] = self._up_to_a_fault(rows)
        try:
            for task in tasks:
                stream = start(task, source)
                self._streams.append(stream)
                source = self._up_to_a_fault(stream.identified())
        except BaseException:
            self.close()
            raise
        self._rows = self._up_to_a_fault(stream)

    def _up_to_a_fault(self, rows: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from rows
        except Exception as exc:  # noqa: BLE001 - kept for `error`; raised at once it would cost the answers under way
            self.error = self.error or exc

    @property
    def stats(self) -> list[RunStats]:
        """Each task's counters, live."""
        return [stream.stats for stream in self._streams]

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def stop(self) -> None:
        """Ask no more, anywhere; what is done can still be taken. Safe in a signal handler."""
        for stream in reversed(self._streams):
            stream.stop()

    def close(self) -> None:
        """Stop, and wait until what is on its way to disk is there."""
        self.stop()
        for stream in self._streams:
            stream.close()


class Interrupt:
    """While it is open, the first Ctrl-C or SIGTERM stops a chain, and a second one ends the process at once.

    Attributes:
        happened: which of them came first, or None.
    """

    def __init__(self, chain: Chain) -> None:
        self.happened: signal.Signals | None = None
        self._chain = chain
        self._old: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may set a handler
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as in a shell's background job
                    self._old[number] = signal.signal(number, self._stop)
        return self

    def _stop(self, number: int, _frame: object) -> None:
        self.happened = signal.Signals(number)
        for each in self._old:
            signal.signal(each, signal.SIG_DFL)
        self._chain.stop()

    def __exit__(self, *_exc: object) -> None:
        if self.happened is None:
            for number, handler in self._old.items():
                signal.signal(number, handler)


def check_columns(tasks: Sequence[Any], rows: Sequence[Row]) -> None:
    """Raise unless every column that a task needs is in one of the first `rows` or made by a task before it.

    Raises:
        MissingColumnError: one is in neither; nothing has been asked of any model.
    """
    present = dict.fromkeys(column for row in rows for column in row)
    for task in tasks:
        renamed = getattr(task, "input_mappings", {})
        missing = [
            column for name in required_columns(task.inputs) if (column := renamed.get(name, name)) not in present
        ]
        if missing:
            raise MissingColumnError(missing, task=task.name, present=list(present))
        made = getattr(task, "output_mappings", {})
        present.update(dict.fromkeys(made.get(name, name) for name in [*task.outputs, METADATA, MODEL_NAME]))
