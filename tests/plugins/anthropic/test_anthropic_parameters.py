"""`generation_kwargs` are checked, when the backend is built, against the installed SDK."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from limbeck.errors import ConfigurationError
from limbeck_anthropic import AnthropicLLM


def refusal_of(**generation_kwargs: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        AnthropicLLM(model="claude-sonnet-5", generation_kwargs=generation_kwargs)
    return str(caught.value)


def test_what_the_sdk_takes_is_taken() -> None:
    kwargs = {"stop_sequences": ["END"], "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    assert AnthropicLLM(model="claude-sonnet-5", generation_kwargs=kwargs).generation_kwargs == kwargs


def test_a_misspelt_name_gets_a_suggestion() -> None:
    message = refusal_of(stop_sequence=["END"])
    assert "'stop_sequence'" in message
    assert "Did you mean `stop_sequences`" in message
    assert f"anthropic {anthropic.__version__}" in message


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_a_sampling_parameter_that_this_sdk_no_longer_has_is_explained(name: str) -> None:
    message = refusal_of(**{name: 0.5})
    assert f"anthropic {anthropic.__version__}" in message
    assert f"extra_body={{'{name}': ...}}" in message


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("model", "the field `model`"),
        ("messages", "prompt"),
        ("system", "a system message"),
        ("stream", "the field `stream`"),
        ("timeout", "the field `timeout`"),
        ("n", "`num_generations`"),
        ("response_format", "`output_schema`"),
        ("stop", "`stop_sequences`"),
        ("max_completion_tokens", "`max_tokens`"),
        ("reasoning_effort", "`output_config="),
        ("max_retries", "the field `max_attempts`"),
    ],
)
def test_what_is_said_elsewhere_names_where(name: str, instead: str) -> None:
    assert instead in refusal_of(**{name: "x"})


def test_the_body_cannot_smuggle_in_what_limbeck_sets() -> None:
    assert "the field `stream`" in refusal_of(extra_body={"stream": True})


def test_an_output_format_belongs_in_the_output_schema() -> None:
    assert "`output_schema`" in refusal_of(output_config={"format": {"type": "json_schema", "schema": {}}})


def test_a_refused_parameter_names_its_own_form_here() -> None:
    assert "disable_parallel_tool_use" in refusal_of(parallel_tool_calls=False)


@pytest.mark.parametrize("value", [0, -1, "many", 1.5])
def test_max_tokens_must_be_a_positive_whole_number(value: Any) -> None:
    assert "`max_tokens`" in refusal_of(max_tokens=value)


def test_max_tokens_said_twice_is_a_conflict() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        AnthropicLLM(model="claude-sonnet-5", max_tokens=10, generation_kwargs={"max_tokens": 20})


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "X-Gateway-Token"])
def test_a_secret_header_is_refused_because_parameters_are_stored(header: str) -> None:
    message = refusal_of(extra_headers={header: "sk-secret-value"})
    assert header in message
    assert "sk-secret-value" not in message
