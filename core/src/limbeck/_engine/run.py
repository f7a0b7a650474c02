"""The streams that `run` gives: a task's rows, of any iterable, for threads and for event loops."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ..errors import ConfigurationError
from .answers.cache import open_cache
from .batch.choice import attach, wake, window_of
from .calls.jobs import Identified
from .ledger.failed_rows import FailedRows
from .ledger.file import FAILED_FILE
from .ledger.stores import close_store, open_store
from .stream.assembly import Storage, assemble, spending_of
from .stream.parts import Receiver
from .threads.handoff import EMPTY, END, Handoff, call_on
from .threads.portal import portal
from .threads.reading import aread, in_turns, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from pathlib import Path

    from ..protocols import LedgerProtocol
    from ..types import Durability, Row, RunStats, StoredRequests
    from .answers.cache import CacheSource, ResponseCache
    from .answers.rerun import RerunPlan
    from .calls.policy import Policy
    from .ledger.stores import Store
    from .money.budget import Budget
    from .money.prices import PriceTable
    from .stream.parts import Asking
    from .stream.stream import Stream

_INBOX_ROWS = 1024
_UNTAKEN_ROWS = 4096


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The options of a streamed run.

    Attributes:
        check_columns: told the first rows and whether there are more; see `_CheckedSource`.
        config: the step's configuration, noted in the ledger.
        run_dir: where the ledger is, a directory or a URL; None for none.
        ledger: a store of the caller's, in its place.
        policy: failures and order. durability, requests: the ledger's own.
        prices: the user's own. budget: what may be spent.
        cache: run directories whose answers are taken. rerun: which rows are asked about again.
    """

    check_columns: Callable[[list[Row], bool], bool]
    config: dict[str, Any]
    policy: Policy
    run_dir: str | Path | None = None
    durability: Durability = "normal"
    requests: StoredRequests = "full"
    ledger: LedgerProtocol | None = None
    prices: PriceTable | None = None
    budget: Budget | None = None
    cache: CacheSource = None
    rerun: RerunPlan | None = None


@dataclass(frozen=True, slots=True)
class TaskRun:
    """A run of a task that is about to begin: who asks about which rows, and how."""

    asking: Asking
    rows: Any
    options: StreamOptions


class _Ending:
    """The work to do when a stream is over.

    Neither this nor the stream knows the handle that a user holds, so that a handle nobody
    holds any more is collected, and ends its stream.
    """

    def __init__(
        self, stop_asking: Callable[[], object], outbox: Handoff[Any], wake_giver: Callable[[], object]
    ) -> None:
        self.closed = threading.Event()
        self.ledger: Store | None = None
        self.failures: FailedRows | None = None
        self.cache: ResponseCache | None = None
        self._stop_asking = stop_asking
        self._outbox = outbox
        self._wake_giver = wake_giver

    def __call__(self, error: BaseException | None) -> None:
        if self.ledger is None and self.cache is None:
            self._announce(error)
        else:  # the ledger's thread writes what is left: waiting for it here would stop the loop
            threading.Thread(target=self._close_and_announce, args=(error,), name="limbeck-closing").start()

    def _close_and_announce(self, error: BaseException | None) -> None:
        try:
            self.let_go()
        except Exception as exc:  # noqa: BLE001 - a store that cannot be closed: whoever takes the rows must hear of the end
            error = error or exc
        self._announce(error)

    def _announce(self, error: BaseException | None) -> None:
        self._wake_giver()  # a reader that waits for room sees that the run is over, before the taker does
        self._outbox.end(error)
        self._stop_asking()
        self.closed.set()

    def let_go(self) -> None:
        """Give the run directory back."""
        if self.failures is not None:
            self.failures.close()
        if self.cache is not None:
            self.cache.close()
        if self.ledger is not None:
            close_store(self.ledger)


