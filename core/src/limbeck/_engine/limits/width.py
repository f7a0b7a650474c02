"""The number of requests that an endpoint bears in flight.

Pure logic: every method is told the time.

The window doubles each round trip at first (slow start). A refusal narrows it; then it grows
by about one a round trip, or as fast as the pace needs. A server that queues instead of refusing
shows it in its latency: the fast quarter of its answers has become slower than the middle one
once was, and no fewer came a second. Slower answers with fewer of them a second are only longer
answers, and narrow nothing. Two different quantiles are compared so that answers which merely
vary, as those of a model do, are not taken for a queue; the slowest have no part in either.

The shape is additive increase, multiplicative decrease (Chiu and Jain, 1989), with the delay
signal of TCP Vegas (Brakmo and Peterson, 1995) taken from quantiles instead of each sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_START = 64
_CUT = 0.7
_QUEUEING = 1.35  # times the latency of a server that does not queue, both to notice a queue and to narrow to
_SLOW = 1.5  # times that latency: such an answer does not widen the window
_NOISE_SECONDS = 0.02  # the client's own
_STEP_AFTER_QUEUE = 0.125  # of a request, by which an answer widens a window that a queue narrowed
_SAME_RATE = 0.75
_SMOOTH = 0.3
_LEAST_COHORT, _MOST_COHORT = 16, 64
_ENOUGH = 0.75  # of a cohort: its slowest are not waited for
_LATE = 4  # times what is in flight, answered: those of a cohort that are missing then were cancelled
_FAULTS = 0.05  # of what came back lately
_LATELY = 1.0 / 64


@dataclass(slots=True)
class _Cohort:
    """Requests that went out one after another, and how long those took that were answered.

    Taken by when they went out: those answered first would be the short ones.
    """

    wanted: int
    began: float
    last: float
    size: int = 1
    answers: int = 0  # of all requests, since it began
    latencies: list[float] = field(default_factory=list)

    def holds(self, sent_at: float) -> bool:
        """Tell whether a request is one of them."""
        return self.began <= sent_at <= self.last

    @property
    def is_known(self) -> bool:
        """True if enough of them are answered."""
        return self.size == self.wanted and len(self.latencies) >= self.wanted * _ENOUGH


class Width:
    """Requests in flight, at most.

    Attributes:
        limit: how many. ceiling: what the user allows.
        base: seconds the middle answer takes while the server does not queue; None until known.
        latest: seconds the middle answer took lately, whether the window was used or not; None until known.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit: float = min(_START, ceiling)
        self.base: float | None = None
        self.latest: float | None = None
        self._rate = 0.0  # answers a second then
        self._slow_start = True
        self._was_refused = False  # it was a refusal that narrowed it last, not a queue
        self._faults = 0.0  # a running mean
        self._answers_are_longer = False  # so the last cohort said
        self._cohort: _Cohort | None = None

    def configure(self, ceiling: int) -> None:
        """Take the user's limit; what was learned stays."""
        self.ceiling = ceiling
        self.limit = min(self.limit, ceiling)

    def sent(self, now: float) -> None:
        """A request goes out."""
        cohort = self._cohort
        if cohort is None:
            wanted = int(min(max(self.limit / 2, _LEAST_COHORT), _MOST_COHORT))
            self._cohort = _Cohort(wanted, now, now)
        elif cohort.size < cohort.wanted:
            cohort.size += 1
            cohort.last = now

    def answered(self, now: float, *, latency: float, sent_at: float, in_flight: int, needed: float) -> None:
        """An answer came; `needed` is what the pace needs in flight, which is harmless to allow."""
        self._faults -= self._faults * _LATELY
        used = in_flight >= self.limit / 2
        if self._cohort is not None:
            self._count(self._cohort, now, latency, sent_at, in_flight)
        slow = self.base is not None and latency > self.base * _SLOW + _NOISE_SECONDS
        if used and not slow and self._faults < _FAULTS and self.limit < self.ceiling:
            self._widen(needed, full=in_flight >= self.limit - 1)

    def refused(self) -> None:
        """A request was refused, the first of those that were on their way together."""
        self.limit = max(1.0, self.limit * _CUT)
        self._slow_start = False
        self._was_refused = True
        self._cohort = None

    def faulted(self) -> None:
        """The server failed."""
        self._faults += (1.0 - self._faults) * _LATELY

    def _widen(self, needed: float, *, full: bool) -> None:
        if self._slow_start or self.limit < needed:
            step = 1.0
        elif full:
            step = 1.0 / self.limit if self._was_refused else _STEP_AFTER_QUEUE
        else:
            return
        self.limit = min(self.ceiling, self.limit + step)
        self._slow_start = self._slow_start and self.limit < self.ceiling

    def _count(self, cohort: _Cohort, now: float, latency: float, sent_at: float, in_flight: int) -> None:
        cohort.answers += 1
        if cohort.holds(sent_at):
            cohort.latencies.append(latency)
        if cohort.is_known:
            self._cohort = None
            self.latest = sorted(cohort.latencies)[cohort.wanted // 2]
            if in_flight >= self.limit / 2 and now > cohort.began:
                self._judge(cohort, cohort.answers / (now - cohort.began))
        elif cohort.answers > _LATE * max(cohort.wanted, in_flight):
            self._cohort = None

    def _judge(self, cohort: _Cohort, rate: float) -> None:
        """Compare a cohort, while which so many answers a second came, with those before it."""
        latencies = sorted(cohort.latencies)
        quick, middle = latencies[cohort.wanted // 4], latencies[cohort.wanted // 2]
        longer, self._answers_are_longer = self._answers_are_longer, False
        if self.base is None:
            self.base, self._rate = middle, rate
        elif quick <= self.base * _QUEUEING + _NOISE_SECONDS:
            self.base += _SMOOTH * min(0.0, middle - self.base)
            self._rate = max(self._rate * 0.9, rate)
        elif rate >= self._rate * _SAME_RATE:
            self._slow_start = self._was_refused = False
            self.limit = max(1.0, min(self.limit, max(rate * self.base * _QUEUEING, self.limit * _CUT)))
        elif longer:
            self.base, self._rate = middle, rate
        else:
            self._answers_are_longer = True  # once is chance
