"""What moves through a stream, as it begins."""

from __future__ import annotations

from typing import Any, cast

from limbeck._engine.calls.jobs import Job, Outcome, Unit
from limbeck.types import GenerationRequest


def test_a_new_job_misses_all_its_samples() -> None:
    job = Job(3, "3", {"q": "a"}, 2)
    assert (job.missing, job.outcomes, job.carried) == (2, [Outcome(), Outcome()], False)


def test_outcomes_of_one_row_are_told_apart_when_one_is_set() -> None:
    job = Job(0, "0", {}, 2)
    job.outcomes[1] = Outcome(attempts=1)
    assert [outcome.attempts for outcome in job.outcomes] == [0, 1]


def test_a_new_unit_was_not_sent_and_costs_the_whole_price() -> None:
    unit = Unit(cast("Any", None), Job(0, "0", {}, 1), GenerationRequest(messages=[]), [0])
    assert (unit.attempts, unit.refusals, unit.fruitless, unit.share, unit.cost) == (0, 0, 0, 1.0, None)
    assert unit.deadline is None
