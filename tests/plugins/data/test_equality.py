"""Equality of rows: one kind and one value, whatever it is written with."""

from __future__ import annotations

import array
import re
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from itertools import combinations
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from limbeck import Pipeline
from limbeck.errors import RowError
from limbeck_data import Deduplicate, Sample
from limbeck_data.equality import digest

from .rows import through

NAN = float("nan")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - what people have


class Word(StrEnum):
    YES = "yes"


class Colour(Enum):
    RED = "red"


class Mood(Enum):
    RED = "red"


class Model(BaseModel):
    n: int


@dataclass
class Point:
    n: int


def of(value: Any) -> bytes:
    return digest({"a": value}, [])


@pytest.mark.parametrize(
    "values",
    [
        [1, 1.0, Decimal(1), Decimal("1.00"), 1 + 0j],
        [0.0, -0.0, 0],
        [0.5, Decimal("0.50")],
        [10**30, Decimal("1e30")],
        [2**80, float(2**80)],
        [NAN, float("-nan"), Decimal("NaN"), Decimal("sNaN")],
        [float("inf"), Decimal("Infinity")],
        ["yes", Word.YES],
        [b"x", bytearray(b"x"), memoryview(b"x")],
        [[1, 2], (1, 2), deque([1, 2]), Pair(1, 2)],
        [{"a": 1, "b": 2}, OrderedDict(b=2, a=1), MappingProxyType({"b": 2, "a": 1})],
        [{1: "x", None: "y", "1": "z"}, {"1": "z", None: "y", 1: "x"}],
        [{1, "a", None}, frozenset([None, "a", 1])],
        [NOON, NOON.astimezone(timezone(timedelta(hours=2)))],
        [timedelta(hours=1), timedelta(minutes=60)],
        [Model(n=1), Model(n=1)],
        [Point(1), Point(1)],
        [array.array("i", [1]), array.array("i", [1])],
        [re.compile("a"), re.compile("a")],
        ["half \ud83d", "half \ud83d"],
        [10**5_000, 10**5_000],
        [Decimal("1e999999999"), Decimal("10e999999998")],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_values_of_one_kind_and_one_value_are_equal(values: list[Any]) -> None:
    assert len({of(value) for value in values}) == 1
    assert len({of([{"k": (value,)}]) for value in values}) == 1


DIFFERENT: list[Any] = [
    *(None, "", "None", "null", [], {}, set(), b"", [[]], [None], {"a": None}),
    *("x", b"x", ["x"], {"x"}, {"x": "x"}, PurePosixPath("x")),
    *("1", 1, True, "true", False, 0, 1.5, Decimal("1.5000000000000000000001"), 2**53 + 1, float(2**53), 1j),
    *(NAN, "nan", float("inf"), -float("inf"), 5e-324, Decimal("5e-324")),
    *(date(2026, 11, 24), "2026-11-24", datetime(2026, 11, 24), datetime(2026, 11, 24, tzinfo=UTC)),  # noqa: DTZ001
    *(time(12), "12:00:00", timedelta(hours=12), timedelta(days=-1), 12, timedelta.max),
    *(Colour.RED, Mood.RED, "red", Model(n=1), Point(1), {"n": 1}, {1: "n"}, {"1": "n"}, {True: "n"}),
    *(UUID(int=7), str(UUID(int=7)), ["a", "b"], ["b", "a"], [["a"], "b"], "half \ud83d", "half \\ud83d"),
    *({"a": {"b": 1}}, {"a": {"b": "1"}}, {("a", 1): 2}, datetime.max.replace(tzinfo=timezone(-timedelta(hours=9)))),
]


def test_values_of_two_kinds_or_two_values_are_not_equal() -> None:
    clashes = [(one, other) for one, other in combinations(DIFFERENT, 2) if of(one) == of(other)]
    assert clashes == []


def test_the_order_of_columns_does_not_count_and_their_names_do() -> None:
    assert digest({"a": 1, "b": 2}, []) == digest({"b": 2, "a": 1}, [])
    assert digest({"a": 1, "b": 2}, []) != digest({"a": 2, "b": 1}, [])
    assert digest({"a": "x"}, []) != digest({"x": "a"}, [])
    assert digest({"a": 1, "b": 2}, ["b"]) == digest({"b": 2.0}, ["b"])


class Opaque:
    """Equals nothing but itself."""


class Broken:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def model_dump(self, **_: Any) -> Any:
        raise KeyError("gone")


KNOT: list[Any] = []
KNOT.append({"deep": KNOT})
SINGLES = [Opaque(), Opaque, lambda: None, KNOT, Broken(), iter([1])]


@pytest.mark.parametrize("single", SINGLES, ids=lambda value: type(value).__name__)
def test_a_row_with_what_equals_nothing_but_itself_is_no_duplicate(single: Any) -> None:
    rows = [{"a": [single], "n": 1}, {"a": [single], "n": 1}]
    assert through(Deduplicate(), rows) == rows
    assert through(Deduplicate(columns=["n"]), rows) == rows[:1]
    with pytest.raises(RowError, match=r"The column 'a' holds a value that cannot be compared.*in `columns`"):
        through(Sample(fraction=1), rows)


def test_such_rows_are_kept_in_a_pipeline_too(tmp_path: Path) -> None:
    rows = [{"a": {1: b"x", "2": Opaque()}}, {"a": {1: b"x", "2": "x"}}, {"a": {"2": "x", 1: b"x"}}]
    result = Pipeline(rows, Deduplicate()).run(run_dir=tmp_path)
    assert (result.to_list()[1:], result.failed) == (rows[1:2], [])


def test_a_row_that_lacks_a_compared_column_says_so() -> None:
    with pytest.raises(RowError, match="lacks the column `a`"):
        list(Deduplicate(columns=["a"]).process([{"b": 1}]))


def test_values_of_numpy_and_pandas_equal_those_that_they_stand_for() -> None:
    np, pd = (pytest.importorskip(name) for name in ("numpy", "pandas"))
    assert of([np.int64(1), np.array([1.5]), pd.NA]) == of([1, [1.5], None])
    assert of([pd.Timestamp(NOON), pd.Timedelta(hours=1), np.bool_(True)]) == of([NOON, timedelta(hours=1), True])
    assert of(np.str_("x")) != of(np.bytes_(b"x"))
