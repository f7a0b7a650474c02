"""The bound on sending in one cycle of an event loop, so that what has come back is read in between."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# An SDK takes half a millisecond or more to send a request. When a hundred answers come together, the requests that
# follow would keep the loop from reading anything for 50 ms, and a provider that has had enough refuses them
# all before the first refusal is heard. And a backend that never suspends (an in-process model) would keep it for good.
_SECONDS = 0.004
_BEGINNERS = 4  # their time is not known when they begin: they send in the next cycle


class Cycle:
    """The time that one cycle of the loop spends on sending. Workers that come late wait for a later one.

    Args:
        loop: whose.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends: float | None = None  # None until something is sent
        self._sent = 0
        self._beginners = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def sent(self, now: float, resumed: Callable[[], object]) -> None:
        """Something goes out; `resumed` is called when workers may begin again that could not."""
        if self._ends is None:
            self._begin(now, resumed)
        self._sent += 1

    @property
    def takes_beginners(self) -> bool:
        """True if a worker may begin."""
        return self._beginners < _BEGINNERS

    def count_beginner(self) -> None:
        """Note that a worker begins, with something that was sent."""
        self._beginners += 1

    async def wait(self) -> None:
        """Wait until there is time to send."""
        while self._ends is not None and self._loop.time() > self._ends:
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting

    def _begin(self, now: float, resumed: Callable[[], object]) -> None:
        self._ends = now + _SECONDS
        self._loop.call_soon(self._end, resumed)

    def _end(self, resumed: Callable[[], object]) -> None:
        go_on = max(_BEGINNERS, 2 * self._sent)  # about as many as will get to send
        held_back = not self.takes_beginners
        self._ends, self._sent, self._beginners = None, 0, 0
        for _ in range(min(len(self._waiting), go_on)):
            waiting = self._waiting.popleft()
            if not waiting.done():  # its worker may have been cancelled
                waiting.set_result(None)
        if self._waiting:
            self._begin(self._loop.time(), resumed)
        if held_back:
            resumed()
