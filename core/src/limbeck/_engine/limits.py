"""How many requests may be in flight, and how fast they may be sent: one controller an endpoint.

Pure logic: every method is told the time, nothing here waits. Four signals move it.

- Answers let it grow: by one an answer at first (slow start), later by about one a round
  trip; only while the window was really used.
- A refusal (429) cuts it once a window, closes the gate for as long as the provider asks,
  and teaches it a pace.
- Faults (5xx, time-outs) stop its growth for a while.
- Latency: a server that queues instead of refusing shows it in the low quantile, which a
  heavy tail does not move, while it answers no more a second than before. Slower answers
  with fewer of them a second are only longer answers, and move nothing.

The shape is additive increase, multiplicative decrease (Chiu and Jain, 1989), with the delay
signal of TCP Vegas (Brakmo and Peterson, 1995) taken from a quantile instead of each sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..types import Quota

_START = 32
_CUT = 0.7
_FAULT_PAUSE_SECONDS = 2.0
_QUEUEING_FACTOR = 1.8
_STALLED_FACTOR, _STALLED_SECONDS = 1.3, 0.01  # the same, for a window that grows quickly
_QUEUEING_TARGET = 1.5  # of the latency of a server that does not queue
_SMOOTH = 0.3
_QUEUEING_SECONDS = 0.02  # below this a rise is the client's own noise
_LEAST_SAMPLES, _MOST_SAMPLES = 16, 64  # in a round
_SAME_RATE = 0.75
_FILLING = 5.0
_MARGIN = 0.98  # of a learned pace: staying below is cheaper than being refused
_NEAR, _FAR = 0.94, 0.6  # of the pace that was refused last
_CUT_PACE = 0.9
_PROBE_FAR, _PROBE_NEAR = 0.7, 0.005  # a second, relative
_SHORTEST_SECONDS = 0.05
_SLACK_SECONDS = 0.01  # how much a late gate may make up for at once


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` a second, at most `burst` at once. It may be overdrawn, and is then waited for."""

    rate: float
    burst: float
    level: float = field(default=0.0)
    at: float | None = None

    def ready_at(self, now: float) -> float:
        """When the bucket is not empty: `now`, or later."""
        self._refill(now)
        return now if self.level > 0 else now + (1e-9 - self.level) / self.rate

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


