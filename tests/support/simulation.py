"""A client behind the engine's controller and a server, both in simulated time: no sleep, no socket, no chance."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Protocol

from limbeck._engine.limits import Controller

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Reply:
    """What a server does with a request: when the client hears of it, and whether it was refused (for how long)."""

    at: float
    retry_after: float | None = None


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
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.burst

    def receive(self, now: float) -> Reply:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            return Reply(now + 0.002, self.retry_after)
        self.level -= 1
        return Reply(now + self.latency)


@dataclass
class QueueServer:
    """Serves `places` requests at a time, each for `latency` seconds, and lets the others wait without a word."""

    places: int
    latency: float = 0.1
    free_at: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.free_at = [0.0] * self.places

    def receive(self, now: float) -> Reply:
        start = max(now, heapq.heappop(self.free_at))
        heapq.heappush(self.free_at, start + self.latency)
        return Reply(start + self.latency)


@dataclass
class FreeServer:
    """Answers everything after what `latency` says, a function of the time the request came in."""

    latency: Callable[[float], float]

    def receive(self, now: float) -> Reply:
        return Reply(now + self.latency(now))


@dataclass
class Outcome:
    """What a simulated run came to: seconds, refusals, and requests in flight on average and at the end's limit."""

    seconds: float
    refused: int
    mean_in_flight: float
    controller: Controller


def simulate(
    server: Server, *, requests: int, controller: Controller, jitter: int = 0, until: float = 600.0
) -> Outcome:
    """Send `requests` through `controller` to `server`, refused ones again, until all are answered."""
    rng = random.Random(jitter)
    now, waiting, in_flight, answered, refused, integral = 0.0, requests, 0, 0, 0, 0.0
    order = count()
    events: list[tuple[float, int, str, float, Reply | None]] = [(0.0, next(order), "gate", 0.0, None)]
    while answered < requests and now < until:
        at, _, kind, sent_at, reply = heapq.heappop(events)
        integral += in_flight * (at - now)
        now = at
        if kind == "reply":
            assert reply is not None
            if reply.retry_after is None:
                controller.answered(now, latency=now - sent_at, sent_at=sent_at, in_flight=in_flight)
                answered += 1
            else:
                controller.refused(now, sent_at=sent_at, wait=reply.retry_after)
                refused += 1
                waiting += 1
            in_flight -= 1
        while waiting and in_flight < controller.limit:
            ready = controller.ready_at(now)
            if ready > now:
                heapq.heappush(events, (ready + rng.uniform(0, 0.001), next(order), "gate", 0.0, None))
                break
            controller.sent(now)
            waiting, in_flight = waiting - 1, in_flight + 1
            reply = server.receive(now)
            heapq.heappush(events, (reply.at, next(order), "reply", now, reply))
    return Outcome(now, refused, integral / now if now else 0.0, controller)
