"""Pipelines with prices, a budget that their tasks share, a cache, an estimate, and rows asked again.

Covers `_pipeline.run.estimating`, `_pipeline.run.metering` and `_pipeline.run.rerunning`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Budget, Pipeline, Sink
from limbeck.errors import BudgetError, ConfigurationError, UnknownPriceError
from limbeck.testing import ScriptedLLM
from limbeck.types import Generation
from support.priced import CountingLLM, cost_of, prices_of
from support.questions import METADATA, Ask, new_model, prompt_of, questions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from limbeck._pipeline.run.result import PipelineResult
    from limbeck.types import GenerationRequest, Row


class Check(Ask):
    """Asks about an answer."""

    @property
    def inputs(self) -> list[str]:
        return ["answer"]

    @property
    def outputs(self) -> list[str]:
        return ["verdict"]

    def format_input(self, input: Row) -> Any:
        return [{"role": "user", "content": f"check {input['answer']}"}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"verdict": output}


def two_tasks() -> tuple[CountingLLM, CountingLLM, Pipeline]:
    """A pipeline that asks, and then asks about the answer."""
    first, second = CountingLLM(model=new_model()), CountingLLM(model=new_model())
    return first, second, Pipeline(Ask(llm=first), Check(llm=second), name="two")


def cost_of_all(first: CountingLLM, second: CountingLLM, rows: list[Row]) -> float:
    prompts = [row["question"] for row in rows]
    return sum(cost_of(first.usage(each)) + cost_of(second.usage(f"check echo: {each}")) for each in prompts)


def test_the_report_has_the_cost_of_each_task(tmp_path: Path) -> None:
    first, second, pipeline = two_tasks()
    result = pipeline.run(questions(20), run_dir=tmp_path, prices=prices_of(first.model, second.model))
    costs = [result.report[name].cost for name in ("ask", "check")]
    assert sum(cost or 0.0 for cost in costs) == pytest.approx(cost_of_all(first, second, questions(20)))
    assert None not in costs


def test_without_a_price_the_cost_is_unknown(tmp_path: Path) -> None:
    _, _, pipeline = two_tasks()
    assert pipeline.run(questions(2), run_dir=tmp_path).report["ask"].cost is None


def test_its_tasks_share_a_budget_which_is_never_passed_and_a_higher_one_buys_the_rest(tmp_path: Path) -> None:
    first, second, pipeline = two_tasks()
    rows, prices = questions(300), prices_of(first.model, second.model)
    cost = cost_of_all(first, second, rows)
    budget = Budget(max_cost=cost / 2)

    with pytest.raises(BudgetError):
        pipeline.run(rows, run_dir=tmp_path, prices=prices, budget=budget)
    assert 0.8 * cost / 2 < budget.spent.cost <= cost / 2

    result = pipeline.run(rows, run_dir=tmp_path, prices=prices, budget=Budget(max_cost=2 * cost))

    assert len(result.to_list()) == 300
    assert len(first.asked) == len(second.asked) == 300


def test_a_cost_cap_with_an_unknown_price_stops_before_anything_is_opened(tmp_path: Path) -> None:
    first, second, pipeline = two_tasks()
    with pytest.raises(UnknownPriceError, match=second.model):
        pipeline.run(questions(3), run_dir=tmp_path / "r", prices=prices_of(first.model), budget=Budget(max_cost=1))
    assert first.asked == []
    assert not (tmp_path / "r").exists()


def test_answers_of_another_run_are_taken(tmp_path: Path) -> None:
    first, second, pipeline = two_tasks()
    pipeline.run(questions(5), run_dir=tmp_path / "one")

    result = pipeline.run(questions(6), run_dir=tmp_path / "two", cache=tmp_path / "one")

    assert len(first.asked) == len(second.asked) == 6
    assert [result.report[name].reused for name in ("ask", "check")] == [5, 5]


def test_an_estimate_is_of_all_its_tasks_and_its_answers_are_not_bought_again(tmp_path: Path) -> None:
    first, second, pipeline = two_tasks()
    rows, prices = questions(400), prices_of(first.model, second.model)

    estimated = pipeline.estimate(rows, 40, run_dir=tmp_path, prices=prices)

    assert estimated.cost is not None
    assert cost_of_all(first, second, rows) in estimated.cost
    assert (estimated.rows, estimated.sampled) == (400, 40)
    pipeline.run(rows, run_dir=tmp_path)
    assert len(first.asked) == len(second.asked) == 400


class Refusing(Sink):
    """A sink that nothing may be written to."""

    def open(self, *, replace: bool) -> None:
        raise AssertionError("it was opened")

    def write(self, rows: list[Row]) -> None:
        raise AssertionError("it was written to")

    def close(self, *, finished: bool) -> None:
        """There is nothing to close."""


def test_an_estimate_draws_from_the_source_and_writes_to_no_sink() -> None:
    llm = CountingLLM(model=new_model())
    pipeline = Pipeline(questions(50), Ask(llm=llm), Refusing(name="out"), name="p")
    estimated = pipeline.estimate(n=10)
    assert (estimated.rows, len(llm.asked)) == (50, 10)


def test_an_estimate_inside_the_block_adds_nothing_to_the_pipeline() -> None:
    with Pipeline("inside") as pipeline:
        Ask(llm=CountingLLM(model=new_model()))
        assert pipeline.estimate(iter(questions(3)), 2).rows == 3
    assert list(pipeline.steps) == ["ask"]


def test_an_estimate_of_rows_that_would_have_to_be_awaited_is_refused() -> None:
    async def arriving() -> AsyncIterator[Row]:
        yield {"question": "q"}

    with pytest.raises(ConfigurationError, match="does not wait for rows"):
        Pipeline(Ask(llm=CountingLLM(model=new_model()))).estimate(arriving(), 2)


def test_an_estimate_needs_one_source_or_rows() -> None:
    pipeline = Pipeline(name="p")
    ask = Ask(llm=CountingLLM(model=new_model()))
    for rows in (questions(2), questions(3)):
        pipeline.connect(pipeline.add(rows), ask)
    with pytest.raises(ConfigurationError, match="draws from the rows of one source; the pipeline 'p' has 2"):
        pipeline.estimate(n=2)


def cut(request: GenerationRequest) -> Generation:
    """Three of ten are cut short where the maximum is small."""
    short = prompt_of(request) in "258" and request.parameters.get("max_tokens", 0) < 100
    return Generation(text=f"{prompt_of(request)}{'…' if short else '.'}", finish_reason="length" if short else "stop")


def test_rows_are_asked_again_and_what_follows_asks_for_what_has_changed(tmp_path: Path) -> None:
    asking = ScriptedLLM(script=cut, model=new_model(), generation_kwargs={"max_tokens": 10})
    checking = CountingLLM(model=new_model())
    pipeline = Pipeline(Ask(llm=asking), Check(llm=checking), name="p")
    pipeline.run(questions(10), run_dir=tmp_path)
    checking.requests.clear()

    how: dict[str, Any] = {"step": "ask", "where": "finish_reason = 'length'", "parameters": {"max_tokens": 200}}
    result = pipeline.rerun(questions(10), run_dir=tmp_path, **how)
    again = pipeline.rerun(questions(10), run_dir=tmp_path, **how)

    rows = result.to_list()
    assert [row["question"] for row in rows] == [row["question"] for row in questions(10)]
    assert [row["question"] for row in rows if row[METADATA]["lineage_ask"]["new"]] == ["2", "5", "8"]
    assert sorted(checking.asked) == ["check 2.", "check 5.", "check 8."]
    assert result.report["ask"].requests == 3
    assert [again.report[name].requests for name in ("ask", "check")] == [0, 0]
    assert [row["verdict"] for row in again.to_list()] == [row["verdict"] for row in rows]


def test_of_several_tasks_the_one_must_be_named(tmp_path: Path) -> None:
    _, _, pipeline = two_tasks()
    with pytest.raises(ConfigurationError, match=r"has 2 tasks \('ask', 'check'\); name the step"):
        pipeline.rerun(questions(1), run_dir=tmp_path, where="failed")
    with pytest.raises(ConfigurationError, match=r"has no task 'aks'. Did you mean `ask`"):
        pipeline.rerun(questions(1), run_dir=tmp_path, where="failed", step="aks")


def test_the_only_task_need_not_be_named(tmp_path: Path) -> None:
    pipeline = Pipeline(Ask(llm=CountingLLM(model=new_model())), name="p")
    pipeline.run(questions(2), run_dir=tmp_path)
    result = pipeline.rerun(questions(2), run_dir=tmp_path, where="question = '1'")
    assert result.report["ask"].requests == 1


def test_the_report_on_disk_has_the_cost(tmp_path: Path) -> None:
    first, second, pipeline = two_tasks()
    pipeline.run(questions(2), run_dir=tmp_path, prices=prices_of(first.model, second.model))
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [step["cost"] is not None for step in report["steps"] if step["kind"] == "task"] == [True, True]


class Judge(Check):
    """Gives a mark, the last digit of the answer, and nothing for what ends in 0."""

    @property
    def outputs(self) -> list[str]:
        return ["score"]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"score": 10 // int(str(output)[-1]) and int(str(output)[-1])}


def judged(*, num_generations: int = 1) -> tuple[CountingLLM, CountingLLM, Pipeline]:
    first, second = CountingLLM(model=new_model()), CountingLLM(model=new_model())
    asking = Ask(llm=first, num_generations=num_generations)
    return first, second, Pipeline(asking, Judge(name="judge", llm=second), name="judged")


def asked_again(result: PipelineResult) -> list[str]:
    """The questions of the rows that a re-run asked."""
    return [row["question"] for row in result if row[METADATA]["lineage_ask"]["new"]]


def test_what_a_judge_further_on_said_can_be_meant(tmp_path: Path) -> None:
    _, second, pipeline = judged()
    pipeline.run(questions(12), run_dir=tmp_path)

    result = pipeline.rerun(questions(12), run_dir=tmp_path, step="ask", where="score < 3", parameters={"seed": 1})

    assert asked_again(result) == ["1", "2", "11"]
    assert result.report["ask"].requests == 3
    assert len(result.to_list()) == 12
    assert second.asked.count("check echo: 2") == 1  # the answer is the same, and so is its mark


def test_of_several_samples_each_has_its_own_judgement(tmp_path: Path) -> None:
    _, _, pipeline = judged(num_generations=2)
    pipeline.run(questions(4), run_dir=tmp_path)

    result = pipeline.rerun(questions(4), run_dir=tmp_path, step="ask", where="score = 2", parameters={"seed": 1})

    assert asked_again(result) == ["2", "2"]


def test_what_the_judge_could_not_judge_has_no_mark(tmp_path: Path) -> None:
    _, _, pipeline = judged()
    pipeline.run(questions(11), run_dir=tmp_path)

    result = pipeline.rerun(questions(11), run_dir=tmp_path, step="ask", where="score IS NULL", parameters={"seed": 1})

    assert asked_again(result) == ["0", "10"]
