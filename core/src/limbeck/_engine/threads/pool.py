"""Threads for what blocks: backends, and steps. They do not keep the process alive: a call may never return."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextvars import copy_context
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from ...errors import BackendError, described
from .handoff import call_on, settle

if TYPE_CHECKING:
    from collections.abc import Callable

_numbers = count()
# Threads whose calls were given up and have not returned; with more of them, calls wait as long as they may.
_MOST_ABANDONED = 256


class Threads:
    """Up to `most` calls at once, each on a thread that is kept for the next.

    The threads of `concurrent.futures` are waited for when the process ends, so one call without
    a time limit would keep it for ever.

    Args:
        most: calls at once. name: of the threads.
        frees: whether a call that is given up takes no place any more: its thread is abandoned, and ends with it.
        hangs: is called on the loop when a call is given up that has begun and not returned.
    """

    def __init__(
        self, most: int, *, name: str = "llm", frees: bool = False, hangs: Callable[[], None] | None = None
    ) -> None:
        self._most = most
        self._name = name
        self._frees = frees
        self._hangs = hangs
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._abandoned: list[_Call] = []
        # The threads know the queue alone, so that they end with whoever holds this.
        weakref.finalize(self, _end, self._calls).atexit = False

    def call(self, function: Callable[..., Any], argument: Any) -> asyncio.Future[Any]:
        """Run `function(argument)` in a thread, in the caller's context; return a future on the caller's loop."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = _Call(partial(copy_context().run, function), argument, answer)
        if self._hangs is not None:
            answer.add_done_callback(partial(_give_up, weakref.ref(self), call))
        self._calls.put(call)
        if not self._idle.acquire(blocking=False):
            self._start()
        return answer

    def _start(self) -> None:
        if self._started < self._most:
            self._started += 1
            serving = (self._calls, self._idle)
            threading.Thread(
                target=_serve, args=serving, name=f"limbeck-{self._name}-{next(_numbers)}", daemon=True
            ).start()

    def give_up(self, call: _Call) -> None:
        """Go on without a call whose answer nobody waits for."""
        if not call.runs:
            return
        if self._hangs is not None:
            self._hangs()
        self._abandoned = [other for other in self._abandoned if other.runs]
        if self._frees and len(self._abandoned) < _MOST_ABANDONED and call.abandon():
            self._abandoned.append(call)
            self._started -= 1
            if not self._calls.empty():
                self._start()


def _give_up(reference: weakref.ref[Threads], call: _Call, answer: asyncio.Future[Any]) -> None:
    threads = reference()
    if threads is not None and answer.cancelled():
        threads.give_up(call)


class _Call:
    """A call, and whether its thread serves others after it.

    Attributes:
        runs: whether it has begun, and not returned.
    """

    __slots__ = ("_abandoned", "_answer", "_argument", "_function", "_lock", "runs")

    def __init__(self, function: Callable[..., Any], argument: Any, answer: asyncio.Future[Any]) -> None:
        self._function = function
        self._argument = argument
        self._answer = answer
        self._lock = threading.Lock()
        self._abandoned = self.runs = False

    def run(self) -> bool:
        """Make the call. Whether its thread is still wanted."""
        self.runs = True
        _answer(self._function, self._argument, self._answer)
        with self._lock:
            self.runs = False
            return not self._abandoned

    def abandon(self) -> bool:
        """Give the thread up, unless the call has returned meanwhile. Whether it is."""
        with self._lock:
            self._abandoned = self.runs
            return self._abandoned


def _serve(calls: SimpleQueue[_Call | None], idle: threading.Semaphore) -> None:
    while (call := calls.get()) is not None:
        if not call.run():
            return
        del call  # what it holds goes with it, not with the next one
        idle.release()
    calls.put(None)  # for the next thread


def _end(calls: SimpleQueue[_Call | None]) -> None:
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
