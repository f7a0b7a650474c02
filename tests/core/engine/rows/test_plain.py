"""Which values may be written down, and in which form."""

from __future__ import annotations

import json
import uuid
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import PurePosixPath
from typing import Any

import pytest
from pydantic import BaseModel

from limbeck._engine.rows.plain import check_first_rows, check_row, plain, unwritable
from limbeck.errors import ConfigurationError, RowError


class Model(BaseModel):
    when: date


@dataclass
class Point:
    x: int


class Colour(Enum):
    RED = "red"


class Word(StrEnum):
    YES = "yes"


class Array:
    """Stands for an array or a number of numpy."""

    def tolist(self) -> list[int]:
        return [1, 2]


FORMS: list[tuple[Any, Any]] = [
    (Model(when=date(2026, 11, 24)), {"when": "2026-11-24"}),
    (Point(1), {"x": 1}),
    (Colour.RED, "red"),
    (Word.YES, "yes"),
    (Array(), [1, 2]),
    (date(2026, 11, 24), "2026-11-24"),
    (datetime(2026, 11, 24, tzinfo=UTC), "2026-11-24T00:00:00+00:00"),
    (time(8), "08:00:00"),
    (timedelta(hours=1), "1:00:00"),
    ({"one"}, ["one"]),
    (frozenset({1}), [1]),
    ((1, "a"), [1, "a"]),
    (b"a\xff", "a\\xff"),
    (bytearray(b"a"), "a"),
    (memoryview(b"a"), "a"),
    (memoryview(b"a_b_")[::2], "ab"),
    (Decimal("1.10"), "1.10"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (PurePosixPath("a/b"), "a/b"),
    (UserDict({"a": 1}), {"a": 1}),
    (OrderedDict(a=[{"b": None}]), {"a": [{"b": None}]}),
]


@pytest.mark.parametrize(("value", "form"), FORMS, ids=[type(value).__name__ for value, _ in FORMS])
def test_a_value_with_one_form_in_json_passes_and_is_written_in_it(value: Any, form: Any) -> None:
    row = {"column": value, "deep": [{"in": [value]}]}
    check_row("0", row, ["column", "deep"])
    assert json.loads(json.dumps(row, default=plain)) == {"column": form, "deep": [{"in": [form]}]}


def knot() -> list[Any]:
    holds_itself: list[Any] = []
    holds_itself.append({"again": holds_itself})
    return holds_itself


BAD: list[tuple[Any, str]] = [
    (object(), "a value of the type `object`"),
    (print, "a value of the type `builtin_function_or_method`"),
    ((part for part in "ab"), "a value of the type `generator`"),
    (1j, "a value of the type `complex`"),
    ([1, [2, {"deep": [object()]}]], "a value of the type `object`"),
    ({(1, 2): "x"}, "a dict with keys that are no texts"),
    (knot(), "a value that holds itself or is nested too deeply"),
]


@pytest.mark.parametrize(("value", "what"), BAD, ids=[what for _, what in BAD])
def test_a_value_without_one_is_named_with_its_row_and_column(value: Any, what: str) -> None:
    with pytest.raises(RowError) as caught:
        check_row("17.2", {"fine": 1, "bad": value}, ["fine", "bad"])
    assert str(caught.value).startswith(f"Row 17.2 has {what} in the column `bad`, for which JSON has no form")


def test_where_objects_are_written_as_their_texts_only_keys_and_knots_are_faults() -> None:
    assert unwritable([object(), {"deep": [print]}]) is None
    assert unwritable([object(), {(1, 2): "x"}]) == "a dict with keys that are no texts"
    assert unwritable({"picture": object(), "knot": knot()}) == "a value that holds itself or is nested too deeply"


def test_only_the_columns_that_are_read_are_looked_at() -> None:
    check_row("0", {"read": "text", "picture": object(), (1, 2): "x"}, ["read", "absent"])


def test_the_first_of_several_rows_that_is_bad_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"Row 7 has .* in the column `bad`.* No model was asked"):
        check_first_rows([{"bad": 1}, {"bad": object()}, {"bad": object()}], ["bad"], first=6)


def test_a_value_without_a_form_has_none_to_be_written_in() -> None:
    with pytest.raises(TypeError, match="JSON has no form for a value of the type `object`"):
        json.dumps(object(), default=plain)


def test_what_is_no_row_is_left_to_who_takes_rows() -> None:
    check_row("0", "no dict", ["column"])
