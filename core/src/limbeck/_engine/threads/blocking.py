"""A coroutine that keeps the event loop to itself is found out: everything else waits for it meanwhile."""

from __future__ import annotations

import asyncio
import time
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

LONG_SECONDS = 1.0


def watched(awaitable: Awaitable[Any], tell: Callable[[float], None]) -> Awaitable[Any]:
    """The awaitable, with `tell` told of the seconds of each step in which it gave nobody else a turn for long."""
    return _steps(awaitable, tell) if asyncio.iscoroutine(awaitable) else awaitable


@types.coroutine
def _steps(coroutine: Coroutine[Any, Any, Any], tell: Callable[[float], None]) -> Generator[Any, Any, Any]:
    error: BaseException | None = None
    while True:
        begun = time.monotonic()
        try:
            waits_for = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            return stop.value
        finally:
            error = None  # it holds this frame
            took = time.monotonic() - begun
            if took >= LONG_SECONDS:
                tell(took)
        try:
            yield waits_for
        except BaseException as exc:  # noqa: BLE001 - it is the coroutine's
            error = exc
