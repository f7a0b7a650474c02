"""Rows on their way in: read from whatever holds them, and handed to the portal's loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    import threading
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

    from .handoff import Handoff


def read(rows: Iterable[Any], inbox: Handoff[Any], room: threading.Event, over: Callable[[], bool]) -> None:
    """Hand rows in, on a thread of their own: a source may block.

    Args:
        room: set when the inbox has room again, or the run is over. over: whether nobody wants rows any more.
    """
    try:
        for row in rows:
            if over():
                break
            if not inbox.give(row):
                room.wait()
                room.clear()
    except BaseException as exc:  # noqa: BLE001 - the source's own error reaches whoever takes the rows
        inbox.end(exc)
    else:
        inbox.end()


async def aread(rows: AsyncIterable[Any], inbox: Handoff[Any], room: asyncio.Event, over: Callable[[], bool]) -> None:
    """As `read`, on the event loop that the rows belong to."""
    try:
        async for row in rows:
            if over():
                break
            if not inbox.give(row):
                await room.wait()
                room.clear()
    except asyncio.CancelledError:
        inbox.end(ConfigurationError("The event loop that reads the rows was stopped."))
        raise
    except Exception as exc:  # noqa: BLE001 - the source's own error reaches whoever takes the rows
        inbox.end(exc)
    else:
        inbox.end()


async def in_turns(rows: Iterable[Any]) -> AsyncIterator[Any]:
    """The rows of a plain iterable, which lets others on the loop have their turn."""
    for number, row in enumerate(rows):
        yield row
        if number % 64 == 0:
            await asyncio.sleep(0)
