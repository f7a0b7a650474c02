"""The controller under any sequence of events: what must hold whatever comes back."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from limbeck._engine.limits.controller import Controller
from limbeck.types import Quota

SLACK = 1e-6


class ControllerMachine(RuleBasedStateMachine):
    """A client that obeys the controller, and a server that does what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.controller: Controller | None = None
        self.now = 0.0
        self.in_flight: list[float] = []
        self.sends: list[float] = []
        self.closed_until = 0.0
        self.last_refusal = -1.0
        self.cuts = 0

    @initialize(
        ceiling=st.integers(1, 300),
        rpm=st.none() | st.floats(6, 6000),
        tpm=st.none() | st.floats(100, 100_000),
    )
    def begin(self, ceiling: int, rpm: float | None, tpm: float | None) -> None:
        self.ceiling, self.rpm, self.tpm = ceiling, rpm, tpm
        self.spent: list[tuple[float, int]] = []
        self.controller = Controller(ceiling=ceiling, rpm=rpm, tpm=tpm)

    @property
    def running(self) -> Controller:
        assert self.controller is not None
        return self.controller

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(1, 40))
    def send(self, number: int) -> None:
        """As a window does: when the gate opens, as long as there is room."""
        for _ in range(number):
            if len(self.in_flight) >= self.running.limit:
                return
            self.now = max(self.now, self.running.ready_at(self.now))
            assert self.now >= self.closed_until - SLACK
            self.running.sent(self.now)
            self.sends.append(self.now)
            self.in_flight.append(self.now)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), tokens=st.none() | st.integers(0, 2000), used_up=st.booleans())
    def answer(self, data: st.DataObject, tokens: int | None, used_up: bool) -> None:
        sent_at = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        quota = Quota(requests_remaining=0, requests_reset=3.0) if used_up else None
        before = self.running.limit
        self.running.answered(
            self.now,
            latency=self.now - sent_at,
            sent_at=sent_at,
            in_flight=len(self.in_flight) + 1,
            tokens=tokens,
            quota=quota,
        )
        if used_up:
            self.closed_until = max(self.closed_until, self.now + 3.0)
        assert self.running.limit <= before + 1.0 + SLACK

    @precondition(lambda self: self.in_flight)
    @rule(number=st.integers(1, 20), seconds=st.floats(0.01, 30))
    def refuse(self, number: int, seconds: float) -> None:
        """The newest that are on their way come back together."""
        before = self.running.limit
        volley = self.in_flight[-number:]
        fresh = any(sent_at > self.last_refusal for sent_at in volley)
        for sent_at in volley:
            self.in_flight.remove(sent_at)
            self.running.refused(self.now, sent_at=sent_at, wait=seconds)
        self.closed_until = max(self.closed_until, self.now + seconds)
        if fresh:
            self.last_refusal = self.now
        assert self.running.limit >= max(1.0, before * (0.7 if fresh else 1.0)) - SLACK

    @precondition(lambda self: self.in_flight)
    @rule()
    def fail(self) -> None:
        self.in_flight.pop()
        before = self.running.limit
        self.running.faulted()
        assert self.running.limit == before

    @precondition(lambda self: self.in_flight)
    @rule()
    def cancel_all(self) -> None:
        self.in_flight.clear()

    @precondition(lambda self: self.controller is not None)
    @rule(ceiling=st.integers(1, 300))
    def configure(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.running.configure(ceiling=ceiling, rpm=self.rpm, tpm=self.tpm)

    @precondition(lambda self: self.controller is not None)
    @invariant()
    def the_window_is_between_one_and_what_the_user_allows(self) -> None:
        assert 1.0 <= self.running.limit <= self.ceiling

    @precondition(lambda self: self.controller is not None)
    @invariant()
    def the_pace_is_a_number_that_lets_something_through(self) -> None:
        pace = self.running.pace
        assert pace is None or (0.0 < pace < math.inf)

    @precondition(lambda self: self.controller is not None and not self.tpm)
    @invariant()
    def the_gate_opens_again(self) -> None:
        # Beyond a pause: a gap of the slowest pace, which is one request in the longest wait, or of the user's own.
        own = 60.0 / self.rpm if self.rpm else 0.0
        assert self.running.ready_at(self.now) <= max(self.now, self.closed_until) + 60.0 + own

    @precondition(lambda self: self.controller is not None and self.rpm is not None)
    @invariant()
    def the_users_requests_a_minute_are_kept_over_any_stretch_of_time(self) -> None:
        assert self.rpm is not None
        rate = self.rpm / 60.0
        for first in range(len(self.sends)):
            passed, seconds = len(self.sends) - first, self.sends[-1] - self.sends[first]
            assert passed <= max(1.0, rate) + rate * seconds + SLACK


TestControllerMachine = ControllerMachine.TestCase
TestControllerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
