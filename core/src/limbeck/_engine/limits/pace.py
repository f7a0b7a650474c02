"""How fast an endpoint may be asked, learned from its refusals.

Pure logic: every method is told the time.

A provider's allowance is taken for a bucket: it holds so much, and is filled at a rate. What it
lets through in any stretch of time that ends with a refusal, which finds it empty, is what it
held when the stretch began and what came in since. So every stretch gives a lower bound of
the rate: what was let through, less the most that it may have held, over the time it took.
From one refusal to the next it held nothing at first, and what the first refusal of all had
let through says what it holds when full. The largest of these bounds is the pace.

Before the second refusal too little is known, and the pace is searched for: it doubles again
and again. Later it grows with the cube of the time since the last refusal, as the window of TCP
CUBIC does beyond its plateau (Ha, Rhee and Xu, 2008): flat for long, then ever faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

_MARGIN = 0.995  # of what was learned
_DOUBLING_SECONDS = 0.2  # in the search
_PLATEAU_SECONDS = 44.0  # until the pace is twice what was learned, where a refusal costs a second
_LOOSE = 0.1  # of that, where what was learned is far from certain
_FADING = 0.9  # of a bound, at each refusal after it: providers change their minds
_LEAST = 0.25  # of a pace that was refused
_TOO_FEW = 16  # requests, to learn from
_UNSURE = 0.5  # of a request, by which counts are off
_MARK_EVERY = 1.02  # the growth of the pace from the beginning of one stretch to that of the next
_SHORTEST_SECONDS = 0.01
_SAVED = 0.85  # of what an allowance has saved up during a pause, so far as is known: that much is spent faster
_WORTH = 0.25  # of what comes in during a pause, that an allowance must hold for it to matter
_SPENDING = 2.0  # times the pace
_LEAST_LOST_SECONDS = 0.02


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` a second, at most `burst` at once. It may be overdrawn, and is then waited for."""

    rate: float
    burst: float
    level: float = field(default=0.0)
    at: float | None = None

    def ready_at(self, now: float, least: float = 1e-9) -> float:
        """When the bucket holds `least`: `now`, or later."""
        self._refill(now)
        return now if self.level >= least else now + (least - self.level) / self.rate

    def spend(self, now: float, amount: float) -> None:
        """Take `amount`, or give back a negative one."""
        self._refill(now)
        self.level = min(self.burst, self.level - amount)

    def _refill(self, now: float) -> None:
        if self.at is None:
            self.level = self.burst
        else:
            self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now


@dataclass(slots=True)
class _Stretch:
    """A time that a refusal ends.

    Attributes:
        began: when. before: what had passed by then, since the refusal before.
        empty: whether the allowance was used up when it began.
    """

    began: float
    before: int
    empty: bool = False


