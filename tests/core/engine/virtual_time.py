"""An event loop whose clock jumps to the next timer when nothing is ready: hours pass in no time, and always alike."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class DeadlockError(AssertionError):
    """Everybody waits, and no timer is set: nothing will ever happen again."""


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: it moves the clock by the time that it should have waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.cycles = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.cycles += 1
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise DeadlockError("Nothing is ready and no timer is set: somebody waits for what will not come.")
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For coroutines that wait for timers and for each other only: no sockets, no threads.

    Raises:
        DeadlockError: instead of waiting for ever.

    Args:
        tick: seconds that pass whenever the clock is read: code takes its time, on a real loop.
    """

    def __init__(self, *, tick: float = 0.0) -> None:
        self._tick = tick
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.errors.append(context))

    def time(self) -> float:
        """Seconds since the loop was made."""
        self._jumping.now += self._tick
        return self._jumping.now

    @property
    def cycles(self) -> int:
        """How often the loop came round."""
        return self._jumping.cycles

    def work(self, seconds: float) -> None:
        """Code keeps the loop for so long."""
        self._jumping.now += seconds


class VirtualHome:
    """Stands where the portal does: what a window and a backend need of it."""

    usable = True
    closing = False

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.loop = loop
        self.closers: dict[int, Callable[[], Coroutine[Any, Any, None]] | None] = {}

    def on_shutdown(self, key: int, closer: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        self.closers[key] = closer


def run_virtually(scene: Callable[[VirtualHome], Coroutine[Any, Any, T]], *, tick: float = 0.0) -> T:
    """The result of a coroutine on a loop of its own, which it is given the home of; `tick` is the loop's.

    Raises:
        AssertionError: a task is left when it is done, or a callback of the loop failed.
        DeadlockError: nothing would ever happen again.
    """
    loop = VirtualTimeLoop(tick=tick)
    try:
        result = loop.run_until_complete(scene(VirtualHome(loop)))
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks are left: {left}"
        assert not loop.errors, f"callbacks failed: {loop.errors}"
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
