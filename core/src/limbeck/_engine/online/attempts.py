"""Calls of an author's coroutines, each in a task of its own, and none waited for longer than its time."""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from ..threads.handoff import settle

# Seconds that an attempt is given to end once it was cancelled. What it brings in that time counts.
_GRACE = 1.0

Ending: TypeAlias = "tuple[Any, BaseException | None]"
"""What a call returned, and what it raised in place of that."""

Turn: TypeAlias = Callable[[], Awaitable[None]]
"""What is waited for before a call is made."""


class Attempts:
    """The attempts of one backend that are under way, each of which has the same time.

    What is called may cancel the task that it runs in, swallow a cancellation, turn it into an error of its own,
    or never end. The task is the attempt's alone, and who waits for the attempt does not wait for its task.

    Args:
        timeout: seconds for one attempt.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._running: OrderedDict[asyncio.Future[Ending], tuple[float, asyncio.Task[None]]] = OrderedDict()
        self._left: set[asyncio.Task[None]] = set()  # cancelled and not ended; the loop itself holds tasks weakly
        self._watch: asyncio.TimerHandle | None = None

    async def ending(self, call: Callable[..., Awaitable[Any]], *arguments: Any, turn: Turn | None = None) -> Ending:
        """How a call ended, `TimeoutError` where its time was over. Raises only when whoever waits is cancelled."""
        answer: asyncio.Future[Ending] = self._loop.create_future()
        task = self._loop.create_task(_settle(answer, turn, call, arguments))
        due = self._loop.time() + self._timeout
        self._running[answer] = due, task
        if self._watch is None:
            self._watch_at(due)
        try:
            result, error = await answer
        except BaseException:
            self.leave(task)
            raise
        finally:
            late = self._running.pop(answer, None) is None
        if late and isinstance(error, asyncio.CancelledError):
            return None, TimeoutError()
        return result, error

    def _watch_at(self, when: float) -> None:
        """Look at `when` for what is out of time. The timer keeps nobody alive."""
        self._watch = self._loop.call_at(when, _expire_if_alive, weakref.ref(self))

    def expire(self) -> None:
        """Cancel what is out of time, and look again when the next one would be."""
        now = self._loop.time()
        while self._running:
            answer, (due, task) = next(iter(self._running.items()))
            if due > now:
                self._watch_at(due)
                return
            del self._running[answer]
            self.leave(task)
            self._loop.call_later(_GRACE, settle, answer, None, (None, TimeoutError()))
        self._watch = None

    def leave(self, task: asyncio.Task[None]) -> None:
        """Cancel what an author's code runs in; whether it heeds that is its own affair."""
        if not task.done():
            self._left.add(task)
            task.add_done_callback(self._left.discard)
            task.cancel()


def _expire_if_alive(reference: weakref.ref[Attempts]) -> None:
    attempts = reference()
    if attempts is not None:
        attempts.expire()


async def _settle(
    answer: asyncio.Future[Ending],
    turn: Turn | None,
    call: Callable[..., Awaitable[Any]],
    arguments: tuple[Any, ...],
) -> None:
    task = asyncio.current_task()
    try:
        if turn is not None:
            await turn()
        ending: Ending = await call(*arguments), None
    except BaseException as exc:
        if isinstance(exc, GeneratorExit) and _running_task() is not task:  # it is closed from outside, with its loop
            raise
        ending = None, exc
    settle(answer, None, ending)


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None
