"""Budgets: what is spent, with what is in flight, never passes a cap."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from limbeck import Budget
from limbeck.errors import (
    BudgetError,
    ConfigurationError,
    LimbeckError,
    RateLimitError,
    TransientError,
    UnknownPriceError,
)
from limbeck.testing import ScriptedLLM
from limbeck.types import Capabilities, Generation, GenerationResponse, Usage
from support.batch_llm import BatchLLM
from support.priced import CountingLLM, cost_of, prices_of
from support.questions import Ask, new_model, questions

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import GenerationRequest, Row

MAXIMUM = {"max_tokens": 400}


def taken(stream: Any) -> tuple[list[Row], LimbeckError | None]:
    """The rows of a stream, and what stopped it."""
    rows: list[Row] = []
    try:
        rows.extend(stream)
    except LimbeckError as error:
        return rows, error
    return rows, None


def counting(**fields: Any) -> CountingLLM:
    return CountingLLM(model=new_model(), max_concurrency=256, **fields)


def true_cost(llm: CountingLLM, rows: list[Row]) -> float:
    return sum(cost_of(llm.usage(row["question"])) for row in rows)


def stored_cost(run_dir: Path) -> float:
    with sqlite3.connect(run_dir / "ledger.sqlite") as ledger:
        cost = ledger.execute("SELECT sum(cost) FROM costs").fetchone()[0]
    ledger.close()
    return float(cost)


@pytest.mark.parametrize("parameters", [MAXIMUM, {}], ids=["with a maximum", "without one"])
def test_half_the_true_cost_is_never_passed_with_256_in_flight_and_a_higher_cap_buys_only_the_rest(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    in_flight = []

    class Slow(CountingLLM):
        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            in_flight.append(len(self.requests) - len(self.finished) + 1)
            return await super().agenerate(request)

    llm = Slow(model=new_model(), max_concurrency=256, generation_kwargs=parameters, latencies=[0.2] * 4000)
    rows = questions(4000)
    cost, prices = true_cost(llm, rows), prices_of(llm.model)
    task = Ask(llm=llm)

    stream = task.run(rows, run_dir=tmp_path, prices=prices, max_cost=cost / 2)
    done, error = taken(stream)

    bought = len(llm.asked)
    assert isinstance(error, BudgetError) and error.cap == "max_cost"
    assert max(in_flight) > 100
    assert stored_cost(tmp_path) <= cost / 2
    assert stored_cost(tmp_path) > 0.9 * cost / 2
    assert stream.stats.cost == pytest.approx(stored_cost(tmp_path))
    assert len(done) == bought

    whole, error = taken(task.run(rows, run_dir=tmp_path, prices=prices, max_cost=cost * 2))

    assert error is None
    assert [row["question"] for row in whole] == [row["question"] for row in rows]
    assert sorted(llm.asked) == sorted(row["question"] for row in rows)
    assert stored_cost(tmp_path) == pytest.approx(cost)


def test_what_was_spent_in_the_directory_before_counts(tmp_path: Path) -> None:
    llm, rows = counting(generation_kwargs=MAXIMUM), questions(200)
    task, cost = Ask(llm=llm), true_cost(llm, rows)
    how: dict[str, Any] = {"run_dir": tmp_path, "prices": prices_of(llm.model), "max_cost": cost / 2}
    taken(task.run(rows, **how))
    bought = len(llm.asked)

    _, error = taken(task.run(rows, **how))

    assert isinstance(error, BudgetError)
    assert len(llm.asked) == bought


def test_answers_of_a_time_without_prices_count_at_todays(tmp_path: Path) -> None:
    llm, rows = counting(generation_kwargs=MAXIMUM), questions(50)
    task, cost = Ask(llm=llm), true_cost(llm, rows)
    taken(task.run(rows, run_dir=tmp_path))

    more = [*rows, {"question": "one more"}]
    _, error = taken(task.run(more, run_dir=tmp_path, prices=prices_of(llm.model), max_cost=cost))

    assert isinstance(error, BudgetError)
    assert error.spent == pytest.approx(cost)


def test_tokens_have_a_cap_too() -> None:
    llm, rows = counting(generation_kwargs=MAXIMUM), questions(500)

    stream = Ask(llm=llm).run(rows, max_tokens=20_000)
    _, error = taken(stream)

    assert isinstance(error, BudgetError) and error.cap == "max_tokens"
    assert 18_000 < stream.stats.input_tokens + stream.stats.output_tokens <= 20_000


def test_requests_have_a_cap_which_is_exact() -> None:
    llm = counting()

    rows, error = taken(Ask(llm=llm).run(questions(500), max_requests=100))

    assert isinstance(error, BudgetError) and error.cap == "max_requests"
    assert len(llm.asked) == len(rows) == 100


def test_an_attempt_that_failed_is_a_request_and_one_that_was_refused_for_rate_is_none() -> None:
    script = [RateLimitError(retry_after=0.0), TransientError("503", retry_after=0.0), "a", "b"]
    llm = ScriptedLLM(script=script, model=new_model(), max_concurrency=1)

    rows, error = taken(Ask(llm=llm).run(questions(3), max_requests=3))

    assert isinstance(error, BudgetError)
    assert [row["answer"] for row in rows] == ["a", "b"] or [row["answer"] for row in rows] == ["b", "a"]
    assert len(llm.requests) == 4


def test_one_budget_is_shared_by_all_runs_that_are_given_it() -> None:
    budget = Budget(max_requests=30)
    first, second = counting(), counting()
    answered = Ask(name="first", llm=first, output_mappings={"answer": "draft"}).run(questions(100), budget=budget)

    _, error = taken(Ask(name="second", llm=second).run(answered, budget=budget))

    assert isinstance(error, BudgetError)
    assert len(first.asked) + len(second.asked) == budget.spent.requests == 30


def test_an_answer_that_does_not_say_its_tokens_counts_as_what_was_held_for_it() -> None:
    answer = GenerationResponse(generations=[Generation(text="yes")])
    llm = ScriptedLLM(script=lambda request: answer, model=new_model(), generation_kwargs={"max_tokens": 100})
    budget = Budget(max_tokens=1000)

    rows, error = taken(Ask(llm=llm).run(questions(100), budget=budget))

    assert isinstance(error, BudgetError)
    assert len(rows) == budget.spent.requests < 10
    assert 100 * len(rows) < budget.spent.tokens <= 1000


def test_every_sample_may_take_the_maximum() -> None:
    class NativeLLM(CountingLLM):
        capabilities: ClassVar[Capabilities] = Capabilities(native_n=True)

    llm = NativeLLM(model=new_model(), generation_kwargs={"max_tokens": 400})

    rows, error = taken(Ask(llm=llm, num_generations=3).run(questions(5), max_tokens=1200))

    assert isinstance(error, BudgetError) and error.needed > 1200
    assert rows == []


def test_without_a_maximum_the_first_request_goes_alone_where_only_the_guess_forbids_it() -> None:
    llm = counting(longest=20)

    rows, error = taken(Ask(llm=llm).run(questions(500), max_tokens=2000))

    assert isinstance(error, BudgetError)
    assert len(rows) > 50


def test_a_prompt_that_does_not_fit_is_not_sent() -> None:
    llm = counting()

    _, error = taken(Ask(llm=llm).run([{"question": "x" * 3000}], max_tokens=2000))

    assert isinstance(error, BudgetError) and error.spent == 0
    assert llm.asked == []


def test_a_tokeniser_that_makes_more_of_a_prompt_than_its_bytes_is_learned_from() -> None:
    usage = Usage(input_tokens=500, output_tokens=1)
    answer = GenerationResponse(generations=[Generation(text="yes")], usage=usage)
    llm = ScriptedLLM(
        script=lambda request: answer, model=new_model(), generation_kwargs={"max_tokens": 1}, max_concurrency=1
    )
    stream = Ask(llm=llm).run(questions(100), max_tokens=5000)

    taken(stream)

    assert stream.stats.input_tokens <= 5000


def test_a_cost_cap_with_an_unknown_price_stops_before_the_first_call(tmp_path: Path) -> None:
    llm = counting()

    with pytest.raises(UnknownPriceError, match=f"nothing knows what '{llm.model}' costs; nothing was sent"):
        Ask(llm=llm).run(questions(3), max_cost=1, run_dir=tmp_path / "run")

    assert llm.asked == []
    assert not (tmp_path / "run").exists()


def test_an_unknown_price_may_be_allowed() -> None:
    llm = counting()

    rows, error = taken(Ask(llm=llm).run(questions(3), max_cost=1, allow_unknown_price=True))

    assert error is None and len(rows) == 3


@pytest.mark.parametrize(
    ("cap", "value"),
    [("max_cost", 0), ("max_cost", -1.0), ("max_cost", float("nan")), ("max_tokens", 0), ("max_requests", True)],
)
def test_a_cap_that_is_not_above_zero_is_refused(cap: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"`{cap}` must be a number above 0, not "):
        Ask(llm=counting()).run(questions(1), **{cap: value})


def test_a_cap_on_things_that_are_counted_is_a_whole_number() -> None:
    with pytest.raises(ConfigurationError, match="`max_tokens` must be a whole number, not"):
        Budget(max_tokens=1.5)  # type: ignore[arg-type]  # what is tested


def test_a_budget_and_caps_of_the_runs_own_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="`budget` holds the caps"):
        Ask(llm=counting()).run(questions(1), budget=Budget(max_tokens=10), max_cost=1)


def test_a_budget_shows_its_caps() -> None:
    assert repr(Budget(max_cost=1.5, max_requests=3)) == "Budget(max_cost=1.5, max_requests=3)"


def test_the_error_says_what_is_spent_and_what_the_next_request_may_need() -> None:
    error = BudgetError("max_cost", limit=0.5, spent=0.4987, needed=0.0031)

    assert str(error) == (
        "The budget is used up: of `max_cost=0.5`, $0.4987 is spent, and the next request may need $0.0031. "
        "What is done is kept; run again with a higher cap to go on."
    )


def batching(**fields: Any) -> BatchLLM:
    """A backend in batch mode that looks and submits at once."""
    quick = {"mode": "batch", "batch_poll_seconds": 0.01, "batch_gather_seconds": 0.01, "model": new_model()}
    return BatchLLM(**{**quick, **fields})


def test_provider_batches_are_paid_from_the_budget_and_cost_what_their_answers_do(tmp_path: Path) -> None:
    llm = batching()

    rows, error = taken(Ask(llm=llm).run(questions(50), run_dir=tmp_path, max_requests=20, prices=prices_of(llm.model)))

    assert isinstance(error, BudgetError)
    assert len(rows) == sum(llm.script.desk.submitted.values()) == 20
    assert stored_cost(tmp_path) > 0

    rows, error = taken(Ask(llm=llm).run(questions(50), run_dir=tmp_path, max_requests=50))

    assert error is None and len(rows) == 50
    assert sum(llm.script.desk.submitted.values()) == 50


def test_an_entry_of_a_batch_that_is_submitted_again_is_a_request_more(tmp_path: Path) -> None:
    llm, budget = batching(), Budget(max_requests=10)
    llm.script.desk.fates = {"1": ["expired"]}

    rows, error = taken(Ask(llm=llm).run(questions(3), run_dir=tmp_path, budget=budget))

    assert error is None and len(rows) == 3
    assert budget.spent.requests == 4
