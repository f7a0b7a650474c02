"""The limits of one endpoint, against servers of all sorts, in simulated time."""

from __future__ import annotations

import heapq
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from limbeck._engine.limits.controller import Controller
from limbeck._engine.limits.pace import Bucket
from limbeck.types import Quota

from ..simulation import BucketServer, CalendarServer, CrowdServer, Faulty, FreeServer, QueueServer, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..simulation import Outcome, Server

CEILING = 256


def run(server: Server, requests: int = 2000, *, jitter: int = 0, until: float = 600.0, **limits: Any) -> Outcome:
    return simulate(
        server, requests=requests, controller=Controller(ceiling=CEILING, **limits), jitter=jitter, until=until
    )


# Servers that refuse


@pytest.mark.parametrize(
    ("burst", "retry_after", "at_most"),
    [
        (20, 0.1, 1.05),
        (20, 1.0, 1.25),  # two pauses of a second cost 1.18: such a server saves up next to nothing in them
        (50, 1.0, 1.25),
        (100, 0.1, 1.05),
        (100, 1.0, 1.25),
        (200, 0.1, 1.05),
        (200, 1.0, 1.10),
        (400, 1.0, 1.12),
    ],
)
def test_an_allowance_is_used_to_nearly_all_of_it_and_few_are_refused(
    burst: float, retry_after: float, at_most: float
) -> None:
    outcome = run(BucketServer(rate=200, burst=burst, retry_after=retry_after))
    assert outcome.seconds <= at_most * ((2000 - burst) / 200 + 0.1)
    assert outcome.refused < 0.03 * 2000


@pytest.mark.parametrize("jitter", [0, 1, 2])
def test_faults_between_refusals_spoil_nothing(jitter: int) -> None:
    server = Faulty(BucketServer(rate=200, burst=200), 0.02, random.Random(jitter))
    outcome = run(server, jitter=jitter)
    assert outcome.faults > 0
    assert outcome.seconds <= 1.10 * 2000 / 200
    assert outcome.refused < 0.03 * 2000


@pytest.mark.parametrize(("burst", "at_most"), [(20, 1.12), (200, 1.04)])
def test_over_a_longer_run_less_is_lost(burst: float, at_most: float) -> None:
    outcome = run(BucketServer(rate=200, burst=burst), requests=10_000)
    assert outcome.seconds <= at_most * (10_000 - burst) / 200


def test_an_allowance_by_the_calendar_is_used_up_in_each_period() -> None:
    outcome = run(CalendarServer(500, 60.0), requests=2000)
    assert outcome.seconds <= 3 * 60 + 10
    assert outcome.refused < 0.03 * 2000


@pytest.mark.parametrize("burst", [20, 200])
def test_refusals_that_are_heard_of_late_teach_the_same_pace(burst: float) -> None:
    outcome = run(BucketServer(rate=200, burst=burst, refusal_seconds=0.05))
    assert outcome.seconds <= 1.25 * (2000 - burst) / 200


def test_a_slow_allowance_is_found_too() -> None:
    outcome = run(BucketServer(rate=20, burst=2), requests=1000)
    assert outcome.seconds <= 1.25 * (1000 - 2) / 20


@pytest.mark.parametrize("burst", [20, 200])
def test_a_window_cut_by_refusals_grows_back_to_what_the_pace_needs(burst: float) -> None:
    """Answers of a second at 200 a second need 200 in flight: growth by one a round trip would take minutes."""
    outcome = run(BucketServer(rate=200, burst=burst, latency=1.0))
    assert outcome.seconds < 1.5 * ((2000 - burst) / 200 + 1.0)


def test_a_crowd_that_is_refused_narrows_the_window() -> None:
    outcome = run(CrowdServer(50, retry_after=0.1), requests=5000)
    assert outcome.seconds <= 1.5 * 5000 * 0.1 / 50
    assert outcome.refused < 0.03 * 5000


def test_the_pace_that_is_learned_is_the_servers() -> None:
    outcome = run(BucketServer(rate=200, burst=20), requests=2000)
    assert outcome.controller.pace == pytest.approx(200, rel=0.05)


def test_refusals_become_fewer() -> None:
    early = run(BucketServer(rate=200, burst=20), requests=1000).refused
    late = run(BucketServer(rate=200, burst=20), requests=2000).refused - early
    assert late < early


def test_a_server_that_relents_is_soon_used_to_the_full_again() -> None:
    class Relenting(BucketServer):
        def receive(self, now: float) -> Any:
            if now > 30:
                self.rate = 200.0
            return super().receive(now)

    outcome = run(Relenting(rate=20, burst=20), requests=4600)
    assert outcome.seconds < 30 + 1.6 * (4600 - 600) / 200


