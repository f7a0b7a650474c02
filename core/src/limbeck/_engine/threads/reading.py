"""Rows on their way in: read from whatever holds them, and handed to the portal's loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError, described
from ..rows.copies import taken_row

if TYPE_CHECKING:
    import threading
    from collections.abc import AsyncIterable, Callable, Iterable

    from .handoff import Handoff


_OWN_THREAD = (
    "Rows are read in a thread of their own. What must stay in the thread that made it can be opened by the generator "
    "itself, or read into a list first; sqlite3 takes `check_same_thread=False`, and a task's `arun` reads rows in the "
    "caller's thread."
)


def read(rows: Iterable[Any], inbox: Handoff[Any], room: threading.Event, over: Callable[[], bool]) -> None:
    """Hand rows in, on a thread of their own: a source may block.

    Args:
        room: set when the inbox has room again, or the run is over. over: whether nobody wants rows any more.
    """
    try:
        for row in rows:
            if over():
                break
            if not inbox.give(taken_row(row)):  # before the source changes what it has given
                room.wait()
                room.clear()
    except BaseException as exc:  # noqa: BLE001 - the source's own error reaches whoever takes the rows
        if "thread" in described(exc):  # as sqlite3 says of a connection that another thread has made
            exc.add_note(_OWN_THREAD)
        inbox.end(exc)
    else:
        inbox.end()
    finally:
        let_go(rows)


def let_go(rows: object) -> None:
    """Close rows that a generator makes: what it holds open is let go now, not when it is collected."""
    if isinstance(rows, Generator):
        with suppress(Exception):  # nobody wants them any more
            rows.close()


async def aread(
    rows: AsyncIterable[Any],
    inbox: Handoff[Any],
    room: asyncio.Event,
    over: Callable[[], bool],
    *,
    stop: Callable[[BaseException], object] | None = None,
) -> None:
    """As `read`, on the event loop that the rows belong to.

    Args:
        stop: ends the run. With it, this goes on until the run is over, for a loop that ends sooner cancels it.
    """
    try:
        await _hand_in(rows, inbox, room, over)
        while stop is not None and not over():
            await room.wait()
            room.clear()
    except asyncio.CancelledError:
        stopped = ConfigurationError("The event loop that reads the rows was stopped.")
        (stop or inbox.end)(stopped)
        raise
    finally:
        if isinstance(rows, AsyncGenerator):  # as in `read`
            with suppress(Exception):
                await rows.aclose()


async def _hand_in(
    rows: AsyncIterable[Any], inbox: Handoff[Any], room: asyncio.Event, over: Callable[[], bool]
) -> None:
    try:
        async for row in rows:
            if over():
                break
            if not inbox.give(taken_row(row)):
                await room.wait()
                room.clear()
    except Exception as exc:  # noqa: BLE001 - the source's own error reaches whoever takes the rows
        inbox.end(exc)
    else:
        inbox.end()


async def in_turns(rows: Iterable[Any]) -> AsyncGenerator[Any, None]:
    """The rows of a plain iterable, which lets others on the loop have their turn."""
    for number, row in enumerate(rows):
        yield row
        if number % 64 == 0:
            await asyncio.sleep(0)
