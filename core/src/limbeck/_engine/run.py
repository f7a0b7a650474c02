"""Ways to run a task's rows: a list at once, or any iterable as a stream, for threads and for event loops."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self

from ..errors import ConfigurationError, LedgerError
from .handoff import EMPTY, END, Handoff
from .ledger import FAILED_FILE, release_ledger, shared_ledger
from .portal import portal
from .stream import Identified, Observers, Policy, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
    from pathlib import Path

    from .._registry.registry import Registry
    from ..types import Row
    from .backend import Backend
    from .ledger import Durability, Ledger, StoredRequests
    from .stats import RunStats
    from .stream import Job, Work

FAILED_COLUMN = "limbeck_error"
_INBOX_ROWS = 1024
_UNTAKEN_ROWS = 4096


class _ListSource:
    """The rows of a list."""

    def __init__(self, rows: list[Row]) -> None:
        self._next = iter(rows).__next__

    def take(self) -> Any:
        try:
            return self._next()
        except StopIteration:
            return END


async def gather_rows(work: Work, rows: list[Row], backend: Backend, registry: Registry) -> list[Row]:
    """All that comes of a list of rows, in input order. Runs on the portal's loop.

    Raises:
        LimbeckError: what stopped the run.
    """
    results: list[Row] = []
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finished(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    stream = Stream(
        work,
        _ListSource(rows),
        backend,
        emit=lambda _id, made: results.extend(made),
        finished=finished,
        observers=Observers(registry.hooks),
        policy=Policy(),
    )
    backend.window.attach(stream)
    try:
        await done
    finally:
        stream.stop()
    return results


@dataclass(frozen=True, slots=True)
class Options:
    """How a streamed run is run.

    Attributes:
        check_columns: told the first rows and whether there are more; see `_CheckedSource`.
        config: the step's configuration, noted in the ledger.
        run_dir: where the ledger is; None for none.
        policy: failures and order. durability, requests: the ledger's own.
    """

    check_columns: Callable[[list[Row], bool], bool]
    config: dict[str, Any]
    policy: Policy
    run_dir: str | Path | None = None
    durability: Durability = "normal"
    requests: StoredRequests = "full"


class _Run:
    """Rows on their way from a source on one thread, through the portal's loop, to a taker on another."""

    def __init__(
        self,
        work: Work,
        backend: Backend,
        registry: Registry,
        options: Options,
        *,
        wake_giver: Callable[[], object],
        wake_taker: Callable[[], object],
    ) -> None:
        self._window = backend.window
        self._closed = threading.Event()
        self._wake_giver = wake_giver
        self._loop = portal().loop
        self._inbox: Handoff[Any] = Handoff(_INBOX_ROWS, wake_taker=self._wake_window, wake_giver=wake_giver)
        self._outbox: Handoff[tuple[str, list[Row]]] = Handoff(2 * _UNTAKEN_ROWS, wake_taker=wake_taker)
        self._ledger: Ledger | None = None
        self._failures: _Failures | None = None
        if options.run_dir is not None:
            self._ledger = shared_ledger(options.run_dir, durability=options.durability, requests=options.requests)
            self._failures = _Failures(self._ledger, work.name)
        options.policy.max_untaken = _UNTAKEN_ROWS
        self._stream = self._make_stream(work, backend, registry, options)
        self._spare: list[Row] = []
        self._untaken = 0

    def _make_stream(self, work: Work, backend: Backend, registry: Registry, options: Options) -> Stream:
        try:
            return Stream(
                work,
                _CheckedSource(self._inbox, options.check_columns),
                backend,
                emit=lambda id, rows: self._outbox.give((id, rows)),
                finished=self._end,
                observers=Observers(registry.hooks),
                policy=options.policy,
                ledger=self._ledger.step(work.name, options.config) if self._ledger is not None else None,
                failed=self._failures.write if self._failures is not None else None,
            )
        except BaseException:
            self._let_go()
            raise

    @property
    def stats(self) -> RunStats:
        """The run's counters, live."""
        return self._stream.stats

    def _end(self, error: BaseException | None) -> None:
        if self._ledger is None:
            self._announce_end(error)
        else:  # the ledger's thread writes what is left: waiting for it here would stop the loop
            threading.Thread(target=self._close_ledger, args=(error,), name="limbeck-closing").start()

    def _close_ledger(self, error: BaseException | None) -> None:
        self._let_go()
        self._announce_end(error)

    def _announce_end(self, error: BaseException | None) -> None:
        self._outbox.end(error)
        self._wake_giver()  # a reader that waits for room must see that the run is over
        self._closed.set()

    def _let_go(self) -> None:
        if self._failures is not None:
            self._failures.close()
        if self._ledger is not None:
            release_ledger(self._ledger)

    def _wake_window(self) -> None:
        self._loop.call_soon_threadsafe(self._window.wake)

    def _start(self) -> None:
        self._loop.call_soon_threadsafe(self._window.attach, self._stream)

    def stop(self) -> None:
        """Stop asking. Requests in flight are cancelled; rows that are done can still be taken, in order."""
        self._loop.call_soon_threadsafe(self._stream.stop)

    def _next_lot(self) -> Any:
        """A row's id and what came of it, `EMPTY` or `END`; raises what stopped the run once the rows are out."""
        lot = self._outbox.take()
        if lot is EMPTY or lot is END:
            self._report_taken()
        else:
            self._untaken += 1
            if self._untaken >= _UNTAKEN_ROWS // 4:
                self._report_taken()
        return lot

    def _next_row(self) -> Any:
        while not self._spare:
            lot = self._next_lot()
            if lot is EMPTY or lot is END:
                return lot
            self._spare = lot[1][::-1]
        return self._spare.pop()

    def _report_taken(self) -> None:
        """Tell the stream, in lots, that there is room again."""
        if self._untaken:
            self._loop.call_soon_threadsafe(self._make_room, self._untaken)
            self._untaken = 0

    def _make_room(self, count: int) -> None:
        self._stream.taken(count)
        self._window.wake()


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