def test_a_server_that_becomes_stricter_is_obeyed() -> None:
    class Tightening(BucketServer):
        def receive(self, now: float) -> Any:
            if now > 10:
                self.rate = 50.0
            return super().receive(now)

    outcome = run(Tightening(rate=200, burst=200), requests=4000)
    assert outcome.seconds < 1.1 * (10 + (4000 - 2200) / 50)


def test_a_refusal_cuts_the_window_once_however_many_requests_were_on_their_way() -> None:
    controller = Controller(ceiling=100)
    for _ in range(32):
        controller.sent(0.0)
    for place in range(10):
        controller.refused(0.1 + place / 1000, sent_at=0.0, wait=1.0)
    assert controller.limit == pytest.approx(64 * 0.7)
    controller.sent(1.2)
    controller.refused(1.3, sent_at=1.2, wait=1.0)
    assert controller.limit == pytest.approx(64 * 0.7 * 0.7)


def test_a_refusal_closes_the_gate_for_as_long_as_the_server_asks() -> None:
    controller = Controller(ceiling=100)
    controller.sent(0.0)
    controller.refused(1.0, sent_at=0.0, wait=30.0)
    controller.refused(1.5, sent_at=0.0, wait=5.0)
    assert controller.ready_at(2.0) >= 31.0
    assert controller.ready_at(31.0) <= 31.0


def test_after_a_pause_requests_go_out_one_by_one() -> None:
    controller = Controller(ceiling=100)
    for _ in range(10):
        controller.sent(0.0)
    controller.refused(0.5, sent_at=0.0, wait=1.0)
    now, sends = 1.5, []
    for _ in range(20):
        controller.sent(now)
        sends.append(now)
        now = max(now, controller.ready_at(now))
    assert len(set(sends)) == 20


@given(refusals=st.integers(1, 200), ceiling=st.integers(1, 512))
def test_however_much_is_refused_one_request_may_still_be_in_flight(refusals: int, ceiling: int) -> None:
    controller = Controller(ceiling=ceiling)
    for number in range(refusals):
        controller.sent(2.0 * number)
        controller.refused(2.0 * number + 1, sent_at=2.0 * number, wait=0.5)
    assert 1.0 <= controller.limit <= ceiling


# Servers that queue


@pytest.mark.parametrize("latency", [0.05, 0.1, 1.0])
def test_a_server_that_queues_is_filled_and_not_flooded(latency: float) -> None:
    outcome = run(QueueServer(32, latency))
    assert outcome.mean_in_flight <= 80
    assert outcome.seconds <= 1.05 * 2000 * latency / 32


def test_a_server_that_queues_and_whose_answers_vary_is_filled_and_not_flooded() -> None:
    rng = random.Random(4)
    outcome = run(QueueServer(32, lambda: rng.expovariate(10.0)), requests=4000)
    assert outcome.mean_in_flight <= 96
    assert outcome.seconds <= 1.25 * 4000 * 0.1 / 32


def test_a_window_that_grew_wide_while_connections_were_made_is_narrowed_all_the_same() -> None:
    class Cold(QueueServer):
        def receive(self, now: float) -> Any:
            reply = super().receive(now)
            return replace(reply, at=reply.at + 0.3) if now < 0.5 else reply

    outcome = run(Cold(32), requests=6000)
    assert outcome.most_in_flight > 200
    assert (
        outcome.controller.limit <= 1.5 * 0.4 * 320
    )  # the first answers took 0.4 s: what is usual is learned from them
    assert outcome.seconds <= 1.05 * 6000 * 0.1 / 32


@pytest.mark.parametrize("places", [1, 4, 100])
def test_a_server_of_any_width_is_kept_busy(places: int) -> None:
    outcome = run(QueueServer(places, 1.0), requests=500, until=1e6)
    assert outcome.seconds <= 1.25 * 500 / places
    assert outcome.mean_in_flight <= max(2.0 * places, 80)


# Servers that do neither


@pytest.mark.parametrize("latency", [0.05, 0.1, 1.0])
def test_a_free_server_gets_all_that_the_user_allows(latency: float) -> None:
    outcome = run(FreeServer(lambda now: latency), requests=4000)
    assert outcome.controller.limit == CEILING
    assert outcome.seconds <= 1.15 * 4000 * latency / CEILING
    assert outcome.refused == 0


@pytest.mark.parametrize("latency", [0.0005, 0.001, 0.004])
def test_a_server_that_answers_at_once_is_not_kept_waiting(latency: float) -> None:
    """The gate lets one request through at a time, but not more slowly than a full window sends them."""
    outcome = run(FreeServer(lambda now: latency), requests=20_000)
    assert outcome.controller.limit == CEILING
    assert outcome.seconds <= 1.5 * 20_000 * latency / CEILING + 0.1


