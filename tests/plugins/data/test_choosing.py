"""Steps that let some rows through: how many, which of equals, and always the same ones."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from limbeck.errors import ConfigurationError
from limbeck_data import Deduplicate, Limit, Sample, SampleRows, Shuffle, Sort

from .rows import through

MANY = [{"n": number} for number in range(2_000)]


def test_a_limit_lets_the_first_rows_through_in_each_run() -> None:
    step = Limit(n=2)
    assert through(step, MANY) == MANY[:2]
    assert step.exhausted
    assert through(step, MANY) == MANY[:2]
    assert [row for chunk in Limit(n=3).process(MANY) for row in chunk] == MANY[:3]


def test_a_sample_is_about_the_fraction_and_the_same_whatever_the_order() -> None:
    chosen = through(Sample(fraction=0.25), MANY)
    assert 400 < len(chosen) < 600
    assert through(Sample(fraction=0.25), MANY[::-1]) == chosen[::-1]
    assert through(Sample(fraction=0.25, seed=1), MANY) != chosen
    assert (through(Sample(fraction=0), MANY), through(Sample(fraction=1), MANY)) == ([], MANY)


def test_rows_that_are_equal_in_the_sampled_columns_share_their_fate() -> None:
    rows = [{"user": number % 10, "n": number} for number in range(100)]
    chosen = through(Sample(fraction=0.5, columns=["user"]), rows)
    assert 0 < len(chosen) < 100
    assert len(chosen) == 10 * len({row["user"] for row in chosen})


def test_a_fraction_is_between_none_and_all() -> None:
    with pytest.raises(ValidationError, match="fraction"):
        Sample(fraction=1.5)


def test_the_first_of_equal_rows_goes_through_whatever_the_order_of_their_columns() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": [{"c": None}]}, {"b": [{"c": None}], "a": 1}, {"a": 1.5, "b": []}]
    assert through(Deduplicate(), rows) == [rows[0], rows[2]]


def test_rows_may_be_equal_in_some_columns_only_and_types_tell_apart() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": "1", "b": 3}, {"a": None, "b": 4}]
    assert [row["b"] for row in through(Deduplicate(columns=["a"]), rows)] == [1, 3, 4]


def test_what_was_seen_in_one_run_is_forgotten_in_the_next() -> None:
    step = Deduplicate()
    assert [through(step, [{"a": 1}, {"a": 1}]) for _ in range(2)] == [[{"a": 1}], [{"a": 1}]]


# Steps over all rows


def all_through(step: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for chunk in step.process(rows) for row in chunk]


def test_rows_are_sorted_by_one_column_after_another_with_nulls_last() -> None:
    rows: list[dict[str, Any]] = [{"a": 2, "b": "x"}, {"a": None, "b": "w"}, {"a": 1, "b": "z"}, {"a": 1, "b": "y"}]
    assert [row["b"] for row in all_through(Sort(by=["a", "b"]), rows)] == ["y", "z", "x", "w"]
    assert [row["b"] for row in all_through(Sort(by="a", descending=True), rows)] == ["x", "z", "y", "w"]


@pytest.mark.parametrize("descending", [False, True])
def test_nan_comes_last_and_disturbs_no_order(descending: bool) -> None:
    nan = float("nan")
    rows = [{"n": each} for each in (3, nan, 1, None, Decimal("NaN"), 2.5, nan, 7)]
    made = [row["n"] for row in all_through(Sort(by="n", descending=descending), rows)]
    assert made[:4] == ([7, 3, 2.5, 1] if descending else [1, 2.5, 3, 7])
    assert len(made) == 8


def test_values_that_cannot_be_compared_are_an_error_that_names_the_column() -> None:
    with pytest.raises(ConfigurationError, match="cannot be sorted by the column 'a', which holds int, str"):
        all_through(Sort(by="a"), [{"a": 1}, {"a": "x"}])


def test_a_shuffle_is_the_same_for_the_same_seed_and_loses_nothing() -> None:
    shuffled = all_through(Shuffle(seed=1), MANY)
    assert shuffled != MANY
    assert sorted(shuffled, key=lambda row: row["n"]) == MANY
    assert all_through(Shuffle(seed=1), MANY) == shuffled
    assert all_through(Shuffle(seed=2), MANY) != shuffled


def test_an_exact_number_of_rows_is_chosen_in_their_order() -> None:
    chosen = all_through(SampleRows(n=100, seed=3), MANY)
    assert len(chosen) == 100
    assert chosen == sorted(chosen, key=lambda row: row["n"])
    assert all_through(SampleRows(n=100, seed=3), MANY) == chosen
    assert all_through(SampleRows(n=5_000), MANY) == MANY