class Controller:
    """The limits of one endpoint, adapted to what it answers.

    Args:
        ceiling: requests in flight at most. rpm, tpm: the user's own limits, a minute.
    """

    def __init__(self, *, ceiling: int, rpm: float | None = None, tpm: float | None = None) -> None:
        self.limit: float = min(_START, ceiling)
        self._asked: tuple[float | None, float | None] = (None, None)
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self.configure(ceiling=ceiling, rpm=rpm, tpm=tpm)
        self.paused_until = 0.0
        self.pace: float | None = None  # requests a second, learned from refusals
        self.refusals = 0
        self._tokens_each = 0.0  # running mean of what a request costs
        self._slow_start = True
        self._no_growth_until = 0.0
        self._next_send = 0.0
        self._sent = 0
        self._started: float | None = None
        self._refused_at: float | None = None  # the last time the allowance was found empty
        self._accepted_then = 0
        self._pause = 0.0
        self._probed_at = 0.0
        self._known_pace: float | None = None  # up to where a refusal is not to be expected
        self._round: list[float] = []
        self._round_began = 0.0
        self._answers = 0  # in this round
        self._slow_rounds = 0
        self._base: float | None = None  # the latency of a server that does not queue
        self._rate = 0.0  # answers a second then

    def configure(self, *, ceiling: int, rpm: float | None, tpm: float | None) -> None:
        """Take the user's limits; what was learned stays."""
        self.ceiling = ceiling
        self.limit = min(self.limit, ceiling)
        if (rpm, tpm) != self._asked:
            self._asked = (rpm, tpm)
            self._requests, self._tokens = _per_minute(rpm), _per_minute(tpm)

    # The gate

    def ready_at(self, now: float) -> float:
        """When the next request may be sent: `now` or earlier if it may be sent at once."""
        ready = self.paused_until
        ready = max(ready, self._next_send)
        if self._requests is not None:
            ready = max(ready, self._requests.ready_at(now))
        if self._tokens is not None:
            ready = max(ready, self._tokens.ready_at(now))
        return ready

    def sent(self, now: float) -> None:
        """A request goes out."""
        self._sent += 1
        if self._started is None:
            self._started = self._round_began = now
        if self.pace is not None:
            if now < self._next_send + 1.0 / self.pace:  # it is the pace that holds the requests back
                self._probe(now)
            self._probed_at = now
        # Answers that come together would otherwise be followed by as many requests at once, all
        # of them on their way before the first refusal is heard.
        gap, slack = (self._base or 0.0) / (_FILLING * self.limit), _SLACK_SECONDS
        if self.pace is not None and self.pace * gap < 1.0:
            gap = 1.0 / self.pace
            slack = min(gap, slack)
        self._next_send = max(self._next_send, now - slack) + gap
        if self._requests is not None:
            self._requests.spend(now, 1.0)
        if self._tokens is not None:
            self._tokens.spend(now, self._tokens_each)

    def _probe(self, now: float) -> None:
        """Ask for more as time goes by without a refusal: quickly up to where it was refused, slowly beyond."""
        assert self.pace is not None
        near = self._known_pace is not None and self.pace >= self._known_pace
        self.pace *= 1.0 + (_PROBE_NEAR if near else _PROBE_FAR) * (now - max(self._probed_at, self.paused_until))

    # What came back

    def answered(
        self,
        now: float,
        *,
        latency: float,
        sent_at: float,
        in_flight: int,
        tokens: int | None = None,
        quota: Quota | None = None,
    ) -> None:
        """An answer came.

        Args:
            latency: seconds it took. sent_at: when its request went out.
            in_flight: requests in flight, this one included.
            tokens: what it cost, where that is known. quota: what the provider says is left.
        """
        if self._tokens is not None and tokens is not None:
            self._tokens.spend(now, tokens - self._tokens_each)
            self._tokens_each += 0.1 * (tokens - self._tokens_each)
        if quota is not None:
            self._heed(now, quota)
        self._answers += 1
        if sent_at >= self._round_began:
            self._round.append(latency)
            if len(self._round) >= min(max(self.limit / 2, _LEAST_SAMPLES), _MOST_SAMPLES):
                self._end_round(now)
        if now >= self._no_growth_until and not self._slow_rounds and self.limit < self.ceiling:
            # As many as the pace needs are harmless: it is the gate that keeps to the pace.
            needed = self.pace is not None and self.limit < self.pace * (self._base or latency)
            if (self._slow_start or needed) and in_flight >= self.limit / 2:
                self.limit = min(self.ceiling, self.limit + 1.0)
                self._slow_start = self._slow_start and self.limit < self.ceiling
            elif in_flight >= self.limit - 1:
                self.limit = min(self.ceiling, self.limit + 1.0 / self.limit)

    def refused(self, now: float, *, sent_at: float, wait: float, quota: Quota | None = None) -> None:
        """The provider refused for rate, and is to be left alone for `wait` seconds."""
        self.refusals += 1
        if quota is not None:
            self._heed(now, quota)
        if self._refused_at is None or sent_at > self._refused_at:
            self._learn_pace(now)
            self._pause = 0.0
            self.limit = max(1.0, self.limit * _CUT)
            self._slow_start = False
            self._restart_round(now)
        else:  # it was on its way when the first was heard, and counted as accepted then
            self._accepted_then -= 1
        self._pause = max(self._pause, now + wait - (self._refused_at or now))
        self.paused_until = max(self.paused_until, now + wait)
        self._next_send = max(self._next_send, self.paused_until)

    def faulted(self, now: float) -> None:
        """The server failed (5xx, time-out): more is not what it needs."""
        self._slow_start = False
        self._no_growth_until = now + _FAULT_PAUSE_SECONDS

    def _learn_pace(self, now: float) -> None:
        """Set the pace from what was accepted between the last refusal and this one.

        An allowance that saves up during the pause goes from empty to empty between two
        refusals, so that accepted over elapsed is what it refills; one that does not save up
        is known by the pace at which it refused. The pace falls to the larger of the two
        readings, and rises quickly again to just below where it was refused.
        """
        since = self._refused_at if self._refused_at is not None else self._started
        elapsed = now - (since if since is not None else now)
        accepted = self._sent - self.refusals - self._accepted_then
        self._refused_at, self._accepted_then, self._probed_at = now, self._sent - self.refusals, now
        if accepted <= 0 or elapsed <= 0:
            return
        sending = elapsed - self._pause
        if self.pace is None:
            self.pace = accepted / max(sending, _SHORTEST_SECONDS) * _MARGIN
        else:
            # A pace just above the allowance holds for long before it is refused, one far above it does not.
            self._known_pace = self.pace * (_NEAR if sending > 2 * self._pause else _FAR)
            self.pace = max(min(accepted / elapsed * _MARGIN, self.pace), self._known_pace * _CUT_PACE)

    def _heed(self, now: float, quota: Quota) -> None:
        for remaining, reset in (
            (quota.requests_remaining, quota.requests_reset),
            (quota.tokens_remaining, quota.tokens_reset),
        ):
            if remaining is not None and remaining <= 0 and reset:
                self.paused_until = max(self.paused_until, now + reset)

    # Rounds of latency

    def _restart_round(self, now: float) -> None:
        self._round.clear()
        self._answers = 0
        self._round_began = now

    def _end_round(self, now: float) -> None:
        low = sorted(self._round)[len(self._round) // 4]
        lasted = now - self._round_began
        if lasted < low or lasted <= 0:
            return  # answers come in bursts: a round shorter than one of them has no rate
        rate = self._answers / lasted
        self._restart_round(now)
        if self._base is None:
            self._base, self._rate = low, rate
        elif self._has_stalled(low, rate):
            self._slow_start = False
            self.limit = max(1.0, self.limit * self._base / low)
        elif low <= self._base * _QUEUEING_FACTOR + _QUEUEING_SECONDS:
            self._base += _SMOOTH * min(0.0, low - self._base)
            self._rate = max(self._rate * 0.9, rate)
            self._slow_rounds = 0
        elif self._slow_rounds == 0:
            self._slow_rounds = 1  # once is chance
        elif rate >= self._rate * _SAME_RATE:
            self._slow_start = False
            self._slow_rounds = 0
            self.limit = max(1.0, self.limit * self._base / low * _QUEUEING_TARGET)
        else:
            self._base, self._rate = low, rate

    def _has_stalled(self, low: float, rate: float) -> bool:
        """Whether the window, which has just doubled, brought longer answers only, and as many a second."""
        return (
            self._slow_start
            and low > (self._base or 0.0) * _STALLED_FACTOR + _STALLED_SECONDS
            and _SAME_RATE <= rate / self._rate < 1.0 / _SAME_RATE
        )


def _per_minute(limit: float | None) -> Bucket | None:
    """A bucket for a limit a minute, which lets one second's worth through at once."""
    return None if limit is None else Bucket(rate=limit / 60.0, burst=max(1.0, limit / 60.0))
