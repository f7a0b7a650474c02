"""The node of a source."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from ...._engine.calls.context import inside
from ...._engine.rows.copies import row_fault
from ...._engine.threads.handoff import EMPTY, END, Handoff, call_on
from ...._engine.threads.reading import aread, let_go, read
from ....errors import RowError, described, has_message
from ..items.lineage import Origin
from .node import CHUNK_ROWS, INBOX_ROWS, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from .node import Run


class SourceNode(Node):
    """A source: its thread makes rows, and the loop admits them while somebody is hungry.

    Args:
        chunks: the rows, in lists; or an async iterable of rows.
        seen: whether their columns are known; else the first rows are held back until they are.
    """

    def __init__(self, run: Run, step: Any, chunks: Iterable[Any], *, seen: bool) -> None:
        super().__init__(run, step, "source")
        self.origin = Origin(step.name)
        self._chunks: Any = chunks
        self._renamed: dict[str, str] = getattr(step, "output_mappings", {})
        self._room = threading.Event()
        self._tell_room: Any = self._room.set
        self._rows: Handoff[Any] = Handoff(
            INBOX_ROWS,
            wake_taker=lambda: run.call_on_loop(self.pump_soon),
            wake_giver=self._wake_reader,
        )
        self._held: list[Any] | None = None if seen else []

    @property
    def is_async(self) -> bool:
        """Tell whether its rows are to be read on the caller's loop."""
        return hasattr(self._chunks, "__aiter__")

    def start(self) -> None:
        if not self.is_async:
            reading = (_rows_of(self._chunks, lambda: self.stopped), self._rows, self._room, lambda: self.stopped)
            target = inside(self.run.context, read)
            threading.Thread(target=target, args=reading, name="limbeck-reader", daemon=True).start()
        super().start()

    def _wake_reader(self) -> None:
        self._tell_room()

    async def read_async(self) -> None:
        """Hand in the rows of an async iterable, on the loop that it belongs to."""
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        self._tell_room = lambda: call_on(loop, room.set)
        await aread(self._chunks, self._rows, room, lambda: self.stopped)

    def pump(self) -> None:
        if self.stopped:
            self._exhaust()
            return
        for _ in range(CHUNK_ROWS):
            if self.blocked:
                return
            row = self._take()
            if row is EMPTY:
                return
            if row is END:
                self._exhaust()
                return
        self.pump_soon()

    def _take(self) -> Any:
        """Admit the next row; gives it, or `EMPTY`, or `END`."""
        try:
            row = self._rows.take()
        except BaseException as exc:  # noqa: BLE001 - the source's own error stops the run, after the rows before it
            self._release_held()
            self.run.fail(self, exc)
            return END
        if self._held is not None and row is not EMPTY:
            self._hold(row)
        elif row is not EMPTY and row is not END:
            self._admit(row)
        return row

    def _hold(self, row: Any) -> None:
        """Keep the first rows until every column that is needed has been seen, so that no call is for nothing."""
        assert self._held is not None  # only called while rows are held
        if row is not END:
            self._held.append(row)
        if self.run.columns_seen(self, self._held, complete=row is END):
            self._release_held()

    def _release_held(self) -> None:
        held, self._held = self._held or [], None
        for row in () if self.stopped else held:  # stopped: a column is in none of them
            self._admit(row)

    def _admit(self, row: Any) -> None:
        root = self.origin.next_root()
        self.stats.rows_in += 1
        self.stats.rows_done += 1
        if isinstance(row, RowError):
            item = root.item(row.row or {})
            error = row if has_message(row) else RowError(described(row))
        elif (fault := row_fault(row)) is None:
            if self._renamed:
                row = {self._renamed.get(name, name): value for name, value in row.items()}
            self.run.send(self, root.item(row), [row])
            return
        else:
            item = root.item({"row": row})
            error = RowError(fault)
        self.count_failure(item, error)
        self.run.send(self, item, [])

    def _exhaust(self) -> None:
        self.origin.exhausted = True
        self.end()

    def stop(self) -> None:
        self.stopped = True
        self._tell_room()
        self.pump_soon()


def _rows_of(chunks: Iterable[Iterable[Any]], over: Callable[[], bool]) -> Generator[Any, None, None]:
    """The rows of chunks, which may be empty for ever.

    Whoever closes it closes what makes them, which may hold a file open.
    """
    try:
        for chunk in chunks:
            yield from chunk
            if over():
                return
    finally:
        let_go(chunks)