class _Run:
    """Rows on their way from a source on one thread, through the portal's loop, to a taker on another."""

    def __init__(
        self,
        run: TaskRun,
        *,
        wake_giver: Callable[[], object],
        wake_taker: Callable[[], object],
        before: RowStream | None = None,
    ) -> None:
        windows = [window_of(backend) for backend in run.asking.backends]
        self._home = portal()
        self._loop = loop = self._home.loop

        def wake_windows() -> None:
            for window in windows:
                call_on(loop, window.wake)

        def stop_asking() -> None:
            wake_windows()  # which lets go of the stream
            if before is not None:  # the step before, in a chain, ends with this one
                before.stop()

        self._inbox: Handoff[Any] = Handoff(_INBOX_ROWS, wake_taker=wake_windows, wake_giver=wake_giver)
        self._outbox: Handoff[tuple[str, list[Row]]] = Handoff(2 * _UNTAKEN_ROWS, wake_taker=wake_taker)
        self._ending = _Ending(stop_asking, self._outbox, wake_giver)
        self._stream = self._make_stream(run.asking, run.options)
        self._spare: list[Row] = []
        self._untaken = 0
        weakref.finalize(self, call_on, loop, self._stream.stop).atexit = False

    def _make_stream(self, asking: Asking, options: StreamOptions) -> Stream:
        outbox, ending = self._outbox, self._ending
        options.policy.max_untaken = _UNTAKEN_ROWS
        spending = spending_of(asking, options.prices, options.budget)
        store = ending.ledger = open_store(options.run_dir, options.ledger, options.durability, options.requests)
        folder = None if store is None else store.folder
        if folder is not None:
            ending.failures = FailedRows(folder / FAILED_FILE, asking.work.name, asking.backend.llm.model_name)
        try:
            ending.cache = open_cache(options.cache, own=folder)
            return assemble(
                asking,
                _CheckedSource(self._inbox, options.check_columns),
                Receiver(
                    emit=lambda id, rows: outbox.give((id, rows)),
                    finished=ending,
                    failed=None if ending.failures is None else ending.failures.write,
                ),
                options.policy,
                storage=Storage(store, options.config, ending.cache, options.rerun),
                spending=spending,
            )
        except BaseException:
            ending.let_go()
            raise

    @property
    def stats(self) -> RunStats:
        """The run's counters, live."""
        return self._stream.stats

    def _start(self) -> None:
        self._loop.call_soon_threadsafe(attach, self._stream)

    def stop(self) -> None:
        """Stop asking. Requests in flight are cancelled; rows that are done can still be taken, in order."""
        self._loop.call_soon_threadsafe(self._stream.stop)

    def _refuse_fork(self) -> None:
        """Raise where nothing would ever come.

        Raises:
            ConfigurationError: the process was forked from the one that began the run, or is at its end.
        """
        if not self._home.usable:
            raise ConfigurationError(
                "This run goes on in the process that began it, which was forked, or it ended with that. "
                "Begin runs behind the fork."
            )

    def _next_result(self) -> Any:
        """A row's id and what came of it, `EMPTY` or `END`; raises what stopped the run once the rows are out."""
        result = self._outbox.take()
        if result is EMPTY or result is END:
            self._report_taken()
        else:
            self._untaken += 1
            if self._untaken >= _UNTAKEN_ROWS // 4:
                self._report_taken()
        return result

    def _next_row(self) -> Any:
        while not self._spare:
            result = self._next_result()
            if result is EMPTY or result is END:
                return result
            self._spare = result[1][::-1]
        return self._spare.pop()

    def _report_taken(self) -> None:
        """Tell the stream, for many rows at once, that there is room again."""
        if self._untaken:
            self._loop.call_soon_threadsafe(self._make_room, self._untaken)
            self._untaken = 0

    def _make_room(self, count: int) -> None:
        self._stream.note_taken(count)
        wake(self._stream)


