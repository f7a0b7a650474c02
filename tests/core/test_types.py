"""The values that tasks, backends and the engine exchange."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from limbeck import types
from limbeck.types import (
    Capabilities,
    Example,
    Generation,
    GenerationRequest,
    GenerationResponse,
    PipelineInfo,
    RunInfo,
    RunReport,
    RunStats,
    StepReport,
    Usage,
)

VALUES = [
    GenerationRequest(messages=[{"role": "user", "content": "hi"}]),
    Generation(text="x"),
    GenerationResponse(generations=[Generation(text="x")]),
    Usage(input_tokens=1),
    Capabilities(native_n=True),
]
EACH = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@EACH
def test_a_value_cannot_be_changed(value: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, next(iter(value.__dataclass_fields__)), None)


@EACH
def test_a_value_is_made_by_keyword_only(value: Any) -> None:
    with pytest.raises(TypeError, match="positional"):
        type(value)("something")


@EACH
def test_a_value_survives_pickling(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


def test_what_is_not_said_has_the_documented_defaults() -> None:
    request = GenerationRequest(messages=[])
    generation = Generation(text=None)
    response = GenerationResponse(generations=[])
    assert (request.num_generations, request.parameters, request.output_schema) == (1, {}, None)
    assert (generation.finish_reason, generation.reasoning, generation.tool_calls, generation.logprobs) == (None,) * 4
    assert (response.usage, response.model) == (None, None)
    assert Usage() == Usage(input_tokens=0, output_tokens=0, cached_tokens=0, reasoning_tokens=0)
    assert Capabilities() == Capabilities(
        native_n=False, native_json_schema=False, tools=False, vision=False, logprobs=False, batches=False
    )


def test_requests_share_no_default_parameters() -> None:
    assert GenerationRequest(messages=[]).parameters is not GenerationRequest(messages=[]).parameters


def test_usages_add_up_field_by_field() -> None:
    first = Usage(input_tokens=1, output_tokens=2, cached_tokens=3, reasoning_tokens=4)
    second = Usage(input_tokens=10, output_tokens=20, cached_tokens=30, reasoning_tokens=40)
    assert first + second == Usage(input_tokens=11, output_tokens=22, cached_tokens=33, reasoning_tokens=44)


def test_an_example_is_a_row_what_a_model_might_say_and_the_columns_of_it() -> None:
    example = Example({"question": "q"}, "said", {"answer": "said"})
    assert (example.row, example.raw_output, example.output) == ({"question": "q"}, "said", {"answer": "said"})


# What observers are told


def test_every_public_value_is_of_the_public_module_itself() -> None:
    homes = {getattr(getattr(types, name), "__module__", "limbeck.types") for name in types.__all__}
    assert homes <= {"limbeck.types", "builtins", "types", "typing"}


def test_what_a_run_is_told_as_cannot_be_changed_but_its_counters_can() -> None:
    run = RunInfo("1", "answer", "acme-1", pipeline=PipelineInfo("2", "capitals", ["answer"], []))
    run.stats.rows_in += 1
    assert run.stats.rows_in == 1
    with pytest.raises(FrozenInstanceError):
        run.task = "other"  # type: ignore[misc]


def test_two_runs_share_no_counters() -> None:
    first, second = RunInfo("1", "answer", None), RunInfo("2", "answer", None)
    first.stats.failures["RowError"] += 1
    assert second.stats == RunStats()


def test_counters_add_up_what_responses_say() -> None:
    stats = RunStats()
    stats.count_usage(Usage(input_tokens=3, output_tokens=2))
    stats.count_usage(Usage(input_tokens=1, cached_tokens=1))
    stats.count_cost(None)
    assert (stats.usage, stats.cost) == (Usage(input_tokens=4, output_tokens=2, cached_tokens=1), None)
    stats.count_cost(0.5)
    assert stats.cost == 0.5


def test_a_report_is_looked_into_by_the_name_of_a_step_and_goes_into_a_file() -> None:
    report = RunReport("capitals", "2026-01-01T00:00:00+00:00", 1.5, True, None, [StepReport("answer", "task", 2, 2)])
    assert report["answer"].rows_out == 2
    assert report.to_dict()["steps"][0]["name"] == "answer"
    assert str(report).splitlines() == ["capitals: finished, 1.5 s", "  answer (task): 2 in, 2 out"]
