"""How many requests may be in flight, and how fast they may be sent: one controller an endpoint.

Pure logic: every method is told the time, nothing here waits. Four signals move it.

- Answers let it grow: by one an answer at first (slow start), later by about one a round
  trip; only while the window was really used.
- A refusal (429) cuts it once a window, closes the gate for as long as the provider asks,
  and teaches it a pace: between two refusals the provider's allowance went from empty to
  empty, so what was accepted meanwhile, over the time, is what it refills.
- Faults (5xx, time-outs) stop its growth for a while.
- Latency: a server that queues instead of refusing shows it in the low quantile, which a
  heavy tail does not move. A cut that does not bring the quantile down was not queueing
  (the answers have become longer): the cut is taken back.

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
_QUEUEING_FACTOR = 1.6
_QUEUEING_SECONDS = 0.02  # below this a rise is the client's own noise
_LEAST_SAMPLES = 16
_MARGIN = 0.98  # of a learned pace: staying below is cheaper than being refused
_PROBE_UNSURE = 0.10  # a second, relative; before a pace was measured between two refusals
_PROBE_SURE = 0.005
_SLACK_SECONDS = 0.02  # how much of its pace a late gate may make up for at once


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
        self._accepted = 0
        self._episode: tuple[float, int] | None = None  # when it was last refused, and what was accepted by then
        self._started: float | None = None
        self._probed_at = 0.0
        self._measured = False
        self._round: list[float] = []
        self._round_began = 0.0
        self._base: float | None = None
        self._trial: tuple[float, float] | None = None  # limit and quantile before a cut for latency

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
        if self.pace is not None:
            ready = max(ready, self._next_send)
        if self._requests is not None:
            ready = max(ready, self._requests.ready_at(now))
        if self._tokens is not None:
            ready = max(ready, self._tokens.ready_at(now))
        return ready

    def sent(self, now: float) -> None:
        """A request goes out."""
        if self._started is None:
            self._started = self._round_began = now
        if self.pace is not None:
            self._probe(now)
            self._next_send = max(self._next_send, now - _SLACK_SECONDS) + 1.0 / self.pace
        if self._requests is not None:
            self._requests.spend(now, 1.0)
        if self._tokens is not None:
            self._tokens.spend(now, self._tokens_each)

    def _probe(self, now: float) -> None:
        """Ask for a little more as time goes by without a refusal."""
        assert self.pace is not None
        self.pace *= 1.0 + (_PROBE_SURE if self._measured else _PROBE_UNSURE) * (now - self._probed_at)
        self._probed_at = now

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
        self._accepted += 1
        if self._tokens is not None and tokens is not None:
            self._tokens.spend(now, tokens - self._tokens_each)
            self._tokens_each += 0.1 * (tokens - self._tokens_each)
        if quota is not None:
            self._heed(now, quota)
        if sent_at >= self._round_began:
            self._round.append(latency)
            if len(self._round) >= max(_LEAST_SAMPLES, min(self.limit, 256)):
                self._end_round(now)
        if in_flight >= self.limit - 1 and now >= self._no_growth_until and self.limit < self.ceiling:
            self.limit = min(self.ceiling, self.limit + (1.0 if self._slow_start else 1.0 / self.limit))

    def refused(self, now: float, *, sent_at: float, wait: float, quota: Quota | None = None) -> None:
        """The provider refused for rate, and is to be left alone for `wait` seconds."""
        self.refusals += 1
        if quota is not None:
            self._heed(now, quota)
        if self._episode is None or sent_at > self._episode[0]:
            self._learn_pace(now)
            self.limit = max(1.0, self.limit * _CUT)
            self._slow_start = False
            self._restart_round(now)
            self._trial = None
        self.paused_until = max(self.paused_until, now + wait)
        self._next_send = max(self._next_send, self.paused_until)

    def faulted(self, now: float) -> None:
        """The server failed (5xx, time-out): it passed the limiter, and more is not what it needs."""
        self._accepted += 1
        self._slow_start = False
        self._no_growth_until = now + _FAULT_PAUSE_SECONDS

    def _learn_pace(self, now: float) -> None:
        since, accepted = self._episode or (self._started or now, 0)
        elapsed, gained = now - since, self._accepted - accepted
        self._measured = self._episode is not None
        self._episode = (now, self._accepted)
        self._probed_at = now
        if elapsed > 0 and gained > 0:
            self.pace = gained / elapsed * _MARGIN

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
        self._round_began = now

    def _end_round(self, now: float) -> None:
        latencies = sorted(self._round)
        low = latencies[len(latencies) // 4]
        self._restart_round(now)
        if self._base is None or low < self._base:
            self._base = low
        if self._trial is not None:
            self._judge_trial(low)
        elif low > self._base * _QUEUEING_FACTOR + _QUEUEING_SECONDS:
            self._trial = (self.limit, low)
            self._slow_start = False
            self.limit = max(1.0, self.limit * self._base / low * _QUEUEING_FACTOR * _CUT)

    def _judge_trial(self, low: float) -> None:
        assert self._trial is not None
        limit, before = self._trial
        self._trial = None
        if low > 0.9 * before:
            self._base, self.limit = low, limit


def _per_minute(limit: float | None) -> Bucket | None:
    """A bucket for a limit a minute, which lets one second's worth through at once."""
    return None if limit is None else Bucket(rate=limit / 60.0, burst=max(1.0, limit / 60.0))
