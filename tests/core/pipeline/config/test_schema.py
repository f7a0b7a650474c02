"""The JSON Schema of a pipeline's file.

Covers `_pipeline.config.docstrings`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from limbeck import Step, register_step, register_task
from limbeck._pipeline.config.schema import file_schema
from limbeck.testing import fake_distribution

from .conftest import Ask

ASK = {"task": "ask", "llm": "offline"}


def faults(data: Any) -> list[str]:
    schema = json.loads(json.dumps(file_schema()))
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(data)]


@pytest.mark.parametrize(
    "data",
    [
        {"steps": [ASK]},
        {"tasks": [ASK]},
        {"name": "x", "input": "rows.jsonl", "output": "-", "max_failed": "5%", "rpm": 60, "steps": [ASK]},
        {"input": [{"question": 1}], "steps": [ASK]},
        {"steps": [{**ASK, "name": "a", "after": ["b"], "num_generations": 3, "on_error": "drop"}]},
        {"steps": [{**ASK, "num_generations": "${env:N:-3}", "on_error": "${env:POLICY}"}], "limit": "${env:LIMIT}"},
        {"steps": [{"task": "ask", "llm": {"provider": "paid/m", "rpm": 3, "generation_kwargs": {"x": 1}}}]},
        {"steps": [{"router": {"a": "x > 1", "b": None}}, {"join": {"group": ["a"]}, "after": ["a", "b"]}]},
        {"steps": [{"step": "upper", "column": "a"}, {"step": "keep", "path": "out.jsonl"}]},
    ],
)
def test_a_good_file_fits(data: dict[str, Any]) -> None:
    assert faults(data) == []


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"steps": []},
        {"steps": [ASK], "tasks": [ASK]},
        {"steps": [ASK], "nmae": "x"},
        {"steps": [ASK], "max_concurrency": 0},
        {"steps": [{"task": "aks", "llm": "offline"}]},
        {"steps": [{"task": "ask"}]},
        {"steps": [{**ASK, "num_generations": "many"}]},
        {"steps": [{**ASK, "num_generation": 3}]},
        {"steps": [{**ASK, "on_error": "ignore"}]},
        {"steps": [{**ASK, "step": "upper"}]},
        {"steps": [{"task": "ask", "llm": {"provider": "paid/m", "rmp": 3}}]},
        {"steps": [{"task": "ask", "llm": {"model": "m"}}]},
        {"steps": [{"step": "upper"}]},
    ],
)
def test_a_bad_file_does_not(data: dict[str, Any]) -> None:
    assert faults(data) != []


def test_fields_are_described_by_the_docstrings() -> None:
    properties = file_schema()["$defs"]["task.ask"]["properties"]
    assert properties["style"]["description"] == "how to answer."
    assert properties["num_generations"]["description"] == "answers for each row."


class Inner(BaseModel):
    """A part of a field."""

    size: int


class Marker:
    """Is known to nobody but its author."""


class Nested(Step):
    """Holds a model."""

    parts: list[Inner]

    def process(self, inputs: Any) -> Any:
        yield inputs


class Odd(Step):
    """Takes what has no form in JSON."""

    key: Callable[[Any], Any] | None = None
    marker: Marker | None = None

    def process(self, inputs: Any) -> Any:
        yield inputs


class Plain:
    """Is no model of pydantic's."""

    def __init__(self, name: str, speed: int = 3) -> None:
        self.name = name

    @property
    def inputs(self) -> list[str]:
        return []

    @property
    def outputs(self) -> list[str]:
        return []

    def process(self, inputs: Any) -> Any:
        yield inputs


@pytest.mark.parametrize("value", [None, 3, "operator.itemgetter", {"a": [1]}, [[]]])
@pytest.mark.parametrize("field", ["key", "marker"])
def test_what_has_no_form_in_json_may_be_anything_there(field: str, value: Any) -> None:
    register_step("odd", Odd)
    assert faults({"steps": [{"step": "odd", field: value}]}) == []
    assert faults({"steps": [{"step": "odd", f"{field}s": value}]}) != []


def test_models_inside_of_fields_are_checked_too() -> None:
    register_step("nested", Nested)
    assert faults({"steps": [{"step": "nested", "parts": [{"size": 3}]}]}) == []
    assert faults({"steps": [{"step": "nested", "parts": [{"size": "big"}]}]}) != []


def test_a_class_that_is_no_model_has_the_parameters_of_its_constructor() -> None:
    register_step("plain", Plain)
    assert faults({"steps": [{"step": "plain", "speed": 3}]}) == []
    assert faults({"steps": [{"step": "plain", "sped": 3}]}) != []


def test_a_plugin_that_cannot_be_imported_costs_only_itself(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme", entry_points={"limbeck.tasks": {"broken": "acme_broken:Task"}}):
        register_task("ask", Ask)
        assert faults({"steps": [{"task": "broken", "anything": 1}]}) == []
        assert faults({"steps": [{"task": "ask"}]}) != []
        assert "acme_broken" in file_schema()["$defs"]["task.broken"]["$comment"]
