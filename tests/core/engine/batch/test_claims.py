"""Which row waits for which entry that an earlier run left: its own first, else one that asked the same."""

from __future__ import annotations

from typing import Any, cast

from limbeck._engine.batch.claims import Claims
from limbeck._engine.calls.jobs import Job, Unit
from limbeck._engine.ledger.batch_records import Entry
from limbeck.types import GenerationRequest


def unit(row: str, *samples: int, key: bytes = b"k") -> Unit:
    job = Job(0, row, {}, len(samples))
    job.key = key
    return Unit(cast("Any", None), job, GenerationRequest(messages=[]), list(samples))


def entry(row: str, *samples: int, key: bytes = b"k") -> Entry:
    return Entry(row, samples, key)


def claims(*entries: Entry) -> Claims:
    claims = Claims()
    for each in entries:
        claims.expect(each)
    return claims


def test_a_row_takes_its_own_entry_before_another_with_the_same_key() -> None:
    other, own = entry("1", 0), entry("7", 0)
    assert claims(other, own).claim(unit("7", 0)) == ([own], None)


def test_a_row_that_has_moved_takes_an_entry_of_the_same_request() -> None:
    moved = entry("1", 0)
    claimed, rest = claims(moved).claim(unit("7", 0))
    assert (claimed, rest) == ([moved], None)
    assert moved.row == "7"
    assert moved.unit is not None
    assert moved.unit.attempts == 1


def test_another_request_is_not_answered_by_it() -> None:
    asked = unit("7", 0, key=b"other")
    assert claims(entry("7", 0)).claim(asked) == ([], asked)


def test_an_entry_is_claimed_once_and_not_at_all_when_it_is_forgotten() -> None:
    first, forgotten = entry("7", 0), entry("8", 0, key=b"8")
    both = claims(first, forgotten)
    both.forget(forgotten)
    both.claim(unit("7", 0))
    for again in (unit("7", 0), unit("8", 0, key=b"8")):
        assert both.claim(again) == ([], again)


def test_samples_that_no_entry_has_are_left_over_with_what_the_unit_has_been_through() -> None:
    asked = unit("7", 0, 1, 2)
    asked.attempts, asked.fruitless = 3, 1
    own = entry("7", 1)
    claimed, rest = claims(own).claim(asked)
    assert claimed == [own]
    assert own.unit is not None
    assert list(own.unit.samples) == [1]
    assert rest is not None
    assert (list(rest.samples), rest.attempts, rest.fruitless) == ([0, 2], 3, 1)


def test_several_entries_may_answer_one_row() -> None:
    left, right = entry("7", 0), entry("7", 1)
    claimed, rest = claims(left, right).claim(unit("7", 0, 1))
    assert (claimed, rest) == ([left, right], None)


def test_an_entry_of_more_samples_than_are_asked_for_is_left_to_its_own_row() -> None:
    asked = unit("9", 0)
    assert claims(entry("7", 0, 1)).claim(asked) == ([], asked)
