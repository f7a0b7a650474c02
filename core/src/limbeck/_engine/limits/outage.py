"""A server that is away for a while: told from one that refuses, probed now and then, and noticed when it is back.

Pure logic: every method is told the time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from .retry import backoff

if TYPE_CHECKING:
    from ..calls.jobs import Unit

_LEAST, _MOST = 3, 8  # requests in a row that found nobody
_PART = 8  # one in so many of those in flight
_LONGEST_PROBE_SECONDS = 15.0
# Few requests that found nobody may be what the server dies of.
_FEW, _SECONDS_FOR_FEW = 3, 300.0
_MOST_SPARED = 10  # times that one request finds nobody while others are answered: two minutes of waiting, more or less


@dataclass(slots=True)
class Outage:
    """The known facts about an endpoint's absence.

    It is away when several requests in a row found nobody there, after it was heard once. One
    that was never heard may have a wrong address, and nobody is to wait for that. The first few that
    find nobody are spared too: with one attempt each they would be lost before it is known to be away.

    Attributes:
        since: when it went; None while it is there. next_try: when it is probed again.
        probe: the request that is on its way to see; None for none.
    """

    since: float | None = None
    next_try: float = 0.0
    probe: Unit | None = None
    _in_a_row: int = 0
    _probes: int = 0
    _askers: set[Unit] = field(default_factory=set)  # some of those that found nobody
    _heard: bool = False  # ever
    _given_up: bool = False
    _rng: random.Random = field(default_factory=random.Random)

    @property
    def away(self) -> bool:
        """True if only a probe may be sent."""
        return self.since is not None

    def ready_at(self) -> float:
        """The time at which the next request may be sent."""
        if self.since is None:
            return 0.0
        return self.next_try if self.probe is None else inf

    def heard(self, sent_at: float) -> bool:
        """It said something, if only a refusal, to what was sent then. Whether that ends its absence."""
        self._heard = True
        if self.since is None and not self._in_a_row and not self._given_up:
            return False  # as nearly always
        if self.since is not None and sent_at <= self.since:
            return False  # it was there when that was sent
        was_away = self.away
        self.since = self.probe = None
        self._in_a_row = self._probes = 0
        self._askers.clear()
        self._given_up = False
        return was_away

    def lost(self, unit: Unit) -> None:
        """`unit` is over: if it was the probe, another may go."""
        if self.probe is unit:
            self.probe = None

    def found_nobody(
        self,
        unit: Unit,
        now: float,
        *,
        in_flight: int,
        patience: float,
        answered_before: bool,
        retry_after: float | None,
    ) -> bool:
        """A request found nobody there. Whether that says nothing of the request itself.

        Args:
            in_flight: requests in flight, this one included. patience: seconds after which an absence
                counts as failures. answered_before: it has answered, if not to this process.
            retry_after: seconds that it asks to be left alone for.
        """
        self._in_a_row += 1
        if len(self._askers) < _FEW:
            self._askers.add(unit)
        if self.since is None:
            if self._given_up or not (self._heard or answered_before):
                return False
            if self._in_a_row < _enough(in_flight):
                unit.spared += 1
                return unit.spared <= _MOST_SPARED
            self.since = now
            self._wait(now, retry_after)
        elif self.probe is unit:
            self.probe = None
            self._wait(now, retry_after)
        if now - self.since < (patience if len(self._askers) == _FEW else min(patience, _SECONDS_FOR_FEW)):
            return True
        self.since, self._given_up = None, True
        return False

    def _wait(self, now: float, retry_after: float | None) -> None:
        self._probes += 1
        wait = backoff(self._probes, self._rng, retry_after=retry_after, longest=_LONGEST_PROBE_SECONDS)
        self.next_try = now + wait


def _enough(in_flight: int) -> int:
    return min(max(in_flight // _PART, _LEAST), _MOST)
