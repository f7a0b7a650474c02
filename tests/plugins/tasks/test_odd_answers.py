"""Whatever a model answers, `process` gives a row: one that was read, or one with a typed error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from limbeck.testing import ScriptedLLM
from limbeck_tasks import StructuredGeneration, TextClassification


class Verdict(BaseModel):
    label: str
    score: float = 0.0


PIECES = st.sampled_from(
    [
        *('{"label": "a"}', '{"label": "b", "score": 1e999}', '{"label": NaN}', '["a"]', '"a"', "a", "null", "{}"),
        *("<think>", "</think>", "[THINK]", "[/THINK]", "<thinking>", "```json\n", "\n```\n", "{", "}", "[", "]", '"'),
        *("\\", "\ud83d", "\x00", "\ufeff", "As [1] says", "{1, 2}", "1" * 5000, "[" * 2000, '{"a":' * 500),
    ]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(PIECES, max_size=8).map("".join), min_size=1, max_size=6))
def test_odd_answers_are_read_or_typed_errors(answers: list[str]) -> None:
    tasks = (
        StructuredGeneration(llm=ScriptedLLM(script=list(answers)), output_schema=Verdict),
        StructuredGeneration(llm=ScriptedLLM(script=list(answers)), output_schema=Verdict.model_json_schema()),
        TextClassification(llm=ScriptedLLM(script=list(answers)), labels=["a", "b"]),
    )
    rows = [{"instruction": "?", "text": "?"} for _ in answers]
    for task in tasks:
        for row in next(task.process(rows)):
            value = row[task.outputs[0]]
            error = row["distilabel_metadata"].get(f"error_{task.name}")
            assert (value is None) == (error is not None)
            assert error is None or error["type"] == "SchemaError"
            json.loads(json.dumps(value), parse_constant=pytest.fail)