def exponential(rng: random.Random) -> float:
    return rng.expovariate(1.0)


def lognormal(rng: random.Random) -> float:
    return rng.lognormvariate(0.0, 0.8)


def very_skewed(rng: random.Random) -> float:
    return rng.lognormvariate(0.0, 1.2)


def heavy_tailed(rng: random.Random) -> float:
    return 50.0 if rng.random() < 0.02 else 1.0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("draw", [exponential, lognormal, very_skewed, heavy_tailed])
def test_answers_that_vary_narrow_nothing(draw: Callable[[random.Random], float], seed: int) -> None:
    def server() -> Callable[[float], float]:
        rng = random.Random(seed)
        return lambda _now: draw(rng)

    outcome = run(FreeServer(server()), requests=5000, jitter=seed)
    assert outcome.controller.limit == CEILING
    assert outcome.seconds <= 1.12 * run_at_full_width(server(), 5000)


def test_faults_now_and_then_narrow_nothing() -> None:
    outcome = run(Faulty(FreeServer(lambda now: 0.1), 0.02, random.Random(0)), requests=8000)
    assert outcome.controller.limit == CEILING
    assert outcome.seconds < 1.4 * 8000 * 0.1 / CEILING


@pytest.mark.parametrize("ceiling", [8, 64, 256])
@pytest.mark.parametrize("cold", [0.5, 5.0, 30.0])
def test_a_server_that_is_slow_at_first_is_used_to_the_full_afterwards(cold: float, ceiling: int) -> None:
    server = FreeServer(latency=lambda now: cold if now < cold else 0.05)
    outcome = simulate(server, requests=20 * ceiling, controller=Controller(ceiling=ceiling))
    assert outcome.seconds < 3 * cold + 2 * 20 * 0.05


@pytest.mark.parametrize("factor", [2, 3, 10])
def test_answers_that_become_longer_are_not_taken_for_queueing(factor: int) -> None:
    outcome = run(FreeServer(lambda now: 1.0 if now < 20 else float(factor)), requests=10_000)
    assert outcome.controller.limit == CEILING
    assert outcome.mean_in_flight > 0.85 * CEILING


@pytest.mark.parametrize("seconds", [10, 60, 300])
def test_answers_that_become_longer_little_by_little_cost_at_most_half_as_much_again(seconds: float) -> None:
    def latency(now: float) -> float:
        return 1.0 + 2.0 * min(1.0, now / seconds)

    outcome = run(FreeServer(latency), requests=20_000)
    assert outcome.seconds < 1.5 * run_at_full_width(latency, 20_000)


def run_at_full_width(latency: Callable[[float], float], requests: int) -> float:
    """Seconds it takes with as many in flight as the user allows, from the first to the last."""
    left, ends = requests, [0.0] * CEILING
    while left:
        heapq.heapreplace(ends, ends[0] + latency(ends[0]))
        left -= 1
    return max(ends)


# Growth


def answer(controller: Controller, number: int, *, in_flight: int, now: float = 1.0) -> None:
    for _ in range(number):
        controller.sent(now - 0.1)
        controller.answered(now, latency=0.1, sent_at=now - 0.1, in_flight=in_flight)


def test_a_window_grows_by_one_an_answer_at_first() -> None:
    controller = Controller(ceiling=256)
    assert controller.limit == 64
    answer(controller, 10, in_flight=64)
    assert controller.limit == 74


def test_a_window_that_is_not_used_does_not_grow() -> None:
    controller = Controller(ceiling=256)
    answer(controller, 100, in_flight=3)
    assert controller.limit == 64


def test_a_window_never_exceeds_the_users_own_limit() -> None:
    assert Controller(ceiling=7).limit == 7
    controller = Controller(ceiling=80)
    answer(controller, 100, in_flight=80)
    assert controller.limit == 80


def test_several_faults_among_the_last_answers_stop_the_growth_and_answers_without_any_let_it_go_on() -> None:
    controller = Controller(ceiling=256)
    for _ in range(6):
        controller.faulted()
    answer(controller, 10, in_flight=64)
    assert controller.limit == 64
    answer(controller, 60, in_flight=64)
    assert controller.limit > 64


def test_a_fault_narrows_nothing() -> None:
    controller = Controller(ceiling=256)
    for _ in range(50):
        controller.faulted()
    assert controller.limit == 64


def test_a_slow_answer_does_not_widen_the_window() -> None:
    controller = Controller(ceiling=256)
    answer(controller, 64, in_flight=200)
    before = controller.limit
    controller.answered(9.0, latency=1.0, sent_at=8.0, in_flight=200)
    assert controller.limit == before


# The user's own limits


