"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck._engine.limits.retry import backoff


class Highest(random.Random):
    """Draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(random.Random):
    """Draws the lower bound."""

    def uniform(self, a: float, b: float) -> float:
        return a


def test_the_bound_doubles_with_each_attempt_up_to_a_minute() -> None:
    assert [backoff(attempt, Highest()) for attempt in range(1, 11)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_wait_may_be_any_time_below_the_bound() -> None:
    assert [backoff(attempt, Lowest()) for attempt in range(1, 6)] == [0.0] * 5


def test_waiters_do_not_come_back_together() -> None:
    rng = random.Random(0)
    waits = sorted(backoff(4, rng) for _ in range(256))
    assert waits[0] < 0.2
    assert waits[-1] > 3.8
    assert max(later - earlier for earlier, later in pairwise(waits)) < 0.3


def test_what_the_provider_asks_for_is_a_floor_on_which_the_jitter_is_added() -> None:
    assert backoff(1, Lowest(), retry_after=7.0) == 7.0
    assert backoff(1, Highest(), retry_after=7.0) == 7.5


def test_the_same_source_of_chance_gives_the_same_waits() -> None:
    first, second = random.Random(5), random.Random(5)
    assert [backoff(n, first) for n in range(1, 9)] == [backoff(n, second) for n in range(1, 9)]


@given(attempt=st.integers(1, 10**9), seed=st.integers(), retry_after=st.none() | st.floats(0, 1e6))
def test_a_wait_is_never_negative_and_at_most_a_minute_beyond_what_is_asked_for(
    attempt: int, seed: int, retry_after: float | None
) -> None:
    wait = backoff(attempt, random.Random(seed), retry_after=retry_after)
    assert (retry_after or 0.0) <= wait <= (retry_after or 0.0) + 60.0


@pytest.mark.parametrize("attempt", [17, 100, 5000])
def test_a_late_attempt_costs_no_arithmetic_overflow(attempt: int) -> None:
    assert backoff(attempt, Highest()) == 60.0
