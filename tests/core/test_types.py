"""The values that tasks, backends and the engine exchange."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from limbeck.types import Capabilities, Example, Generation, GenerationRequest, GenerationResponse, Usage

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
