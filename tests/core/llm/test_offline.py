"""The embedded stand-in: no model, no key, no network, and it says so."""

from __future__ import annotations

import datetime as dt
import enum
import json
import socket
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from jsonschema import validate
from pydantic import BaseModel, Field

from limbeck import get_llm, list_llms
from limbeck.llms import OfflineLLM
from limbeck.testing import LLMContract
from limbeck.types import Example
from support.questions import METADATA, Ask, processed, questions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import Row


class TestTheContract(LLMContract):
    def make_llm(self) -> OfflineLLM:
        return OfflineLLM()


def test_it_is_there_by_name_with_the_core_alone() -> None:
    assert "offline" in list_llms()
    assert get_llm("offline") is OfflineLLM
    assert Ask(llm="offline").llm.model_name == "offline/stand-in"
    assert Ask(llm="offline/mine").llm.model_name == "offline/mine"


def test_it_says_that_no_model_was_asked() -> None:
    (row,) = processed(Ask(llm="offline"), [{"question": "q"}])
    assert row["answer"].startswith("[offline stand-in: no model was asked] prompt ")
    assert row["model_name"] == "offline/stand-in"


def test_the_same_prompt_has_the_same_answer_and_another_prompt_another() -> None:
    first, second, third = processed(Ask(llm="offline"), [{"question": text} for text in ("a", "b", "a")])
    again = processed(Ask(llm="offline"), [{"question": "a"}])
    assert first == third == again[0]
    assert first["answer"] != second["answer"]


def test_samples_are_told_apart_and_come_in_one_request() -> None:
    stream = Ask(llm="offline", num_generations=3, group_generations=True).run([{"question": "q"}])
    (row,) = stream
    assert [text.partition("]")[0] for text in row["answer"]] == [
        f"[offline stand-in: no model was asked, sample {sample} of 3" for sample in (1, 2, 3)
    ]
    assert stream.stats.requests == 1


def test_tokens_are_counted_as_words() -> None:
    task = Ask(llm="offline", add_statistics=True)
    (row,) = processed(task, [{"question": "three short words"}])
    statistics = row[METADATA]["statistics_ask"]
    assert (statistics["input_tokens"], statistics["output_tokens"]) == (3, len(row["answer"].split()))
    assert statistics["finish_reason"] == "stop"


def test_it_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(processed(Ask(llm="offline"), questions(3))) == 3


def test_a_tasks_own_examples_are_answered_as_in_the_examples() -> None:
    class Shout(Ask):
        def examples(self) -> Sequence[Example]:
            return [
                Example({"question": "who?"}, "you", {"answer": "YOU"}),
                Example({"question": "where?"}, "here", {"answer": "HERE"}),
            ]

        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": (output or "").upper()}

    rows = [{"question": text} for text in ("where?", "who?", "else?")]
    here, you, other = [row["answer"] for row in processed(Shout(llm="offline"), rows)]
    assert (here, you) == ("HERE", "YOU")
    assert other.startswith("[OFFLINE STAND-IN")


# Requests with a schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: float = Field(gt=0, lt=0.2)
    y: Annotated[int, Field(ge=3, multiple_of=5)]


class Tree(BaseModel):
    value: int
    children: list[Tree]


class Everything(BaseModel):
    text: str
    short: str = Field(max_length=3)
    long: str = Field(min_length=40)
    number: float = Field(gt=1)
    negative: float = Field(lt=0)
    below: int = Field(lt=-4)
    most: int = Field(le=-7)
    between: int = Field(gt=1, lt=3)
    even: int = Field(gt=0, multiple_of=2)
    truth: bool
    nothing: None
    maybe: int | None
    either: int | str
    colour: Colour
    word: Literal["a", "b"]
    one: Literal[7]
    day: dt.date
    moment: dt.datetime
    hour: dt.time
    id: uuid.UUID
    point: Point
    points: list[Point] = Field(min_length=2)
    pair: tuple[int, Literal["b"]]
    table: dict[str, int]
    tree: Tree
    left_out: str = "default"


class Asked(Ask):
    """A task whose schema is the row's."""

    def schema_for(self, input: Row) -> Any:
        return input["schema"]


def answer_to(schema: Any) -> Any:
    """The stand-in's answer to a request with this schema, once the task has found it to conform."""
    (row,) = processed(Asked(name="ask", llm="offline"), [{"question": "q", "schema": schema}])
    assert "error_ask" not in row[METADATA], row[METADATA]["error_ask"]
    return json.loads(row["answer"])


def test_a_model_with_all_kinds_of_fields_is_satisfied() -> None:
    value = answer_to(Everything)
    assert Everything.model_validate(value).point.y == 5
    assert value["left_out"] == "default"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "offline stand-in"),
        ({"type": "object", "properties": {"a": {}}}, {}),
        ({"type": "object", "properties": {"a": True}, "required": ["a"]}, {"a": None}),
        ({"properties": {"a": {"type": "integer"}}, "required": ["a", "b"]}, {"a": 0, "b": "offline stand-in"}),
        ({"const": [1, {"a": None}]}, [1, {"a": None}]),
        ({"default": 3, "type": "integer"}, 3),
        ({"enum": ["x", "y"]}, "x"),
        ({"type": ["null", "string"]}, None),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"type": "array", "items": True, "minItems": 1}, [None]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 3}, [1, 2, "offline stand-in"]),
        ({"type": "integer", "minimum": 0.5}, 1),
        ({"type": "number", "minimum": -2.5}, -2.5),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "integer", "minimum": 7, "multipleOf": 4}, 8),
        ({"type": "string", "format": "email"}, "offline@example.org"),
        ({"type": "string", "maxLength": 7}, "offline"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"oneOf": [{"const": "a"}, {"const": "b"}]}, "a"),
        ({"allOf": [{"type": "integer"}], "minimum": 4}, 4),
        ({"$defs": {"a/b": {"const": 5}}, "$ref": "#/$defs/a~1b"}, 5),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_schema_is_satisfied_by_the_plainest_value(schema: dict[str, Any], value: Any) -> None:
    validate(value, schema)
    assert answer_to(schema) == value


def test_a_schema_it_cannot_satisfy_fails_the_row_as_any_wrong_answer_does() -> None:
    (row,) = processed(Asked(llm="offline"), [{"question": "q", "schema": {"type": "string", "pattern": "^x+$"}}])
    assert row["answer"] is None
    assert row[METADATA]["error_asked"]["type"] == "SchemaError"


def test_an_endless_schema_is_not_followed_for_ever() -> None:
    schema = {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}},
        "$ref": "#/$defs/node",
    }
    (row,) = processed(Asked(llm="offline"), [{"question": "q", "schema": schema}])
    assert row[METADATA]["error_asked"]["type"] == "SchemaError"
