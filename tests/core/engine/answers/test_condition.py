"""Conditions on what became of a row, in SQL."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck._engine.answers.condition import FACTS, Condition
from limbeck.errors import ConfigurationError

CALL: dict[str, Any] = {**dict.fromkeys(FACTS), "finish_reason": "length", "failed": False, "output_tokens": 100}


@pytest.mark.parametrize(
    "where",
    [
        "finish_reason = 'length'",
        "finish_reason == 'length'",
        'finish_reason = "length"',
        "output_tokens >= 100 AND NOT failed",
        "score < 3",
        "score BETWEEN 1 AND 2.5",
        "tags LIKE '%b%'",
        "error IS NULL",
        "length(answer) > 3 -- a remark",
        "output.score = 2 and call.finish_reason in ('length', 'stop')",
    ],
)
def test_it_may_name_the_rows_columns_and_the_calls_facts(where: str) -> None:
    assert Condition(where).holds(CALL, {"answer": "long", "score": 2, "tags": ["a", "b"]})


@pytest.mark.parametrize("where", ["failed", "score > 3", "score IS NULL", "error = 'OutputError'", "answer"])
def test_what_is_not_true_does_not_mean_a_row(where: str) -> None:
    assert not Condition(where).holds(CALL, {"answer": "long", "score": 2})


def test_a_function_is_given_the_row_and_the_facts() -> None:
    condition = Condition(lambda row: row["score"] > 3 and row["finish_reason"] == "length")
    assert condition.holds(CALL, {"score": 4})
    assert not condition.holds(CALL, {"score": 3})


def test_a_column_that_only_some_rows_have_is_null_in_the_others() -> None:
    condition = Condition("score IS NULL")
    assert not condition.holds(CALL, {"score": 1})
    assert condition.holds(CALL, {"other": 1})


def test_a_column_that_no_row_has_is_an_error_with_what_is_close() -> None:
    with pytest.raises(ConfigurationError, match=r"no such column: scor. Did you mean `score`") as caught:
        Condition("scor < 3").holds(CALL, {"score": 1})
    assert str(caught.value).endswith("\n  scor < 3\n  ^")


@pytest.mark.parametrize(
    ("where", "column"),
    [
        ("finish_reason = = 'length'", 16),
        ("score < < 3", 8),
        ("failed or or error", 10),
        ("failed and", 10),
        ("(failed", 7),
        ("failed; DROP TABLE calls", 6),
        ("nosuch(finish_reason)", 0),
    ],
)
def test_what_cannot_be_read_is_shown_with_its_place(where: str, column: int) -> None:
    with pytest.raises(
        ConfigurationError, match=r"cannot be used: .* It is SQL, such as `finish_reason = 'length'`"
    ) as e:
        Condition(where)
    assert str(e.value).endswith(f"\n  {where}\n  {' ' * column}^")


def test_a_name_that_is_both_a_column_and_a_fact_must_be_told_apart() -> None:
    with pytest.raises(ConfigurationError, match="ambiguous column name: error"):
        Condition("error = 'x'").holds(CALL, {"error": "x"})
    assert Condition("output.error = 'x'").holds(CALL, {"error": "x"})


def test_a_column_may_have_any_name() -> None:
    assert Condition('"a ""b""" = 1').holds(CALL, {'a "b"': 1})


def test_a_number_that_sql_cannot_hold_is_a_float() -> None:
    assert Condition("big > 1e20").holds(CALL, {"big": 10**30})
