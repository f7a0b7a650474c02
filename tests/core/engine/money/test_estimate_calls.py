"""Estimates of tasks that ask more than once about a row: calls, prices and limits of each LLM.

Covers `_task.estimating` and `_pipeline.run.metering`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, Task, ask
from limbeck._engine.money.estimate import Interval
from limbeck.errors import BadRequestError, OutputError
from limbeck.testing import ScriptedLLM
from limbeck.types import Capabilities, Generation, GenerationResponse, Usage
from support.refining import Speaker, questions, refining, stored

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import GenerationRequest, Row

# A call of `own` costs $1, one of the critic $10.
PRICES: Any = {"own": {"input": 1e5, "output": 0}, "critic": {"input": 1e6, "output": 0}}


def exactly(value: float) -> Interval:
    return Interval(value, value, value)


def rounded(interval: Interval | None) -> Interval | None:
    return interval and Interval(*(round(part, 6) for part in (interval.estimate, interval.low, interval.high)))


def test_all_calls_of_a_conversation_are_counted() -> None:
    estimated = refining().estimate(questions(200), 20)
    assert rounded(estimated.calls) == exactly(800)
    assert estimated.sampled == 20


def test_each_llm_is_counted_with_its_own_price() -> None:
    estimated = refining().estimate(questions(100), 10, prices=PRICES)
    assert rounded(estimated.cost) == exactly(2200)


def test_the_price_of_one_that_is_unknown_makes_the_cost_unknown() -> None:
    estimated = refining().estimate(questions(20), 5, prices={"own": PRICES["own"]})
    assert estimated.cost is None
    assert estimated.calls is not None


class Uneven(Task):
    """Asks as often as a row says."""

    @property
    def inputs(self) -> list[str]:
        return ["times"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def converse(self, input: Row) -> Any:
        for number in range(input["times"]):
            yield ask(f"{number} of {input['times']}")
        return {"a": input["times"]}


def test_rows_that_take_different_numbers_of_calls_have_an_interval_that_holds_the_truth() -> None:
    rows = [{"times": place % 5} for place in range(400)]
    estimated = Uneven(name="uneven", llm=Speaker()).estimate(rows, 60).calls
    assert estimated is not None
    assert estimated.low < estimated.high
    assert sum(row["times"] for row in rows) in estimated


def test_the_answers_of_the_sample_are_kept_at_their_turns(tmp_path: Path) -> None:
    task = refining()
    task.estimate(questions(20), 5, run_dir=tmp_path)
    assert stored(tmp_path, "SELECT count(*), count(DISTINCT row || turn) FROM calls") == [(20, 20)]
    before = len(task.llm.asked)
    list(task.run(questions(20), run_dir=tmp_path))
    assert len(task.llm.asked) - before == 2 * 15


def test_seconds_are_those_of_the_llm_that_takes_longest() -> None:
    task = refining(critic=Speaker(name="critic", rpm=60_000))
    seconds = task.estimate(questions(6_000), 5).seconds
    assert seconds is not None
    assert seconds.low >= 12  # two calls a row, at a thousand a second


class Once(Task):
    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def format_input(self, input: Row) -> Any:
        return [{"role": "user", "content": input["q"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        if output == "bad":
            raise OutputError("It is bad.")
        return {"a": output}


def test_repairs_are_calls_too() -> None:
    def script(request: GenerationRequest) -> str:
        return "bad" if len(request.messages) == 1 else "good"

    estimated = Once(name="once", llm=ScriptedLLM(script=script), repair=2).estimate(questions(50), 10)
    assert rounded(estimated.calls) == exactly(100)
    assert estimated.failed == 0


def test_fallbacks_are_calls_with_a_price_of_their_own() -> None:
    own, critic = Speaker(), Speaker(name="critic")
    own.faults.update({f"q{place}": [BadRequestError("no")] for place in range(50)})
    estimated = Once(name="once", llm=own, fallback=[critic]).estimate(questions(50), 10, prices=PRICES)
    assert rounded(estimated.calls) == exactly(100)
    assert rounded(estimated.cost) == exactly(500)  # nothing was paid for the refusals


def test_a_task_that_asks_once_takes_one_call_a_row_and_sample() -> None:
    estimated = Once(name="once", llm=Speaker(), num_generations=3).estimate(questions(50), 10)
    assert rounded(estimated.calls) == exactly(150)


def test_several_samples_of_one_response_are_one_call() -> None:
    class Several(Speaker):
        capabilities = Capabilities(native_n=True)

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            given = [Generation(text=str(number)) for number in range(request.num_generations)]
            return GenerationResponse(generations=given, usage=Usage(input_tokens=1, output_tokens=1))

    estimated = Once(name="once", llm=Several(), num_generations=3).estimate(questions(50), 10)
    assert rounded(estimated.calls) == exactly(50)


def test_rows_of_which_nothing_can_be_asked_are_left_out() -> None:
    estimated = refining().estimate([*questions(10), {"other": 1}], 20)
    assert (estimated.rows, rounded(estimated.calls)) == (10, exactly(40))


def test_a_pipeline_counts_the_calls_of_all_its_tasks() -> None:
    with Pipeline("talks") as pipeline:
        refining() >> Once(name="once", llm=Speaker(), input_mappings={"q": "a"}, output_mappings={"a": "b"})
    estimated = pipeline.estimate(questions(100), 10, prices=PRICES)
    assert rounded(estimated.calls) == exactly(500)
    assert rounded(estimated.cost) == exactly(2300)


@pytest.mark.parametrize("n", [2, 30])
def test_it_is_printed(n: int) -> None:
    assert f"  calls         {4 * 30} (" in str(refining().estimate(questions(30), n))