class _Failures:
    """Writes the input rows that failed, with their errors, in a form that can be fed back."""

    def __init__(self, ledger: Ledger, step: str) -> None:
        self._step = step
        self._path = ledger.folder / FAILED_FILE
        self._file: IO[str] | None = None

    def write(self, job: Job) -> None:
        """Add one row. Called on the portal's loop; failures are few."""
        errors = [
            {
                "sample": sample,
                "type": type(error).__name__,
                "message": str(error),
                "attempts": error.attempts,
                "raw": error.raw,
            }
            for sample, outcome in enumerate(job.outcomes)
            if (error := outcome.error) is not None
        ]
        given: Any = job.row
        row = given if isinstance(given, dict) else {"row": given}
        line = {**row, FAILED_COLUMN: {"step": self._step, "row": job.id, "errors": errors}}
        try:
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(json.dumps(line, default=repr) + "\n")
            self._file.flush()
        except OSError as exc:
            raise LedgerError(f"{str(self._path)!r} cannot be written: {exc}.") from exc

    def close(self) -> None:
        """The run is over."""
        if self._file is not None:
            self._file.close()


class RowStream(_Run):
    """What `task.run(rows)` returns: an iterator over the rows that came of them, as they are done.

    Use it as a context manager, or exhaust it, or `close` it.

    Attributes:
        stats: the run's counters, live.
    """

    def __init__(self, work: Work, rows: Iterable[Row], backend: Backend, registry: Registry, options: Options) -> None:
        portal().refuse_own_thread()
        self._room = threading.Event()
        self._arrived = threading.Event()
        super().__init__(work, backend, registry, options, wake_giver=self._room.set, wake_taker=self._arrived.set)
        self._start()
        source = rows.identified() if isinstance(rows, RowStream) else rows
        threading.Thread(target=self._read, args=(source,), name="limbeck-reader", daemon=True).start()

    def _read(self, rows: Iterable[Any]) -> None:
        try:
            for row in rows:
                if self._stream.ended:
                    return
                if not self._inbox.give(row):
                    self._room.wait()
                    self._room.clear()
        except BaseException as exc:  # noqa: BLE001 - the source's own error reaches whoever takes the rows
            self._inbox.end(exc)
        else:
            self._inbox.end()

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
        while (lot := self._next_lot()) is not END:
            if lot is EMPTY:
                self._wait()
                continue
            id, rows = lot
            if len(rows) == 1:
                yield Identified(id, rows[0])
            else:
                yield from (Identified(f"{id}.{sample}", row) for sample, row in enumerate(rows))

    def _wait(self) -> None:
        self._arrived.wait()
        self._arrived.clear()

    def close(self) -> None:
        """Stop asking, and wait until the ledger is closed; for `with` and for who does not want the rest."""
        self.stop()
        self._closed.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class AsyncRowStream(_Run):
    """What `task.arun(rows)` returns: as `RowStream`, for the caller's event loop."""

    def __init__(
        self,
        work: Work,
        rows: Iterable[Row] | AsyncIterable[Row],
        backend: Backend,
        registry: Registry,
        options: Options,
    ) -> None:
        self._caller = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._arrived = asyncio.Event()
        super().__init__(
            *(work, backend, registry, options),
            wake_giver=lambda: self._tell(self._room),
            wake_taker=lambda: self._tell(self._arrived),
        )
        self._start()
        self._reader = asyncio.ensure_future(self._read(rows))

    def _tell(self, event: asyncio.Event) -> None:
        if not self._caller.is_closed():
            self._caller.call_soon_threadsafe(event.set)

    async def _read(self, rows: Iterable[Row] | AsyncIterable[Row]) -> None:
        try:
            async for row in _aiter(rows):
                if not self._inbox.give(row):
                    await self._room.wait()
                    self._room.clear()
        except asyncio.CancelledError:
            self._inbox.end(ConfigurationError("The event loop that reads the rows was stopped."))
            raise
        except Exception as exc:  # noqa: BLE001 - the source's own error reaches whoever takes the rows
            self._inbox.end(exc)
        else:
            self._inbox.end()

    def __aiter__(self) -> AsyncIterator[Row]:
        return self

    async def __anext__(self) -> Row:
        while (row := self._next_row()) is EMPTY:
            await self._arrived.wait()
            self._arrived.clear()
        if row is END:
            raise StopAsyncIteration
        return row  # type: ignore[no-any-return]  # not a mark

    async def aclose(self) -> None:
        """Stop asking and stop reading, and wait until the ledger is closed."""
        self.stop()
        self._reader.cancel()
        await asyncio.to_thread(self._closed.wait)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


async def _aiter(rows: Iterable[Row] | AsyncIterable[Row]) -> AsyncIterator[Row]:
    if hasattr(rows, "__aiter__"):
        async for row in rows:
            yield row
        return
    for number, row in enumerate(rows):
        yield row
        if number % 64 == 0:
            await asyncio.sleep(0)
