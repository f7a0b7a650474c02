"""What requests took: counted once each, whether they were answered or not."""

from __future__ import annotations

from typing import Any, cast

import pytest

from limbeck._engine.calls.jobs import Job, Unit
from limbeck._engine.stream.accounting import Accounting
from limbeck._engine.stream.parts import Terms
from limbeck.errors import RateLimitError, TransientError
from limbeck.testing import MemoryLedger
from limbeck.types import Generation, GenerationRequest, GenerationResponse, RunStats, Usage

USAGE = Usage(input_tokens=10, output_tokens=5)


class Pricing:
    """A dollar a token."""

    def __init__(self) -> None:
        self.asked = 0

    def cost(self, usage: Usage | None) -> float | None:
        self.asked += 1
        return None if usage is None else float(usage.input_tokens + usage.output_tokens)


class Account:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def answered(self, _unit: Unit, usage: Usage | None, cost: float | None) -> None:
        self.told.append(("answered", usage, cost))

    def unanswered(self, _unit: Unit, usage: Usage | None, cost: float | None, *, refused: bool) -> None:
        self.told.append(("unanswered", usage, cost, refused))

    def close(self) -> None:
        self.told.append(("closed",))


class Scene:
    """An accounting with all its parts."""

    def __init__(self) -> None:
        self.stats, self.pricing, self.account, self.ledger = RunStats(), Pricing(), Account(), MemoryLedger()
        terms = Terms(
            ledger=self.ledger.step("ask", {}), pricing=cast("Any", self.pricing), account=cast("Any", self.account)
        )
        self.accounting = Accounting(terms, self.stats, wake=lambda: None)
        self.unit = Unit(cast("Any", None), Job(0, "0", {}, 1), GenerationRequest(messages=[]), [0])


@pytest.fixture
def scene() -> Scene:
    return Scene()


def response() -> GenerationResponse:
    return GenerationResponse(generations=[Generation(text="a")], usage=USAGE)


def test_an_answer_is_counted_and_charged_at_its_share_of_the_price(scene: Scene) -> None:
    scene.unit.share = 0.5
    scene.accounting.answered(scene.unit, response())
    assert (scene.stats.input_tokens, scene.stats.output_tokens, scene.stats.cost) == (10, 5, 7.5)
    assert scene.account.told == [("answered", USAGE, 7.5)]


def test_a_response_is_priced_once(scene: Scene) -> None:
    same = response()
    assert [scene.accounting.cost_of(scene.unit, same) for _ in range(3)] == [15.0, 15.0, 15.0]
    assert scene.pricing.asked == 1


def test_a_failure_that_was_paid_for_is_counted_and_one_that_was_not_is_not(scene: Scene) -> None:
    scene.accounting.unanswered(scene.unit, TransientError("cut off", usage=USAGE), spared=False)
    scene.accounting.unanswered(scene.unit, TransientError("gone"), spared=False)
    assert scene.stats.input_tokens == 10
    assert scene.account.told == [("unanswered", USAGE, 15.0, False), ("unanswered", None, None, False)]


def test_a_refusal_and_an_attempt_that_is_spared_count_as_no_request(scene: Scene) -> None:
    scene.accounting.unanswered(scene.unit, RateLimitError("later"), spared=False)
    scene.accounting.unanswered(scene.unit, TransientError("away"), spared=True)
    assert [refused for *_, refused in scene.account.told] == [True, True]


def test_a_failed_call_is_noted_but_one_that_is_made_again_only_where_it_was_paid_for(scene: Scene) -> None:
    final, free, paid = TransientError("final"), TransientError("free"), TransientError("paid", usage=USAGE)
    scene.accounting.note_failure(scene.unit, free, retried=True)
    scene.accounting.note_failure(scene.unit, paid, retried=True)
    scene.accounting.note_failure(scene.unit, final, retried=False)
    assert [(call.error, call.retried) for _, call in scene.ledger.failures] == [(paid, True), (final, False)]


def test_nothing_is_noted_once_the_stream_is_over(scene: Scene) -> None:
    scene.accounting.close()
    scene.accounting.note_failure(scene.unit, TransientError("late"), retried=False)
    assert scene.ledger.failures == []
    assert scene.account.told == [("closed",)]


def test_without_prices_or_an_account_only_tokens_are_counted() -> None:
    stats = RunStats()
    accounting = Accounting(Terms(), stats, wake=lambda: None)
    unit = Scene().unit
    assert accounting.reserve(unit)
    accounting.answered(unit, response())
    accounting.given_up(unit)
    accounting.close()
    assert (stats.input_tokens, stats.cost) == (10, None)
