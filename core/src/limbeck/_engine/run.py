"""Ways to run a task's rows: a list at once, or any iterable as a stream, for threads and for event loops."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

from ..errors import ConfigurationError
from .handoff import EMPTY, END, Handoff
from .portal import portal
from .stream import Observers, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    from .._registry.registry import Registry
    from ..types import Row
    from .stats import RunStats
    from .stream import Work
    from .window import Window

_INBOX_ROWS = 1024
# Rows admitted beyond the last one taken: wide enough that one slow row does not stall the window.
_AHEAD_ROWS = 16_384


class _ListSource:
    """The rows of a list."""

    def __init__(self, rows: list[Row]) -> None:
        self._next = iter(rows).__next__

    def take(self) -> Any:
        try:
            return self._next()
        except StopIteration:
            return END


async def gather_rows(work: Work, rows: list[Row], window: Window, registry: Registry) -> list[Row]:
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

    stream = _stream(work, _ListSource(rows), window, registry, emit=results.extend, finished=finished)
    window.attach(stream)
    try:
        await done
    finally:
        stream.stop()
    return results


def _stream(
    work: Work,
    source: Any,
    window: Window,
    registry: Registry,
    *,
    emit: Callable[[list[Row]], object],
    finished: Callable[[BaseException | None], object],
    **limits: Any,
) -> Stream:
    return Stream(
        work,
        source,
        emit=emit,
        finished=finished,
        native_n=window.native_n,
        model_name=window.llm.model_name,
        observers=Observers(registry.hooks),
        **limits,
    )


class _Run:
    """Rows on their way from a source on one thread, through the portal's loop, to a taker on another."""

    def __init__(
        self,
        work: Work,
        window: Window,
        registry: Registry,
        *,
        wake_giver: Callable[[], object],
        wake_taker: Callable[[], object],
        check_columns: Callable[[list[Row], bool], bool],
        ordered: bool,
    ) -> None:
        self._window = window
        self._wake_giver = wake_giver
        self._loop = portal().loop
        self._inbox: Handoff[Row] = Handoff(_INBOX_ROWS, wake_taker=self._wake_window, wake_giver=wake_giver)
        self._outbox: Handoff[list[Row]] = Handoff(_AHEAD_ROWS, wake_taker=wake_taker)
        self._stream = _stream(
            work,
            _CheckedSource(self._inbox, check_columns),
            window,
            registry,
            emit=self._emit,
            finished=self._end,
            breaker=getattr(window.llm, "breaker_threshold", 50),
            max_ahead=max(_AHEAD_ROWS, 16 * window.limit),
            ordered=ordered,
        )
        self._spare: list[Row] = []
        self._untaken = 0

    @property
    def stats(self) -> RunStats:
        """The run's counters, live."""
        return self._stream.stats

    def _emit(self, rows: list[Row]) -> None:
        self._outbox.give(rows)

    def _end(self, error: BaseException | None) -> None:
        self._outbox.end(error)
        self._wake_giver()  # a reader that waits for room must see that the run is over

    def _wake_window(self) -> None:
        self._loop.call_soon_threadsafe(self._window.wake)

    def _start(self) -> None:
        self._loop.call_soon_threadsafe(self._window.attach, self._stream)

    def stop(self) -> None:
        """Stop asking. Requests in flight are cancelled; rows that are done can still be taken, in order."""
        self._loop.call_soon_threadsafe(self._stream.stop)

    def _next_row(self) -> Any:
        """A row, `EMPTY` or `END`; raises what stopped the run once the rows are out."""
        while not self._spare:
            rows = self._outbox.take()
            if rows is EMPTY or rows is END:
                self._report_taken()
                return rows
            self._untaken += 1
            if self._untaken >= _INBOX_ROWS:
                self._report_taken()
            self._spare = rows[::-1]
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

    def __init__(self, inbox: Handoff[Row], check: Callable[[list[Row], bool], bool]) -> None:
        self._inbox = inbox
        self._check = check
        self._held: list[Row] = []
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
            self._open = self._check(self._held, row is END)
            if row is END and not self._held:
                return END
        self._held.reverse()
        return self.take()


class RowStream(_Run):
    """What `task.run(rows)` returns: an iterator over the rows that came of them, as they are done.

    Use it as a context manager, or exhaust it, or `close` it.

    Attributes:
        stats: the run's counters, live.
    """

    def __init__(self, work: Work, rows: Iterable[Row], window: Window, registry: Registry, **options: Any) -> None:
        portal().refuse_own_thread()
        self._room = threading.Event()
        self._arrived = threading.Event()
        super().__init__(work, window, registry, wake_giver=self._room.set, wake_taker=self._arrived.set, **options)
        self._start()
        threading.Thread(target=self._read, args=(rows,), name="limbeck-reader", daemon=True).start()

    def _read(self, rows: Iterable[Row]) -> None:
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
            self._arrived.wait()
            self._arrived.clear()
        if row is END:
            raise StopIteration
        return row  # type: ignore[no-any-return]  # not a mark

    def close(self) -> None:
        """Stop asking; for `with` and for who does not want the rest."""
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class AsyncRowStream(_Run):
    """What `task.arun(rows)` returns: as `RowStream`, for the caller's event loop."""

    def __init__(
        self, work: Work, rows: Iterable[Row] | AsyncIterable[Row], window: Window, registry: Registry, **options: Any
    ) -> None:
        self._caller = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._arrived = asyncio.Event()
        super().__init__(
            work,
            window,
            registry,
            wake_giver=lambda: self._caller.call_soon_threadsafe(self._room.set),
            wake_taker=lambda: self._caller.call_soon_threadsafe(self._arrived.set),
            **options,
        )
        self._start()
        self._reader = asyncio.ensure_future(self._read(rows))

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
        """Stop asking and stop reading."""
        self.stop()
        self._reader.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


async def _aiter(rows: Iterable[Row] | AsyncIterable[Row]) -> AsyncIterator[Row]:
    if hasattr(rows, "__aiter__"):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row
            await asyncio.sleep(0)
