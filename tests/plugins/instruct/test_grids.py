"""Attributes that are drawn, and personas written from them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from limbeck import Pipeline
from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck_instruct import AttributeGrid, PersonaGenerator

PEOPLE: dict[str, Any] = {"age": {"child": 1, "adult": 3}, "job": ["baker", "pilot"], "mood": ["calm", "cross"]}
PUPILS: list[dict[str, Any]] = [{"when": {"age": "child"}, "then": {"job": ["pupil"]}}]


def rows_of(**fields: Any) -> list[Any]:
    return [row for chunk in AttributeGrid(**fields).process() for row in chunk]


def test_rows_are_the_same_for_a_seed_and_do_not_depend_on_how_many_there_are() -> None:
    few, many = rows_of(attributes=PEOPLE, num_rows=3), rows_of(attributes=PEOPLE, num_rows=120)
    assert many[:3] == few
    assert len(many) == 120
    assert rows_of(attributes=PEOPLE, num_rows=120, seed=7) != many


def test_weights_are_kept_within_reason() -> None:
    counts = Counter(row["age"] for row in rows_of(attributes=PEOPLE, num_rows=400))
    assert 60 < counts["child"] < 140
    assert {row["age"] for row in rows_of(attributes={"age": {"a": 0, "b": 1}}, num_rows=50)} == {"b"}


def test_a_condition_says_what_is_drawn() -> None:
    rows = rows_of(attributes=PEOPLE, conditions=PUPILS, num_rows=100)
    assert {row["job"] for row in rows if row["age"] == "child"} == {"pupil"}
    assert {row["job"] for row in rows if row["age"] == "adult"} == {"baker", "pilot"}


def test_of_several_conditions_the_last_that_holds_counts() -> None:
    conditions = [*PUPILS, {"when": {"age": ["child", "adult"]}, "then": {"job": ["robot"]}}]
    assert {row["job"] for row in rows_of(attributes=PEOPLE, conditions=conditions, num_rows=20)} == {"robot"}


def test_all_combinations_come_once_in_order() -> None:
    rows = rows_of(attributes=PEOPLE, conditions=PUPILS, combinations="all")
    assert [tuple(row.values()) for row in rows] == [
        *(("child", "pupil", "calm"), ("child", "pupil", "cross")),
        *(("adult", "baker", "calm"), ("adult", "baker", "cross")),
        *(("adult", "pilot", "calm"), ("adult", "pilot", "cross")),
    ]
    assert (
        rows_of(attributes=PEOPLE, combinations="all", num_rows=2) == rows_of(attributes=PEOPLE, combinations="all")[:2]
    )


def test_a_grid_is_a_source_of_a_pipeline() -> None:
    grid = AttributeGrid(attributes=PEOPLE, num_rows=3)
    assert Pipeline(grid).run().to_list() == rows_of(attributes=PEOPLE, num_rows=3)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"attributes": {}}, "are empty"),
        ({"attributes": {"a": []}}, "needs a list of values"),
        ({"attributes": {"a": {"x": 0}}}, "weights that are none"),
        ({"attributes": {"a": {"x": -1, "y": 2}}}, "weights that are none"),
        ({"conditions": [{"if": {}}]}, "must be"),
        ({"conditions": [{"when": {"ag": "child"}, "then": {}}]}, "Did you mean `age`"),
        ({"conditions": [{"when": {"mood": "calm"}, "then": {"job": ["x"]}}]}, "drawn after it"),
        ({"conditions": [{"when": {"age": "child"}, "then": {"job": []}}]}, "needs a list of values"),
        ({"num_rows": None}, "without end"),
    ],
)
def test_a_grid_that_cannot_be_drawn_from_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        AttributeGrid(**{"attributes": PEOPLE, "num_rows": 1, **fields})


def test_personas_are_written_from_the_rows_that_the_grid_draws() -> None:
    llm = ScriptedLLM(script=lambda request: request.messages[-1]["content"])
    task = PersonaGenerator(llm=llm, attributes=PEOPLE, conditions=PUPILS, num_rows=5, seed=3)
    rows = next(task.process())
    assert [{name: row[name] for name in PEOPLE} for row in rows] == rows_of(
        attributes=PEOPLE, conditions=PUPILS, num_rows=5, seed=3
    )
    assert all(f"- job: {row['job']}\n" in row["persona"] for row in rows)