class Pace:
    """Requests a second that an endpoint bears.

    Attributes:
        rate: None until something was refused.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._searching = True
        self._doubling = _DOUBLING_SECONDS
        self._plateau = _PLATEAU_SECONDS
        self._stretches: list[_Stretch] = []  # since the last refusal
        self._passed = 0  # requests since then, less those of them that were refused
        self._sent_at = 0.0
        self._marked = 0.0  # the rate when the last stretch began
        self._held_for = 0.0  # seconds since the last refusal in which it was the pace that held requests back
        self._paused = False  # nothing was sent since the last refusal
        self._emptied_at = 0.0  # when the last request that was refused went out
        self._wait = 0.0
        self._before: tuple[float, float] | None = None  # rate and bound when the last refusal came
        self._bound = 0.0
        self._full = (0, 0.0)  # what passed before the first refusal, and in how many seconds
        self._saved = 0.0  # requests that the allowance has saved up during the last pause

    @property
    def gap(self) -> float | None:
        """Seconds between two requests; None until something was refused."""
        if self.rate is None:
            return None
        return 1.0 / (self.rate * (_SPENDING if self._saved > 0.0 else 1.0))

    def sent(self, now: float, *, held_back: bool) -> None:
        """A request goes out; `held_back` says whether it had to wait for the pace."""
        if self._paused or not self._stretches:
            self._begin(now)
        elif self.rate is not None and held_back:
            self._grow(now - self._sent_at)
            if self.rate > self._marked * _MARK_EVERY:
                self._marked = self.rate
                self._stretches.append(_Stretch(now, self._passed))
        self._passed += 1
        self._sent_at = now
        self._saved -= 1.0 - 1.0 / _SPENDING

    def refused(self, *, sent_at: float, wait: float, first: bool) -> None:
        """A request was refused, for `wait` seconds; `first` of those that were on their way together."""
        if first:
            self._paused, self._emptied_at, self._wait = True, sent_at, wait
            self._before = None if self.rate is None else (self.rate, self._bound)
        if self._paused:
            self._emptied_at = max(self._emptied_at, sent_at)
            self._passed -= 1
            self._learn()

    def _begin(self, now: float) -> None:
        """The first request after a pause, or of all."""
        self._stretches = [_Stretch(now, 0)]
        if self._paused:
            self._stretches.append(_Stretch(self._emptied_at, 0, empty=True))
            if self._searching and 0 < self._passed < _TOO_FEW and self._before is not None:
                self._doubling *= 2.0  # it went so fast that nothing could be learned
            self._saved = self._saved_up()
        self._paused = False
        self._passed = 0
        self._held_for = 0.0
        self._marked = self.rate or 0.0

    def _saved_up(self) -> float:
        """Requests that the allowance has saved up during the pause, so far as that is known and worth spending."""
        if self._searching or self.rate is None:
            return 0.0
        came_in = self.rate * self._wait
        return _SAVED * min(self._held, came_in) if self._held >= _WORTH * came_in else 0.0

    def _grow(self, seconds: float) -> None:
        assert self.rate is not None
        held_for = self._held_for + seconds
        doublings = (
            seconds / self._doubling if self._searching else (held_for**3 - self._held_for**3) / self._plateau**3
        )
        self.rate *= 2.0 ** min(doublings, 1.0)
        self._held_for = held_for

    def _learn(self) -> None:
        """Set the rate from what passed until the allowance was empty; again for each refusal that comes in late."""
        began = self._stretches[0].began
        if self._before is None:
            self._guess(max(self._passed, 1), max(self._emptied_at - began, _SHORTEST_SECONDS))
            return
        rate, bound = self._before
        # Who says when to come back does not mean to refuse that one again; so an outage leaves no trace.
        least = min(rate, 1.0 / max(self._wait, _SHORTEST_SECONDS))
        if self._passed < _TOO_FEW:
            self.rate = max(least, rate * (0.5 if self._searching else _FADING))
            return
        self._searching = False
        self._bound = max(self._lower_bound(), bound * _FADING)
        self.rate = min(rate, max(self._bound * _MARGIN, rate * _LEAST, least))
        self._plateau = _PLATEAU_SECONDS * sqrt(self._seconds_lost())
        if self._held_for < (self._emptied_at - began) / 2:
            self._plateau *= _LOOSE  # it was the window that held requests back: the provider may bear far more

    def _guess(self, passed: int, took: float) -> None:
        """Set the rate from what passed before the first refusal."""
        self._full = (passed, took)
        # Who asks to wait so long lets, as a rule, so much through in that time.
        self.rate = passed / (took + self._wait)
        self._searching = took < self._wait
        if self._searching:  # or far more, where an allowance is full long before the pause is over
            self.rate = sqrt(self.rate * passed / took)
        self._plateau = _PLATEAU_SECONDS * sqrt(self._seconds_lost())

    def _seconds_lost(self) -> float:
        """What a refusal costs: the part of the pause in which the allowance, full again, saves up no more."""
        assert self.rate is not None
        return max(_LEAST_LOST_SECONDS, self._wait - self._held / self.rate)

    @property
    def _held(self) -> float:
        """What the allowance holds when full: what passed before the first refusal, less what came in meanwhile."""
        passed, took = self._full
        return max(0.0, passed - (self.rate or 0.0) * took)

    def _lower_bound(self) -> float:
        """The largest lower bound of the provider's rate that a stretch gives."""
        held, took = self._full
        best = 0.0
        for stretch in self._stretches:
            passed, seconds = self._passed - stretch.before, self._emptied_at - stretch.began
            if not stretch.empty:
                # What filled up while the first ones passed was not held. That may have run over, so not all of it.
                passed, seconds = passed - held, max(seconds - took, seconds / 2)
            if passed >= _TOO_FEW and seconds > 0.0:
                best = max(best, (passed - _UNSURE) / seconds)
        return best
