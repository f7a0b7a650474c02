"""The window of an endpoint: doubled each round trip, cut by a refusal or a queue, within what the user allows."""

from __future__ import annotations

import pytest

from limbeck._engine.limits.width import Width


def answered(width: Width, number: int, *, latency: float = 0.1, needed: float = 0.0, at: float = 0.0) -> None:
    """Round trips with the window full."""
    for _ in range(number):
        width.answered(at + latency, latency=latency, sent_at=at, in_flight=int(width.limit), needed=needed)


@pytest.mark.parametrize(("ceiling", "limit"), [(1, 1), (10, 10), (1000, 64)])
def test_it_begins_with_64_or_what_the_user_allows(ceiling: int, limit: int) -> None:
    assert Width(ceiling).limit == limit


def test_each_answer_widens_it_by_one_up_to_the_ceiling() -> None:
    width = Width(100)
    answered(width, 10)
    assert width.limit == 74
    answered(width, 100)
    assert width.limit == 100


def test_a_window_that_is_not_used_is_not_widened() -> None:
    width = Width(100)
    width.answered(0.1, latency=0.1, sent_at=0.0, in_flight=3, needed=0.0)
    assert width.limit == 64


def test_a_refusal_narrows_it_and_then_it_grows_by_one_a_round_trip() -> None:
    width = Width(100)
    width.refused()
    narrowed = width.limit
    assert narrowed == pytest.approx(64 * 0.7)
    answered(width, int(narrowed))
    assert width.limit == pytest.approx(narrowed + 1, abs=0.1)


def test_after_a_refusal_it_grows_as_fast_as_the_pace_needs() -> None:
    width = Width(100)
    width.refused()
    narrowed = width.limit
    answered(width, 10, needed=100.0)
    assert width.limit == pytest.approx(narrowed + 10)


def test_it_is_never_narrower_than_one() -> None:
    width = Width(100)
    for _ in range(50):
        width.refused()
    assert width.limit == 1.0


def test_a_server_that_fails_is_not_sent_more() -> None:
    width = Width(100)
    for _ in range(10):
        width.faulted()
    answered(width, 5)
    assert width.limit == 64


def test_a_lower_ceiling_holds_at_once_and_a_higher_one_is_grown_into() -> None:
    width = Width(100)
    width.configure(10)
    assert width.limit == 10
    width.configure(50)
    assert width.limit == 10
    answered(width, 5)
    assert width.limit == 15


def test_a_queue_that_shows_in_the_latencies_narrows_it() -> None:
    width = Width(64)

    def cohort(at: float, latency: float) -> None:
        for _ in range(32):
            width.sent(at)
        answered(width, 32, latency=latency, at=at)

    cohort(0.0, 0.1)
    assert width.base == pytest.approx(0.1)
    before = width.limit
    # As many answers a second as before, each of them later: they have waited for each other.
    for _ in range(32):
        width.sent(1.0)
    for place in range(32):
        width.answered(1.0 + place / 320, latency=0.5, sent_at=1.0, in_flight=int(width.limit), needed=0.0)
    assert width.limit < before
