"""Calls of what others wrote, each in a task of its own, and none waited for longer than its time."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Seconds that a call is given to end once it was cancelled. What it brings in that time counts.
_GRACE = 1.0


class OutOfTimeError(TimeoutError):
    """A call did not end in its time; one that raised a `TimeoutError` of its own has ended."""


Ending: TypeAlias = "tuple[Any, BaseException | None]"
"""What a call returned, and what it raised in place of that."""

_left: set[asyncio.Task[Any]] = set()  # cancelled and not ended; the loop itself holds tasks weakly


async def ending_of(call: Callable[[], Awaitable[Any]], seconds: float) -> Ending:
    """Await a call, and return how it ended; `OutOfTimeError` where its time was over.

    Raises only when the waiting task is cancelled.

    What is called may cancel the task that it runs in, swallow a cancellation, or never end: the task is its alone.
    """
    task = asyncio.create_task(_called(call))
    try:
        await asyncio.wait({task}, timeout=None if math.isinf(seconds) else seconds)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE)
        result, error = task.result() if task.done() else (None, OutOfTimeError())
        return result, OutOfTimeError() if isinstance(error, asyncio.CancelledError) else error
    finally:
        leave(task)


def leave(task: asyncio.Task[Any]) -> None:
    """Cancel what an author's code runs in; whether it heeds that is its own affair."""
    if not task.done():
        _left.add(task)
        task.add_done_callback(_left.discard)
        task.cancel()


async def _called(call: Callable[[], Awaitable[Any]]) -> Ending:
    try:
        return await call(), None
    except GeneratorExit:  # it is closed with its loop
        raise
    except BaseException as exc:  # noqa: BLE001 - the isolation boundary of backends: one call
        return None, exc
