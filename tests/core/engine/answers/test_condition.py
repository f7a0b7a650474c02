"""Conditions on what became of a row, in SQL."""

from __future__ import annotations

import enum
import math
from datetime import date
from decimal import Decimal
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


# Values and names that SQL has none of


class Colour(enum.StrEnum):
    RED = "red"


KNOT: list[Any] = []
KNOT.append(KNOT)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("half \ud83d", "x LIKE 'half%'"),
        (["half \ud83d"], "json_extract(x, '$[0]') LIKE 'half%'"),
        (10**400, "x > 1e308"),
        (-(10**400), "x < -1e308"),
        (2**63, "x > 9e18"),
        (math.nan, "x IS NULL"),
        ([1, math.nan], "json_extract(x, '$[0]') = 1 AND json_extract(x, '$[1]') IS NULL"),
        (b"bytes", "x = 'bytes'"),
        (date(2026, 11, 29), "x < '2026-12-01'"),
        ({"when": date(2026, 11, 29)}, "json_extract(x, '$.when') = '2026-11-29'"),
        (Decimal("1.5"), "x = '1.5'"),
        (Colour.RED, "x = 'red'"),
        ({"b"}, "json_extract(x, '$[0]') = 'b'"),
        (True, "x"),
        (object(), "x IS NULL"),
        ({(1, 2): 3}, "x IS NULL"),
        (KNOT, "x IS NULL"),
        (DEEP, "x IS NULL"),
        ("a\x00b", "x LIKE 'a%'"),
    ],
)
def test_a_value_of_any_kind_has_a_form_in_sql_or_is_null(value: Any, where: str) -> None:
    assert Condition(where).holds(CALL, {"x": value})
    assert not Condition("failed").holds(CALL, {"x": value})


@pytest.mark.parametrize("name", ["\ud800", "a\x00b", "", 'a"b', (1, 2), 7, None])
def test_columns_of_any_name_hold_up_no_condition(name: Any) -> None:
    assert Condition("y = 1").holds(CALL, {name: 1, "y": 1})


def test_a_row_may_have_more_columns_than_sqlite() -> None:
    assert Condition("column_2999 = 2999").holds(CALL, {f"column_{place}": place for place in range(3000)})


def test_a_name_with_quotes_is_written_with_two_of_each() -> None:
    assert Condition('"a""b" = 1').holds(CALL, {'a"b': 1})


@pytest.mark.parametrize(
    "where", ["text = 'b'", "\"text\" = 'b'", "text <> 'Text'", "output.text = 'b'", "length(text) = 1"]
)
def test_of_columns_that_differ_in_case_alone_the_one_that_is_written_out_is_meant(where: str) -> None:
    for row in ({"Text": "aa", "text": "b"}, {"text": "b", "Text": "aa"}):
        assert Condition(where).holds(CALL, row)


@pytest.mark.parametrize("where", ["TEXT = 'b'", "text = 'b' AND Text = 'a'"])
def test_columns_that_cannot_be_told_apart_are_an_error_that_says_what_can(where: str) -> None:
    with pytest.raises(ConfigurationError, match=r"takes the columns `Text`, `text` for one.* a function"):
        Condition(where).holds(CALL, {"Text": "a", "text": "b"})


def test_letters_beyond_ascii_are_told_apart() -> None:
    assert Condition("é = 1 AND É = 2").holds(CALL, {"é": 1, "É": 2})


def test_a_column_that_only_some_rows_have_may_be_named_in_another_case() -> None:
    condition = Condition("SCORE IS NULL")
    assert not condition.holds(CALL, {"score": 1})
    assert condition.holds(CALL, {"other": 1})


@pytest.mark.parametrize("where", ["x = '\ud800'", "x = '\x00'"])
def test_a_condition_that_is_no_text_for_sqlite_is_an_error(where: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Condition(where)