class _CheckedSource:
    """Holds the first rows back until every required column has been seen, so that no call is made for nothing."""

    def __init__(self, inbox: Handoff[Any], check: Callable[[list[Row], bool], bool]) -> None:
        self._inbox = inbox
        self._check = check
        self._held: list[Any] = []
        self._open = False

    def take(self) -> Any:
        if self._open:
            return self._held.pop() if self._held else self._inbox.take()
        while not self._open:
            row = self._inbox.take()
            if row is EMPTY:
                return EMPTY
            if row is not END:
                self._held.append(row)
            seen = [held.row if type(held) is Identified else held for held in self._held]
            self._open = self._check(seen, row is END)
            if row is END and not self._held:
                return END
        self._held.reverse()
        return self.take()


class RowStream(_Run):
    """The stream that `task.run(rows)` returns: an iterator over the rows that came of them, as they are done.

    Use it as a context manager, or exhaust it, or `close` it.

    Attributes:
        stats: the run's counters, live.
    """

    def __init__(self, run: TaskRun) -> None:
        portal().refuse_own_thread()
        self._arrived = threading.Event()
        room = threading.Event()
        rows: Iterable[Row] = run.rows
        before = rows if isinstance(rows, RowStream) else None
        super().__init__(run, wake_giver=room.set, wake_taker=self._arrived.set, before=before)
        self._start()
        source = rows if before is None else before.identified()
        stream = self._stream
        reading = (read, source, self._inbox, room, lambda: stream.ended)
        inside = run.asking.context.copy().run  # the rows may be made by a generator of the caller's
        threading.Thread(target=inside, args=reading, name="limbeck-reader", daemon=True).start()

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        while (row := self._next_row()) is EMPTY:
            self._wait()
        if row is END:
            raise StopIteration
        return row  # type: ignore[no-any-return]  # not a mark

    def identified(self) -> Iterator[Identified]:
        """The rows with their ids, for the step that comes after."""
        while (result := self._next_result()) is not END:
            if result is EMPTY:
                self._wait()
                continue
            id, rows = result
            if len(rows) == 1:
                yield Identified(id, rows[0])
            else:
                yield from (Identified(f"{id}.{sample}", row) for sample, row in enumerate(rows))

    def _wait(self) -> None:
        self._refuse_fork()
        self._arrived.wait()
        self._arrived.clear()

    def close(self) -> None:
        """Stop asking, and wait until the ledger is closed; for `with` and for who does not want the rest."""
        if self._home.usable:  # not in a fork: the run is the parent's
            self.stop()
            self._ending.closed.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class AsyncRowStream(_Run):
    """The stream that `task.arun(rows)` returns: the form of `RowStream` for the caller's event loop."""

    def __init__(self, run: TaskRun) -> None:
        self._arrived = arrived = asyncio.Event()
        room = asyncio.Event()
        caller = _running_loop()
        super().__init__(
            run,
            wake_giver=lambda: call_on(caller, room.set),
            wake_taker=lambda: call_on(caller, arrived.set),
        )
        self._start()
        rows: Iterable[Row] | AsyncIterable[Row] = run.rows
        source = rows if isinstance(rows, AsyncIterable) else in_turns(rows)
        stream, loop = self._stream, self._loop
        reading = aread(
            *(source, self._inbox, room, lambda: stream.ended),
            stop=lambda error: call_on(loop, lambda: stream.stop(error)),
        )
        self._reader = asyncio.ensure_future(reading)

    def __aiter__(self) -> AsyncIterator[Row]:
        return self

    async def __anext__(self) -> Row:
        while (row := self._next_row()) is EMPTY:
            self._refuse_fork()
            await self._arrived.wait()
            self._arrived.clear()
        if row is END:
            raise StopAsyncIteration
        return row  # type: ignore[no-any-return]  # not a mark

    async def aclose(self) -> None:
        """Stop asking and stop reading, and wait until the ledger is closed."""
        if self._home.usable:  # as in `RowStream.close`
            self.stop()
        self._reader.cancel()
        await asyncio.wait([self._reader])
        if self._home.usable:
            await asyncio.to_thread(self._ending.closed.wait)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError("`arun` is for a running event loop. Without one, use `run`.") from None
