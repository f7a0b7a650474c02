"""A client behind the engine's controller and a server, in simulated time: no sleep, no socket, chance from a seed."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Literal, Protocol

from limbeck._engine.limits.controller import Controller
from limbeck._engine.limits.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds until a client hears of a refusal, which costs a server nothing.
REFUSAL_SECONDS = 0.002
# How late the gate may be opened: event loops are.
LATE_SECONDS = 0.001


@dataclass(frozen=True)
class Reply:
    """What a server does with a request.

    Attributes:
        at: when the client hears of it. retry_after: refused, for so many seconds.
        fault: failed, as with a status of 500.
    """

    at: float
    retry_after: float | None = None
    fault: bool = False


class Server(Protocol):
    """Decides on each request as it comes in."""

    def receive(self, now: float) -> Reply: ...


@dataclass
class BucketServer:
    """Serves `rate` a second with an allowance that saves up to `burst`; refuses the rest at once."""

    rate: float
    burst: float
    latency: float = 0.1
    retry_after: float = 1.0
    refusal_seconds: float = REFUSAL_SECONDS
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.burst

    def receive(self, now: float) -> Reply:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            return Reply(now + self.refusal_seconds, self.retry_after)
        self.level -= 1
        return Reply(now + self.latency)


@dataclass
class CalendarServer:
    """Serves `number` in each period of `seconds`, and refuses the rest until the next one begins."""

    number: int
    seconds: float
    latency: float = 0.1
    period: int = -1
    used: int = 0

    def receive(self, now: float) -> Reply:
        if int(now / self.seconds) != self.period:
            self.period, self.used = int(now / self.seconds), 0
        if self.used >= self.number:
            return Reply(now + REFUSAL_SECONDS, (self.period + 1) * self.seconds - now)
        self.used += 1
        return Reply(now + self.latency)


@dataclass
class CrowdServer:
    """Serves `places` requests at a time, and refuses the others."""

    places: int
    latency: float = 0.1
    retry_after: float = 1.0
    ends: list[float] = field(default_factory=list)

    def receive(self, now: float) -> Reply:
        while self.ends and self.ends[0] <= now:
            heapq.heappop(self.ends)
        if len(self.ends) >= self.places:
            return Reply(now + REFUSAL_SECONDS, self.retry_after)
        heapq.heappush(self.ends, now + self.latency)
        return Reply(now + self.latency)


@dataclass
class QueueServer:
    """Serves `places` requests at a time, each for what `latency` says, and lets the others wait without a word."""

    places: int
    latency: float | Callable[[], float] = 0.1
    free_at: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.free_at = [0.0] * self.places

    def receive(self, now: float) -> Reply:
        takes = self.latency if isinstance(self.latency, float) else self.latency()
        ends = max(now, heapq.heappop(self.free_at)) + takes
        heapq.heappush(self.free_at, ends)
        return Reply(ends)


@dataclass
class FreeServer:
    """Answers everything after what `latency` says, a function of the time the request came in."""

    latency: Callable[[float], float]

    def receive(self, now: float) -> Reply:
        return Reply(now + self.latency(now))


@dataclass
class Faulty:
    """A server behind something that fails for a part of the requests that it admits, or refuses that part."""

    server: Server
    part: float
    rng: random.Random
    kind: Literal["fault", "refusal"] = "fault"
    retry_after: float = 0.1

    def receive(self, now: float) -> Reply:
        if self.kind == "refusal" and self.rng.random() < self.part:
            return Reply(now + REFUSAL_SECONDS, self.retry_after)
        reply = self.server.receive(now)
        failed = reply.retry_after is None and self.rng.random() < self.part and self.kind == "fault"
        return Reply(reply.at, fault=True) if failed else reply


@dataclass
class Outcome:
    """What a simulated run came to: seconds, refusals, faults, and requests in flight on average and at most."""

    seconds: float
    refused: int
    faults: int
    mean_in_flight: float
    most_in_flight: int
    controller: Controller


def simulate(
    server: Server, *, requests: int, controller: Controller, jitter: int = 0, until: float = 3600.0
) -> Outcome:
    """Send `requests` through `controller` to `server`, those that failed again, until all are answered.

    Args:
        jitter: the seed of the gate's lateness (up to a millisecond) and of the waits after faults.
    """
    return _Client(server, requests, controller, random.Random(jitter)).run(until)


class _Client:
    def __init__(self, server: Server, requests: int, controller: Controller, rng: random.Random) -> None:
        self._server = server
        self._rng = rng
        self._controller = controller
        self._order = count()
        self._events: list[tuple[float, int, float, Reply | None]] = []
        self._left = self._waiting = requests
        self._outcome = Outcome(0.0, 0, 0, 0.0, 0, controller)
        self._in_flight = 0
        self._gate_at: float | None = None

    def run(self, until: float) -> Outcome:
        now, integral, outcome = 0.0, 0.0, self._outcome
        self._wake_at(0.0)
        while self._left and now < until:
            at, _, sent_at, reply = heapq.heappop(self._events)
            integral += self._in_flight * (at - now)
            now = at
            if reply is not None:
                self._take(now, sent_at, reply)
            elif sent_at < 0:
                self._waiting += 1  # its wait after a fault is over
            elif at == self._gate_at:
                self._gate_at = None
            self._send(now)
        outcome.seconds, outcome.mean_in_flight = now, integral / now if now else 0.0
        return outcome

    def _take(self, now: float, sent_at: float, reply: Reply) -> None:
        controller, outcome = self._controller, self._outcome
        if reply.retry_after is not None:
            controller.refused(now, sent_at=sent_at, wait=reply.retry_after)
            outcome.refused += 1
            heapq.heappush(self._events, (now + reply.retry_after, next(self._order), -1.0, None))
        elif reply.fault:
            controller.faulted()
            outcome.faults += 1
            heapq.heappush(self._events, (now + backoff(1, self._rng), next(self._order), -1.0, None))
        else:
            controller.answered(now, latency=now - sent_at, sent_at=sent_at, in_flight=self._in_flight)
            self._left -= 1
        self._in_flight -= 1

    def _send(self, now: float) -> None:
        controller, outcome = self._controller, self._outcome
        while self._waiting and self._in_flight < controller.limit:
            ready = controller.ready_at(now)
            if ready > now:
                if self._gate_at is None or self._gate_at > ready + LATE_SECONDS:
                    self._wake_at(ready + self._rng.uniform(0, LATE_SECONDS))
                return
            controller.sent(now)
            self._waiting, self._in_flight = self._waiting - 1, self._in_flight + 1
            outcome.most_in_flight = max(outcome.most_in_flight, self._in_flight)
            reply = self._server.receive(now)
            heapq.heappush(self._events, (reply.at, next(self._order), now, reply))

    def _wake_at(self, when: float) -> None:
        self._gate_at = when
        heapq.heappush(self._events, (when, next(self._order), 0.0, None))
