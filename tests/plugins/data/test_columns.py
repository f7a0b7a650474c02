"""Steps that change which columns rows have."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.errors import ConfigurationError, RowError
from limbeck_data import CombineColumns, DropColumns, ExpandColumns, KeepColumns, RenameColumns

from .rows import through


def test_kept_columns_come_in_the_order_named_and_all_others_go() -> None:
    step = KeepColumns(columns=["c", "a"])
    assert through(step, [{"a": 1, "b": 2, "c": 3}]) == [{"c": 3, "a": 1}]
    assert step.columns_after(["a", "b", "c"]) == ["c", "a"]


def test_only_metadata_may_be_missing_where_columns_are_kept() -> None:
    step = KeepColumns(columns=["a", "distilabel_metadata"])
    assert step.inputs == {"a": True, "distilabel_metadata": False}
    assert through(step, [{"a": 1}]) == [{"a": 1, "distilabel_metadata": None}]


def test_dropped_columns_go_where_they_are_there() -> None:
    step = DropColumns(columns=["a", "x"])
    assert through(step, [{"a": 1, "b": 2}]) == [{"b": 2}]
    assert step.columns_after(["a", "b"]) == ["b"]


def test_renamed_columns_stay_in_their_places_and_may_change_names_with_each_other() -> None:
    step = RenameColumns(columns={"a": "b", "b": "a"})
    assert list(through(step, [{"a": 1, "b": 2, "c": 3}])[0].items()) == [("b", 1), ("a", 2), ("c", 3)]
    assert step.columns_after(["a", "b", "c"]) == ["b", "a", "c"]


def test_two_columns_cannot_get_one_name() -> None:
    step = RenameColumns(columns={"a": "b"})
    with pytest.raises(ConfigurationError, match="'rename-columns' gives two columns the name 'b'"):
        step.columns_after(["a", "b"])
    with pytest.raises(RowError, match="Two columns would have the name 'b'"):
        through(step, [{"a": 1, "b": 2}])


def test_lists_are_expanded_in_step_into_a_row_an_item() -> None:
    rows: list[dict[str, Any]] = [{"q": "?", "a": [1, 2], "b": ("x", "y")}, {"q": "!", "a": [], "b": []}]
    assert through(ExpandColumns(columns=["a", "b"]), rows) == [
        {"q": "?", "a": 1, "b": "x"},
        {"q": "?", "a": 2, "b": "y"},
    ]


def test_null_in_place_of_a_list_is_a_row_with_null() -> None:
    step = ExpandColumns(columns=["a", "b"])
    assert through(step, [{"a": None, "b": None}]) == [{"a": None, "b": None}]
    assert through(step, [{"a": [1, 2], "b": None}]) == [{"a": 1, "b": None}, {"a": 2, "b": None}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "not of one length: 'a' has 2, 'b' has 1"),
        ({"a": "text", "b": []}, "The column 'a' holds str, where a list is expanded"),
    ],
)
def test_what_cannot_be_expanded_is_an_error_of_its_row(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError, match=message):
        through(ExpandColumns(columns=["a", "b"]), [row])


def test_columns_are_combined_into_a_list_and_may_go_themselves() -> None:
    row = {"a": 1, "b": None, "c": 3}
    assert through(CombineColumns(columns=["a", "b"]), [row]) == [{**row, "combined": [1, None]}]
    step = CombineColumns(columns=["a", "b"], output="a", drop=True)
    assert through(step, [row]) == [{"a": [1, None], "c": 3}]
    assert step.columns_after(["a", "b", "c"]) == ["a", "c"]