def test_requests_a_minute_are_kept_from_the_first_one() -> None:
    outcome = run(FreeServer(lambda now: 0.01), requests=600, rpm=600)
    assert outcome.seconds == pytest.approx(59.0, abs=1.1)  # ten at once, then ten a second


def test_a_limit_below_one_a_second_lets_one_through_at_once() -> None:
    outcome = run(FreeServer(lambda now: 0.01), requests=4, rpm=6)
    assert outcome.seconds == pytest.approx(30.0, abs=0.1)


def test_tokens_a_minute_are_kept_once_it_is_known_what_an_answer_costs() -> None:
    controller = Controller(ceiling=256, tpm=60_000)
    now, sent = 0.0, 0
    while now < 60.0:
        now = max(now, controller.ready_at(now))
        controller.sent(now)
        controller.answered(now + 0.001, latency=0.001, sent_at=now, in_flight=1, tokens=500)
        sent += 1
        now += 0.001
    assert 60_000 <= 500 * sent <= 66_000


def test_one_answer_that_costs_more_than_the_limit_is_waited_for_and_not_for_ever() -> None:
    controller = Controller(ceiling=256, tpm=6_000)
    controller.sent(0.0)
    controller.answered(0.1, latency=0.1, sent_at=0.0, in_flight=1, tokens=6_100)
    assert controller.ready_at(0.2) == pytest.approx(60.1, abs=0.2)


def test_what_was_learned_stays_when_the_users_limits_change() -> None:
    controller = Controller(ceiling=256)
    answer(controller, 50, in_flight=80)
    controller.refused(1.1, sent_at=1.05, wait=3.0)
    learned = (controller.limit, controller.pace, controller.paused_until)
    controller.configure(ceiling=200, rpm=None, tpm=None)
    assert (controller.limit, controller.pace, controller.paused_until) == learned
    controller.configure(ceiling=5, rpm=None, tpm=None)
    assert controller.limit == 5


def test_saying_the_same_limits_again_does_not_fill_the_bucket_again() -> None:
    controller = Controller(ceiling=256, rpm=60)
    controller.sent(0.0)
    controller.configure(ceiling=256, rpm=60, tpm=None)
    assert controller.ready_at(0.0) == pytest.approx(1.0)


# What a provider says of its quota


@pytest.mark.parametrize(
    "quota",
    [Quota(requests_remaining=0, requests_reset=12.0), Quota(tokens_remaining=0, tokens_reset=12.0)],
    ids=["requests", "tokens"],
)
def test_a_quota_that_is_used_up_closes_the_gate_until_it_is_full_again(quota: Quota) -> None:
    controller = Controller(ceiling=256)
    controller.answered(1.0, latency=0.1, sent_at=0.9, in_flight=1, quota=quota)
    assert controller.ready_at(1.0) == 13.0


@pytest.mark.parametrize(
    "quota",
    [
        Quota(),
        Quota(requests_remaining=1, requests_reset=12.0),
        Quota(requests_remaining=0),
        Quota(requests_reset=12.0),
    ],
    ids=["nothing is said", "one is left", "no time is said", "no number is said"],
)
def test_a_quota_that_is_not_used_up_or_not_told_in_full_closes_nothing(quota: Quota) -> None:
    controller = Controller(ceiling=256)
    controller.answered(1.0, latency=0.1, sent_at=0.9, in_flight=1, quota=quota)
    assert controller.ready_at(1.0) <= 1.0


def test_the_quota_beside_a_refusal_counts_too() -> None:
    controller = Controller(ceiling=256)
    controller.sent(0.0)
    controller.refused(1.0, sent_at=0.0, wait=1.0, quota=Quota(requests_remaining=0, requests_reset=20.0))
    assert controller.ready_at(1.0) == 21.0


# The bucket


class BucketMachine(RuleBasedStateMachine):
    """A bucket lets no more through than it holds at first and what came in since."""

    @initialize(rate=st.floats(0.1, 1000), burst=st.floats(1, 100))
    def fill(self, rate: float, burst: float) -> None:
        self.bucket = Bucket(rate=rate, burst=burst)
        self.now, self.spent = 0.0, 0.0
        self.began: float | None = None

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def spend(self) -> None:
        self.now = max(self.now, self.bucket.ready_at(self.now, 1.0))
        self.began = self.now if self.began is None else self.began
        self.bucket.spend(self.now, 1.0)
        self.spent += 1.0

    @precondition(lambda self: hasattr(self, "bucket"))
    @invariant()
    def no_more_was_spent_than_there_was(self) -> None:
        elapsed = self.now - self.began if self.began is not None else 0.0
        assert self.spent <= self.bucket.burst + self.bucket.rate * elapsed + 1e-6


TestBucketMachine = BucketMachine.TestCase
