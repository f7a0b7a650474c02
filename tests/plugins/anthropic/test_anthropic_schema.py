"""Output schemas reach the server as a constraint where they can be one, else in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel, Field

from support.anthropic_server import anthropic_server
from support.provider_server import Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from limbeck.types import GenerationResponse


class Address(BaseModel):
    street: str
    number: int = Field(ge=1, description="The house.")


class Person(BaseModel):
    name: str
    nickname: str | None = None
    mood: Literal["glad", "sad"]
    homes: list[Address] = Field(min_length=2)


class Tree(BaseModel):
    name: str
    children: list[Tree]


def sent_with(ask: Callable[..., GenerationResponse], schema: dict[str, Any], **fields: Any) -> Asked:
    with anthropic_server() as server:
        ask(server, [{"role": "system", "content": "Be exact."}, {"role": "user", "content": "x"}],
            output_schema=schema, **fields)  # fmt: skip
        return server.requests[0]


def format_of(ask: Callable[..., GenerationResponse], schema: dict[str, Any]) -> dict[str, Any]:
    body = sent_with(ask, schema).body
    assert body["system"] == "Be exact."
    assert body["output_config"]["format"]["type"] == "json_schema"
    sent: dict[str, Any] = body["output_config"]["format"]["schema"]
    return sent


def test_a_models_schema_is_sent_in_the_form_the_api_takes(ask: Callable[..., GenerationResponse]) -> None:
    sent = format_of(ask, Person.model_json_schema())
    assert sent["additionalProperties"] is False
    assert list(sent["properties"]) == ["name", "nickname", "mood", "homes"]
    assert sent["properties"]["mood"]["enum"] == ["glad", "sad"]
    assert sent["properties"]["homes"]["description"] == "{minItems: 2}"
    assert sent["$defs"]["Address"]["properties"]["number"]["description"] == "The house.\n\n{minimum: 1}"


def test_a_list_of_types_is_sent_as_alternatives(ask: Callable[..., GenerationResponse]) -> None:
    nickname = {"type": ["string", "null"], "description": "If any."}
    sent = format_of(ask, {"type": "object", "properties": {"nickname": nickname}, "required": ["nickname"]})
    assert sent["properties"]["nickname"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "If any."}


def test_an_effort_stands_beside_the_format(ask: Callable[..., GenerationResponse]) -> None:
    body = sent_with(ask, Address.model_json_schema(), generation_kwargs={"output_config": {"effort": "low"}}).body
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["type"] == "json_schema"


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        obj(scores={"type": "object", "additionalProperties": {"type": "number"}}),
        {**obj(a={"type": "string"}), "additionalProperties": True},
        {**obj(a={"type": "string"}), "patternProperties": {"^x": {"type": "string"}}},
        obj(anything={}),
        obj(anything=True),
        obj(a={"$ref": "#/definitions/a"}),
        Tree.model_json_schema(),
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"anyOf": [obj(a={"type": "string"}), {"required": ["a"]}]},
    ],
    ids=["free object", "mapping", "open", "patterns", "any", "true", "definitions", "recursive", "cycle", "untyped"],
)  # fmt: skip
def test_a_schema_outside_the_apis_subset_is_asked_for_in_words(
    ask: Callable[..., GenerationResponse], schema: dict[str, Any]
) -> None:
    body = sent_with(ask, schema).body
    assert "output_config" not in body
    prompt, _, demanded = body["system"].partition("JSON Schema:\n")
    assert prompt.startswith("Be exact.\n\nAnswer with JSON alone")
    assert json.loads(demanded) == schema


def test_the_words_stand_in_a_system_prompt_of_their_own_where_there_is_none(
    ask: Callable[..., GenerationResponse],
) -> None:
    with anthropic_server() as server:
        ask(server, output_schema={"type": "object"})
        assert server.requests[0].body["system"].startswith("Answer with JSON alone")


def test_the_words_come_after_a_system_prompt_of_parts(ask: Callable[..., GenerationResponse]) -> None:
    chat = [{"role": "system", "content": [{"type": "text", "text": "Be exact."}]}, {"role": "user", "content": "x"}]
    with anthropic_server() as server:
        ask(server, chat, output_schema={"type": "object"})
        first, last = server.requests[0].body["system"]
    assert first == {"type": "text", "text": "Be exact."}
    assert last["text"].startswith("Answer with JSON alone")


def test_the_callers_schema_is_not_changed(ask: Callable[..., GenerationResponse]) -> None:
    schema = Person.model_json_schema()
    before = json.dumps(schema)
    sent_with(ask, schema)
    assert json.dumps(schema) == before
