"""A server that is away: when it is taken for that, who is sent to see, and when it is given up."""

from __future__ import annotations

import random
from math import inf
from typing import Any, cast

import pytest

from limbeck._engine.limits.outage import Outage


class Request:
    """A request: which one it is, and how often it was spared."""

    spared = 0


def unit() -> Any:
    return cast("Any", Request())


def found_nobody(
    outage: Outage,
    now: float,
    *,
    unit: Any = None,
    in_flight: int = 1,
    patience: float = 600.0,
    answered_before: bool = False,
    retry_after: float | None = None,
) -> bool:
    return outage.found_nobody(
        cast("Any", Request()) if unit is None else unit,
        now,
        in_flight=in_flight,
        patience=patience,
        answered_before=answered_before,
        retry_after=retry_after,
    )


@pytest.fixture
def outage() -> Outage:
    """Of a server that was heard at second 0."""
    outage = Outage(_rng=random.Random(0))
    outage.heard(0.0)
    return outage


def gone(outage: Outage, now: float = 1.0) -> None:
    for _ in range(3):
        found_nobody(outage, now)
    assert outage.away


def away_after(outage: Outage, number: int, **more: Any) -> list[bool]:
    """Whether it is away after each of so many requests."""
    away = []
    for _ in range(number):
        found_nobody(outage, 1.0, **more)
        away.append(outage.away)
    return away


def test_a_server_that_was_heard_is_away_after_three_requests_in_a_row(outage: Outage) -> None:
    assert away_after(outage, 3) == [False, False, True]


def test_of_many_in_flight_more_must_have_found_nobody_but_eight_are_enough(outage: Outage) -> None:
    assert away_after(outage, 8, in_flight=1000) == [False] * 7 + [True]


def test_something_heard_between_them_begins_the_count_anew(outage: Outage) -> None:
    away_after(outage, 2)
    outage.heard(1.5)
    found_nobody(outage, 2.0)
    assert not outage.away


def test_the_first_that_find_nobody_at_a_server_that_was_heard_are_spared_too(outage: Outage) -> None:
    assert [found_nobody(outage, 1.0, in_flight=1000) for _ in range(8)] == [True] * 8


def test_a_request_that_finds_nobody_again_and_again_while_others_are_answered_is_spared_ten_times(
    outage: Outage,
) -> None:
    same, spared = unit(), []
    for second in range(12):
        spared.append(found_nobody(outage, float(second), unit=same))
        outage.heard(second + 0.5)
    assert spared == [True] * 10 + [False] * 2


def test_a_server_that_was_never_heard_is_not_waited_for_unless_it_answered_another_process() -> None:
    assert [found_nobody(Outage(), 1.0) for _ in range(9)] == [False] * 9
    known = Outage()
    assert [found_nobody(known, 1.0, answered_before=True) for _ in range(3)] == [True] * 3
    assert known.away


def test_only_a_probe_is_sent_while_it_is_away_and_one_at_a_time(outage: Outage) -> None:
    assert outage.ready_at() == 0.0
    gone(outage)
    assert outage.ready_at() == outage.next_try > 1.0
    outage.probe = probe = unit()
    assert outage.ready_at() == inf
    outage.lost(unit())
    assert outage.ready_at() == inf
    outage.lost(probe)
    assert outage.ready_at() == outage.next_try


def test_an_answer_to_what_was_sent_since_ends_the_absence_and_an_older_one_does_not(outage: Outage) -> None:
    gone(outage, 5.0)
    assert not outage.heard(4.0)
    assert outage.away
    assert outage.heard(6.0)
    assert not outage.away


def test_a_probe_that_finds_nobody_puts_the_next_one_off_for_as_long_as_is_asked(outage: Outage) -> None:
    gone(outage)
    outage.probe = probe = unit()
    assert found_nobody(outage, 10.0, unit=probe, retry_after=12.0)
    assert outage.probe is None
    assert outage.next_try >= 22.0


def test_after_the_patience_it_is_given_up_until_it_is_heard_again(outage: Outage) -> None:
    gone(outage)
    assert not found_nobody(outage, 700.0)
    assert not outage.away
    assert [found_nobody(outage, 701.0) for _ in range(9)] == [False] * 9
    outage.heard(702.0)
    assert [found_nobody(outage, 703.0) for _ in range(3)] == [True] * 3
    assert outage.away


def test_fewer_than_three_requests_that_keep_finding_nobody_are_given_up_sooner(outage: Outage) -> None:
    same = unit()
    for _ in range(3):
        found_nobody(outage, 1.0, unit=same)
    assert found_nobody(outage, 300.0, unit=same)
    assert not found_nobody(outage, 302.0, unit=same)
