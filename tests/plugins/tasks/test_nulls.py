"""Nulls that Arrow fills in where dicts differ: none of them is sent, nor counts in a schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.testing import ScriptedLLM
from limbeck_tasks import ChatGeneration, StructuredGeneration
from limbeck_tasks.nulls import schema_without_nulls, without_nulls


def filled(values: list[Any]) -> list[Any]:
    """The values as an Arrow table gives them back: dicts in the same place have the same keys."""
    dicts = [value for value in values if isinstance(value, dict)]
    if not dicts:
        lists = [value for value in values if isinstance(value, list)]
        parts = iter(filled([part for value in lists for part in value])) if lists else iter(())
        return [[next(parts) for _ in value] if isinstance(value, list) else value for value in values]
    names = dict.fromkeys(name for value in dicts for name in value)
    columns = {name: iter(filled([value.get(name) for value in dicts])) for name in names}
    return [{name: next(columns[name]) for name in names} if isinstance(value, dict) else value for value in values]


TEXT: dict[str, Any] = {"type": "text", "text": "?"}
IMAGE: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}}
AUDIO: dict[str, Any] = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
CALL: dict[str, Any] = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "chats",
    [
        [[{"role": "user", "content": [TEXT, IMAGE]}], [{"role": "user", "content": [AUDIO]}]],
        [[{"role": "user", "content": [TEXT, {"type": "image_url", "image_url": {"url": "data:,"}}, IMAGE]}]],
        [
            [
                {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "extra": {"a": 1}}]},
                {"role": "tool", "tool_call_id": "1", "content": "x"},
            ],
            [{"role": "user", "content": "?", "name": "Ada"}],
        ],
    ],
)
def test_a_chat_is_sent_as_it_was(chats: list[Any]) -> None:
    llm = ScriptedLLM(script=lambda _: "ok", max_concurrency=1)
    rows = [{"messages": messages} for messages in filled(chats)]
    assert rows != [{"messages": messages} for messages in chats]
    list(ChatGeneration(llm=llm).run(rows))
    assert [[{"content": None, **message} for message in chat] for chat in chats] == [
        [{"content": None, **message} for message in request.messages] for request in llm.requests
    ]


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]},
    {"type": "object", "properties": {"b": {"type": "string", "enum": ["x"]}}, "additionalProperties": False},
    {"type": "object", "properties": {"c": {"type": "array", "items": {"type": "string", "const": "y"}}}},
    {"type": "object", "$defs": {"d": {"type": ["string", "null"]}}, "properties": {"d": {"$ref": "#/$defs/d"}}},
    {
        "anyOf": [
            {"type": "integer"},
            {"type": "object", "properties": {"default": {"type": "boolean", "default": True}}},
        ]
    },
]


def test_schemas_that_differ_are_each_what_they_were() -> None:
    assert [schema_without_nulls(schema) for schema in filled(SCHEMAS)] == SCHEMAS


def test_an_answer_is_checked_against_its_own_rows_schema() -> None:
    answers = ['{"a": 1}', '{"b": "x"}', '{"c": ["y"]}', '{"d": null}', '{"default": true}']
    rows = [{"instruction": str(n), "output_schema": schema} for n, schema in enumerate(filled(SCHEMAS))]
    llm = ScriptedLLM(script=lambda request: answers[int(request.messages[-1]["content"])])
    given = list(StructuredGeneration(llm=llm).run(rows))
    assert [row["generation"] for row in given] == [json.loads(answer) for answer in answers]
    assert [row["output_schema"] for row in given] == [row["output_schema"] for row in rows]


@pytest.mark.parametrize(
    "schema",
    [
        {"const": None},
        {"default": None, "anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"type": ["string", "null"], "default": None},
        {"enum": ["a", None]},
        {"properties": {"a": {"const": None}}},
        {"const": {"a": None}},
    ],
)
def test_a_schema_that_speaks_of_null_keeps_it(schema: dict[str, Any]) -> None:
    assert schema_without_nulls(schema) == schema


@given(
    st.recursive(
        st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=2), inner, min_size=1),
    )
)
def test_a_part_without_nulls_is_itself(value: Any) -> None:
    assert without_nulls(value) == value
