"""The load that an endpoint bears, and the time of its next request: one controller an endpoint.

Pure logic: every method is told the time, nothing here waits. Answers, refusals, faults and
latencies move the width of the window (see `width`), and refusals teach a pace (see `pace`).
The gate here lets one request through at a time, keeps to the pace, to what the provider says
and to the user's own limits.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from .pace import Bucket, Pace
from .width import Width

if TYPE_CHECKING:
    from ...types import Quota

_FIRST_GAP_SECONDS = 0.00025  # at most, until the window has been used and tells how long an answer takes
_ROUNDING = 1e-9
_FILLING = 4.0  # times as fast as a full window sends in the long run
_SLACK_SECONDS = 0.01  # how much a late gate may make up for at once


class Controller:
    """The limits of one endpoint, adapted to what it answers.

    Args:
        ceiling: requests in flight at most. rpm, tpm: the user's own limits, a minute.
    """

    def __init__(self, *, ceiling: int, rpm: float | None = None, tpm: float | None = None) -> None:
        self._width = Width(ceiling)
        self._pace = Pace()
        self._asked: tuple[float | None, float | None] = (None, None)
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._tokens_each = 0.0  # running mean of what a request costs
        self._shortest = inf  # seconds of the quickest answer so far
        self._next_send = 0.0
        self._refused_at: float | None = None  # when the allowance was last found empty
        self.paused_until = 0.0
        self.configure(ceiling=ceiling, rpm=rpm, tpm=tpm)

    @property
    def limit(self) -> float:
        """Requests in flight, at most."""
        return self._width.limit

    @property
    def pace(self) -> float | None:
        """Requests a second, learned from refusals; None while nothing was refused."""
        return self._pace.rate

    def configure(self, *, ceiling: int, rpm: float | None, tpm: float | None) -> None:
        """Take the user's limits; what was learned stays."""
        self._width.configure(ceiling)
        if (rpm, tpm) != self._asked:
            self._asked = (rpm, tpm)
            self._requests, self._tokens = _per_minute(rpm), _per_minute(tpm)

    # The gate

    def ready_at(self, now: float) -> float:
        """The time at which the next request may be sent: `now` or earlier if it may be sent at once."""
        ready = max(self.paused_until, self._next_send)
        if self._requests is not None:
            ready = max(ready, self._requests.ready_at(now, 1.0 - _ROUNDING))
        if self._tokens is not None:
            ready = max(ready, self._tokens.ready_at(now))
        return ready

    def sent(self, now: float) -> None:
        """A request goes out."""
        between = self._pace.gap
        self._pace.sent(now, held_back=between is not None and now < self._next_send + between)
        self._width.sent(now)
        # Answers that come together would otherwise be followed by as many requests at once, all
        # of them on their way before the first refusal is heard.
        gap, slack = self._gap(), _SLACK_SECONDS
        between = self._pace.gap
        if between is not None and gap < between:
            gap, slack = between, min(between, slack)
        self._next_send = max(self._next_send, now - slack) + gap
        if self._requests is not None:
            self._requests.spend(now, 1.0)
        if self._tokens is not None:
            self._tokens.spend(now, self._tokens_each)

    def _gap(self) -> float:
        """Seconds between two requests that fill the window, some times as fast as answers make room in it.

        Answers that take a few milliseconds make room faster than a first guess fills it: a window that
        only ever waits for this gate is never used, and would never tell how long an answer takes.
        """
        width = self._width
        if width.base is not None:
            # After a slow start of the server's, the gate itself would keep the window from being used, and the
            # width from learning that answers have become quicker.
            return min(width.base, width.latest or width.base) / (_FILLING * self.limit)
        return min(_FIRST_GAP_SECONDS, self._shortest / (_FILLING * self.limit))

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
            in_flight: requests in flight or about to go out, this one included.
            tokens: what it cost, where that is known. quota: what the provider says is left.
        """
        if self._tokens is not None and tokens is not None:
            self._tokens.spend(now, tokens - self._tokens_each)
            self._tokens_each += 0.1 * (tokens - self._tokens_each)
        if quota is not None:
            self._heed(now, quota)
        self._shortest = min(self._shortest, latency)
        needed = (self._pace.rate or 0.0) * (self._width.base or latency)
        self._width.answered(now, latency=latency, sent_at=sent_at, in_flight=in_flight, needed=needed)

    def refused(self, now: float, *, sent_at: float, wait: float, quota: Quota | None = None) -> None:
        """The provider refused for rate, and is to be left alone for `wait` seconds."""
        if quota is not None:
            self._heed(now, quota)
        # What was on its way when the first was heard has nothing new to say of the window.
        first = self._refused_at is None or sent_at > self._refused_at
        self._pace.refused(sent_at=sent_at, wait=wait, first=first)
        if first:
            self._refused_at = now
            self._width.refused()
        self.paused_until = max(self.paused_until, now + wait)
        self._next_send = max(self._next_send, self.paused_until)

    def faulted(self) -> None:
        """The server failed (5xx, time-out): more is not what it needs."""
        self._width.faulted()

    def _heed(self, now: float, quota: Quota) -> None:
        for remaining, reset in (
            (quota.requests_remaining, quota.requests_reset),
            (quota.tokens_remaining, quota.tokens_reset),
        ):
            if remaining is not None and remaining <= 0 and reset:
                self.paused_until = max(self.paused_until, now + reset)


def _per_minute(limit: float | None) -> Bucket | None:
    """A bucket for a limit a minute, which lets one second's worth through at once."""
    return None if limit is None else Bucket(rate=limit / 60.0, burst=max(1.0, limit / 60.0))
