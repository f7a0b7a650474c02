"""How much is sent in one cycle of an event loop, before what has come back is heard."""

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
_LEAST = 4  # what a cycle may choose, however little the last one sent


class Cycle:
    """The time that one cycle of the loop spends on sending, and how many it may choose to send in the next.

    What a worker has chosen is sent by a task of its own, a cycle later: how long that takes is not known before.
    So twice as many may be chosen as were sent in time.

    Args:
        loop: whose.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ending: asyncio.Handle | None = None
        self._resumed: Callable[[], object] = lambda: None
        self._most = _LEAST
        self._chosen = 0
        self._sent = 0
        self._out_of_time: float | None = None  # None until something is sent
        self._workers: deque[asyncio.Future[None]] = deque()
        self._senders: deque[asyncio.Future[None]] = deque()

    @property
    def has_room(self) -> bool:
        """Whether something more may be chosen."""
        return self._chosen < self._most

    def chosen(self, resumed: Callable[[], object]) -> None:
        """Something is to go out; `resumed` is called when there is room that there was not."""
        self._resumed = resumed
        self._chosen += 1
        self._end_soon()

    async def wait_for_room(self) -> None:
        """Wait until something more may be chosen."""
        while not self.has_room:
            await self._wait(self._workers)

    async def wait_to_send(self) -> None:
        """Wait until there is time to send what was chosen; it is sent then."""
        while self._out_of_time is not None and self._loop.time() > self._out_of_time:
            await self._wait(self._senders)
        self._sent += 1
        if self._out_of_time is None:
            self._out_of_time = self._loop.time() + _SECONDS
            self._end_soon()

    async def _wait(self, waiting: deque[asyncio.Future[None]]) -> None:
        place = self._loop.create_future()
        waiting.append(place)
        self._end_soon()
        await place

    def _end_soon(self) -> None:
        if self._ending is None:
            self._ending = self._loop.call_soon(self._end)

    def _end(self) -> None:
        held_back = not self.has_room
        self._most = max(_LEAST, 2 * self._sent)
        self._ending, self._chosen, self._sent, self._out_of_time = None, 0, 0, None
        for waiting in (self._senders, self._workers):
            self._let_go_on(waiting)
        if held_back:
            self._resumed()

    def _let_go_on(self, waiting: deque[asyncio.Future[None]]) -> None:
        """Let about as many go on as will get to it."""
        for _ in range(min(len(waiting), self._most)):
            place = waiting.popleft()
            if not place.done():  # whoever waited may have been cancelled
                place.set_result(None)
        if waiting:
            self._end_soon()
