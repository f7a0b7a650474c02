"""A bounded queue between a thread and an event loop, neither of which may block the other."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")


class _Mark:
    def __init__(self, word: str) -> None:
        self._word = word

    def __repr__(self) -> str:
        return self._word


EMPTY: Final[Any] = _Mark("EMPTY")  # nothing to take right now
END: Final[Any] = _Mark("END")  # nothing will come any more


class Handoff(Generic[T]):
    """One giver, one taker, on two threads.

    Neither side waits here: `give` says when to stop, `take` says when there is nothing, and
    the other side's `wake` is called when that has changed. A side that is not waiting is
    never woken, so rows cross without a system call while both are busy.

    A flag is raised before the queue is looked at again, and the other side looks at the flag
    after it changed the queue: whoever comes last sees the other.
    """

    def __init__(
        self, capacity: int, *, wake_taker: Callable[[], object], wake_giver: Callable[[], object] = lambda: None
    ) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._wake_taker = wake_taker
        self._wake_giver = wake_giver
        self._taker_waits = False
        self._giver_waits = False
        self._ended = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    def give(self, item: T) -> bool:
        """Add `item`; False when there is no room for another, until `wake_giver` is called."""
        self._items.append(item)
        self._notify_taker()
        if len(self._items) < self._capacity:
            return True
        self._giver_waits = True
        return len(self._items) < self._capacity

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will be given; `error` is raised to the taker once the queue is empty."""
        if not self._ended:
            self._error = error
            self._ended = True
            self._notify_taker()

    def take(self) -> T | Any:
        """The next item, `EMPTY`, or `END`.

        Raises:
            BaseException: what the giver ended with.
        """
        item = self._pop()
        if item is not EMPTY:
            return item
        self._taker_waits = True
        ended = self._ended  # read before the queue: what was given before the end must be seen
        item = self._pop()
        if item is not EMPTY or not ended:
            return item
        if self._error is not None:
            raise self._error
        return END

    def _pop(self) -> T | Any:
        if not self._items:
            return EMPTY
        item = self._items.popleft()
        if self._giver_waits and len(self._items) <= self._capacity // 2:
            self._giver_waits = False
            self._wake_giver()
        return item

    def _notify_taker(self) -> None:
        if self._taker_waits:
            self._taker_waits = False
            self._wake_taker()


def call_on(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: Any) -> None:
    """Have a loop call something soon, from any thread; on one that is closed nobody waits any more."""
    with suppress(RuntimeError):  # asked first, it may be closed before it is called
        loop.call_soon_threadsafe(function, *arguments)


def settle(future: asyncio.Future[Any], error: BaseException | None, result: Any = None) -> None:
    """Give a future its result or its error; one that is done, as a cancelled one is, stays as it is."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
