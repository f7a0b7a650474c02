"""When failed rows are too many."""

from __future__ import annotations

import pytest

from limbeck._engine.calls.policy import Breaker, Policy, failure_limit
from limbeck.errors import BreakerError, FailureLimitError, RowError, TransientError
from limbeck.types import RunStats

GONE = TransientError("gone")


def test_the_breaker_opens_at_the_threshold_and_names_the_first_of_those_in_a_row() -> None:
    breaker = Breaker(Policy(breaker=3), RunStats())
    first = TransientError("the first")
    assert breaker.failed([first], whole=True) is None
    assert breaker.failed([GONE], whole=True) is None
    error = breaker.failed([GONE], whole=True)
    assert isinstance(error, BreakerError)
    assert error.__cause__ is first


def test_a_row_that_succeeds_or_fails_in_part_begins_the_count_anew() -> None:
    breaker = Breaker(Policy(breaker=2), RunStats())
    breaker.failed([GONE], whole=True)
    breaker.succeeded()
    assert breaker.failed([GONE], whole=True) is None
    assert breaker.failed([GONE], whole=False) is None
    assert breaker.failed([GONE], whole=True) is None


def test_a_bad_row_says_nothing_of_the_server() -> None:
    breaker = Breaker(Policy(breaker=1), RunStats())
    assert breaker.failed([RowError("bad")], whole=True) is None


def test_without_a_threshold_nothing_is_one_too_many() -> None:
    breaker = Breaker(Policy(), RunStats())
    assert [breaker.failed([GONE], whole=True) for _ in range(50)] == [None] * 50


@pytest.mark.parametrize(
    ("max_failed", "failed", "done", "stops"),
    [
        (None, 9, 9, False),
        (0, 0, 9, False),
        (0, 1, 9, True),
        (2, 2, 2, False),
        (2, 3, 3, True),
        (0.1, 10, 20, False),  # the first hundred rows count as a hundred
        (0.1, 11, 20, True),
        (0.1, 50, 500, False),
        (0.1, 51, 500, True),
    ],
)
def test_more_failed_rows_than_a_count_or_a_fraction_allows_stop_the_run(
    max_failed: float | None, failed: int, done: int, stops: bool
) -> None:
    error = failure_limit(RunStats(rows_failed=failed, rows_done=done), max_failed, GONE)
    assert isinstance(error, FailureLimitError) if stops else error is None
