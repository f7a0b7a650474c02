"""Estimates from a sample: what all rows are going to take, with an interval.

Covers `_task.estimating`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Budget
from limbeck._engine.money.estimate import Interval, Population, student_quantile, total
from limbeck.errors import BudgetError, ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck.types import Capabilities, Generation, GenerationResponse
from support.priced import CountingLLM, cost_of, prices_of
from support.questions import Ask, new_model, questions

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row


def varied(number: int, seed: int = 5) -> list[Row]:
    """Rows whose prompts are from a few to some thousand characters long, no two alike."""
    rng = random.Random(seed)
    lengths = (int(rng.lognormvariate(5.5, 0.9)) for _ in range(number))
    return [{"question": f"{place} " + "x" * length} for place, length in enumerate(lengths)]


def test_the_true_total_of_5000_rows_is_in_the_printed_interval_in_at_least_18_of_20_trials() -> None:
    llm, rows = CountingLLM(model=new_model(), longest=2000, shape=1.2), varied(5000)
    usages = [llm.usage(row["question"]) for row in rows]
    cost = sum(map(cost_of, usages))
    output = sum(usage.output_tokens for usage in usages)

    trials = [Ask(llm=llm).estimate(rows, 50, seed=seed, prices=prices_of(llm.model)) for seed in range(20)]

    assert len(llm.asked) == 20 * 50
    assert sum(trial.cost is not None and cost in trial.cost for trial in trials) >= 18
    assert sum(trial.output_tokens is not None and output in trial.output_tokens for trial in trials) >= 18


def test_what_goes_with_the_length_of_the_prompt_is_known_well_from_few_rows() -> None:
    llm, rows = CountingLLM(model=new_model()), varied(5000)
    true = sum(llm.usage(row["question"]).input_tokens for row in rows)

    estimated = Ask(llm=llm).estimate(rows, 20).input_tokens

    assert estimated is not None and true in estimated
    assert estimated.high - estimated.low < 0.01 * true


def test_the_answers_are_kept_and_not_bought_again(tmp_path: Path) -> None:
    llm, rows = CountingLLM(model=new_model()), varied(200)
    task = Ask(llm=llm)
    task.estimate(rows, 30, run_dir=tmp_path)

    stream = task.run(rows, run_dir=tmp_path)

    assert [row["question"] for row in stream] == [row["question"] for row in rows]
    assert (stream.stats.requests, stream.stats.reused) == (170, 30)


def test_the_same_seed_draws_the_same_rows_and_another_one_others(tmp_path: Path) -> None:
    llm, rows = CountingLLM(model=new_model()), varied(300)
    drawn = []
    for seed in (1, 1, 2):
        llm.requests.clear()
        Ask(llm=llm).estimate(rows, 10, seed=seed)
        drawn.append(sorted(llm.asked))
    assert drawn[0] == drawn[1] != drawn[2]


def test_rows_that_can_be_read_only_once_will_do() -> None:
    llm = CountingLLM(model=new_model())
    estimated = Ask(llm=llm).estimate(iter(varied(300)), 10)
    assert (estimated.rows, estimated.sampled) == (300, 10)


def test_of_fewer_rows_than_the_sample_all_is_known() -> None:
    llm, rows = CountingLLM(model=new_model()), varied(10)
    true = sum(llm.usage(row["question"]).output_tokens for row in rows)
    assert Ask(llm=llm).estimate(rows, 50).output_tokens == Interval(true, true, true)


def test_rows_that_cannot_be_asked_about_cost_nothing() -> None:
    llm = CountingLLM(model=new_model())
    estimated = Ask(llm=llm).estimate([*varied(100), {"other": 1}], 10)
    assert estimated.rows == 100


def test_several_samples_of_a_row_are_counted_together() -> None:
    llm, rows = CountingLLM(model=new_model()), varied(10)
    true = 3 * sum(llm.usage(row["question"]).output_tokens for row in rows)
    estimated = Ask(llm=llm, num_generations=3).estimate(rows, 50).output_tokens
    assert estimated is not None and estimated.estimate == true


def test_what_nobody_says_is_unknown() -> None:
    answer = GenerationResponse(generations=[Generation(text="yes")])
    llm = ScriptedLLM(script=lambda request: answer, model=new_model())
    estimated = Ask(llm=llm).estimate(questions(100), 10)
    assert (estimated.input_tokens, estimated.output_tokens, estimated.cost) == (None, None, None)
    assert "cost          unknown" in str(estimated)


def test_failed_rows_are_counted() -> None:
    llm = ScriptedLLM(script=lambda request: ValueError("broken"), model=new_model())
    assert Ask(llm=llm).estimate(questions(100), 10).failed == 10


def test_the_time_is_at_least_what_the_rates_allow() -> None:
    class PacedLLM(CountingLLM):
        capabilities = Capabilities()

    llm = PacedLLM(model=new_model(), rpm=6_000_000)
    seconds = Ask(llm=llm).estimate(questions(6_000), 10).seconds
    assert seconds is not None and seconds.low >= 0.06


def test_a_budget_stops_it() -> None:
    with pytest.raises(BudgetError):
        Ask(llm=CountingLLM(model=new_model())).estimate(questions(100), 50, budget=Budget(max_requests=10))


@pytest.mark.parametrize("n", [1, 0, -3])
def test_one_row_is_no_sample(n: int) -> None:
    with pytest.raises(ConfigurationError, match=f"An estimate needs at least 2 rows, not {n}"):
        Ask(llm=CountingLLM(model=new_model())).estimate(questions(10), n)


def test_it_prints_what_it_knows() -> None:
    llm = CountingLLM(model=new_model())
    text = str(Ask(llm=llm).estimate(varied(10), 50, prices=prices_of(llm.model))).splitlines()
    assert text[0] == "Estimated from 10 of 10 rows; 95% intervals:"
    assert [line[:16].strip() for line in text[1:]] == [
        *("calls", "input tokens", "output tokens", "cost", "time at best"),
    ]


def covered(draw: Any, *, n: int, trials: int = 1500) -> float:
    """How often the interval holds the total of 3,000 rows."""
    rng = random.Random(3)
    sizes = [rng.lognormvariate(5, 0.8) for _ in range(3000)]
    values = [draw(rng, size) for size in sizes]
    population, true = Population(3000, sum(sizes)), sum(values)
    hits = 0
    for _ in range(trials):
        sample = rng.sample(range(3000), n)
        hits += true in total([sizes[row] for row in sample], [values[row] for row in sample], population)
    return hits / trials


@pytest.mark.parametrize(
    ("draw", "least"),
    [
        (lambda rng, size: size / 4 + rng.gauss(0, 3), 0.93),
        (lambda rng, size: rng.uniform(1, 400), 0.93),
        (lambda rng, size: rng.lognormvariate(5, 0.5), 0.92),
        (lambda rng, size: rng.lognormvariate(5, 1.0), 0.90),
    ],
    ids=["with the size", "apart from it", "skewed", "very skewed"],
)
def test_an_interval_holds_the_total_about_as_often_as_it_says(draw: Any, least: float) -> None:
    assert covered(draw, n=50) >= least


def test_equal_sizes_and_equal_values_give_the_total_itself() -> None:
    estimated = total([3.0] * 5, [2.0] * 5, Population(100, 300.0))
    assert estimated == Interval(200.0, 200.0, 200.0)


def test_a_total_is_never_below_what_the_sample_took() -> None:
    estimated = total([1.0, 2.0, 3.0], [0.0, 0.0, 90.0], Population(4, 7.0))
    assert estimated.low >= 90.0


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (10, 2.22814), (48, 2.01063)]
)
def test_students_quantile_is_that_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_quantile(0.975, degrees) == pytest.approx(quantile, rel=0.002)
