"""The time that requests of one stream are given to come together, where its backend takes several at once."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..calls.parties import Requester

# Rows that are read by a thread come a few at a time, though there are many. Nobody notices so short a wait.
_SECONDS = 0.003


class Gathering:
    """Holds a request back for milliseconds while it is not full, and rows still come."""

    def __init__(self) -> None:
        self._since: weakref.WeakKeyDictionary[Requester, float] = weakref.WeakKeyDictionary()

    def ready_at(self, stream: Requester, now: float) -> float:
        """The time at which the requests that wait are sent: `now`, if they are enough or no more can come."""
        size = stream.backend.batch_size
        if size == 1 or stream.gather(size):
            self._since.pop(stream, None)
            return now
        ready = self._since.setdefault(stream, now) + _SECONDS
        if ready <= now:
            del self._since[stream]
        return ready
