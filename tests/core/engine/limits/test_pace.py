"""The pace of an endpoint: unknown until a refusal, then learned from what was let through."""

from __future__ import annotations

import pytest

from limbeck._engine.limits.pace import Bucket, Pace


def test_a_bucket_begins_full_and_is_filled_up_to_its_burst() -> None:
    bucket = Bucket(rate=2.0, burst=4.0)
    bucket.spend(0.0, 4.0)
    assert bucket.ready_at(0.0, least=1.0) == 0.5
    assert bucket.ready_at(100.0) == 100.0
    assert bucket.level == 4.0


def test_a_bucket_may_be_overdrawn_and_is_then_waited_for() -> None:
    bucket = Bucket(rate=2.0, burst=4.0)
    bucket.spend(0.0, 10.0)
    assert bucket.ready_at(1.0) == pytest.approx(3.0)


def test_what_is_given_back_does_not_overfill_it() -> None:
    bucket = Bucket(rate=1.0, burst=4.0)
    bucket.spend(0.0, -9.0)
    assert bucket.level == 4.0


def test_nothing_paces_requests_before_the_first_refusal() -> None:
    pace = Pace()
    for number in range(100):
        pace.sent(number / 100, held_back=False)
    assert (pace.rate, pace.gap) == (None, None)


def paced(*, gap: float, number: int, wait: float = 1.0) -> Pace:
    """The pace after a refusal of the last of some requests."""
    pace = Pace()
    for place in range(number):
        pace.sent(place * gap, held_back=False)
    pace.refused(sent_at=(number - 1) * gap, wait=wait, first=True)
    return pace


def test_the_first_refusal_gives_a_pace() -> None:
    pace = paced(gap=0.01, number=200)
    assert pace.rate is not None
    assert 0.0 < pace.rate < 100.0
    assert pace.gap == pytest.approx(1.0 / pace.rate)


def test_a_longer_wait_after_the_same_requests_is_a_slower_pace() -> None:
    rates = [paced(gap=0.01, number=200, wait=wait).rate for wait in (0.5, 1.0, 10.0, 60.0)]
    assert rates == sorted(rates, reverse=True, key=lambda rate: rate or 0.0)


def test_refusals_that_come_in_late_only_slow_it_down() -> None:
    pace = paced(gap=0.01, number=200)
    before = pace.rate or 0.0
    for place in range(190, 199):
        pace.refused(sent_at=place * 0.01, wait=1.0, first=False)
    assert (pace.rate or 0.0) <= before


def test_it_grows_while_it_is_what_holds_requests_back_and_only_then() -> None:
    pace = paced(gap=0.01, number=200)
    before = pace.rate
    for place in range(100):
        pace.sent(4.0 + place * 0.1, held_back=False)
    assert pace.rate == before
    for place in range(100):
        pace.sent(15.0 + place * 0.1, held_back=True)
    assert (pace.rate or 0.0) > (before or 0.0)
