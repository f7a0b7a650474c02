"""Threads for what blocks: backends, and steps. They do not keep the process alive: a call may never return."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextvars import copy_context
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

from ...errors import BackendError, described
from .handoff import call_on, settle

if TYPE_CHECKING:
    from collections.abc import Callable

Call: TypeAlias = "tuple[Callable[..., Any], Any, asyncio.Future[Any]]"

_numbers = count()


class Threads:
    """Up to `most` calls at once, each on a thread that is kept for the next.

    The threads of `concurrent.futures` are waited for when the process ends, so one call without
    a time limit would keep it for ever.
    """

    def __init__(self, most: int, *, name: str = "llm") -> None:
        self._most = most
        self._name = name
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        # The threads know the queue alone, so that they end with whoever holds this.
        weakref.finalize(self, _end, self._calls).atexit = False

    def call(self, function: Callable[..., Any], argument: Any) -> asyncio.Future[Any]:
        """Run `function(argument)` in a thread, in the caller's context; return a future on the caller's loop."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.put((partial(copy_context().run, function), argument, answer))
        if not self._idle.acquire(blocking=False) and self._started < self._most:
            self._started += 1
            serving = (self._calls, self._idle)
            threading.Thread(
                target=_serve, args=serving, name=f"limbeck-{self._name}-{next(_numbers)}", daemon=True
            ).start()
        return answer


def _serve(calls: SimpleQueue[Call | None], idle: threading.Semaphore) -> None:
    while (call := calls.get()) is not None:
        _answer(*call)
        del call  # what it holds goes with it, not with the next one
        idle.release()
    calls.put(None)  # for the next thread


def _end(calls: SimpleQueue[Call | None]) -> None:
    calls.put(None)


def _answer(function: Callable[..., Any], argument: Any, answer: asyncio.Future[Any]) -> None:
    if answer.cancelled():
        return
    result: Any = None
    error: BaseException | None = None
    try:
        result = function(argument)
    except (StopIteration, GeneratorExit) as exc:  # which pass through no future: it would be waited for in vain
        error = BackendError(described(exc))
        error.__cause__ = exc
    except BaseException as exc:  # noqa: BLE001 - the isolation boundary of a blocking call
        error = exc
    call_on(answer.get_loop(), settle, answer, error, result)
