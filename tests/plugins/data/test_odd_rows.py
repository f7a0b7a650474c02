"""Rows of odd values through the steps that shape rows: each comes out, or fails with an error that says where.

The rows are of a seed; `LIMBECK_FUZZ_SEED` sets another one, for a longer look than the suite takes.
"""

from __future__ import annotations

import os
import random
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from limbeck import Pipeline
from limbeck._files.json_rows import encode_row
from limbeck.errors import ConfigurationError, LimbeckError
from limbeck.files import plain_row
from limbeck.steps import SaveToFiles
from limbeck_data import (
    CombineColumns,
    Deduplicate,
    DropColumns,
    ExpandColumns,
    FilterRows,
    KeepColumns,
    MapRows,
    RenameColumns,
    Sample,
)

from .rows import through

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEED = int(os.environ.get("LIMBECK_FUZZ_SEED", "7"))
COLUMNS = ("a", "b", "c")


class Colour(Enum):
    RED = "red"


class Opaque:
    """Nothing is known of it."""


class Spiteful:
    """Raises whatever it is asked."""

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


def knot() -> list[Any]:
    made: list[Any] = []
    made.append({"knot": made})
    return made


PLAIN: list[Callable[[random.Random], Any]] = [
    lambda _: None,
    lambda r: r.choice([True, False]),
    lambda r: r.choice([0, 1, -1, 2**63, 10**5_000, -(2**70)]),
    lambda r: r.choice([0.5, 1.0, float("nan"), float("inf"), -0.0, 5e-324]),
    lambda r: r.choice(["", "x", "1", "half \ud83d", "\x00", "null", "2024-01-01", "é\u2028", "{{ a }}", "x" * 5_000]),
    lambda r: r.choice([b"x", bytearray(b"x"), memoryview(b"x"), b"\xff"]),
    lambda r: r.choice([Decimal("NaN"), Decimal("sNaN"), Decimal("1e999999"), Decimal("0.10"), Decimal(1)]),
    lambda r: r.choice([date(2024, 1, 1), datetime(2024, 1, 1), datetime.max.replace(tzinfo=UTC), date.min]),  # noqa: DTZ001
    lambda r: r.choice([datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9))), time(1, tzinfo=UTC), timedelta.max]),
    lambda r: r.choice([UUID(int=1), PurePosixPath("x"), Colour.RED, 1j, range(3), re.compile("a"), ...]),
    lambda r: r.choice([{1, "x"}, frozenset({b"x"}), (1, "x"), slice(1), iter([1]), print, Opaque]),
    lambda r: r.choice([Opaque(), Spiteful(), knot()]),
]


def foreign() -> list[Callable[[random.Random], Any]]:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    return [
        lambda r: r.choice([np.int64(1), np.float32(0.5), np.bool_(1), np.str_("x"), np.longdouble(1)]),
        lambda r: r.choice([np.array([]), np.array([[1, 2], [3, 4]]), np.array([None, {}], dtype=object)]),
        lambda r: r.choice([np.datetime64("NaT"), np.datetime64("20000-01-01"), np.timedelta64(1, "Y"), np.void(b"x")]),
        lambda r: r.choice([np.zeros(1, "i4,f8")[0], np.ma.masked, np.ma.array([1, 2], mask=[1, 0]), np.iinfo("i4")]),
        lambda r: r.choice([pd.NA, pd.NaT, pd.Timestamp(1), pd.Timedelta(1), pd.Period("2024-01"), pd.Interval(0, 1)]),
        lambda r: r.choice([pd.Series([1, None]), pd.Categorical(["a", None]), pd.DataFrame({"n": [1, None]})]),
    ]


def odd_rows(count: int = 100) -> list[dict[str, Any]]:
    """Rows of three columns, of one, two, or all kinds of values, some of them nested."""
    r = random.Random(SEED)
    makers = [*PLAIN, *foreign()]

    def value(depth: int = 0) -> Any:
        kind = r.random()
        if depth > 3 or kind < 0.6:
            return r.choice(makers)(r)
        parts = [value(depth + 1) for _ in range(r.randrange(4))]
        if kind < 0.8:
            return parts
        keys: list[Any] = ["k", "items", "half \ude00", 1, None, 1.5, True, (1, 2), b"x", Colour.RED, date(2024, 1, 1)]
        return dict(zip(r.sample(keys, len(parts)), parts, strict=True))

    return [{column: value() for column in COLUMNS if r.random() < 0.95} for _ in range(count)]


CONDITIONS = [
    *("a", "not a", "a is none", "a is defined", "a and b or c", "a == b", "a != b", "a is sameas b", "a > 3"),
    *("a < b", "a > 'x'", "a in b", "a in ['x', 1]", "a in 'text'", "a is number", "a is mapping"),
    *("a | length > 1", "a | int > 0", "a | float == 1", "a | string | upper == 'X'", "a | lower == 'x'"),
    *("a | first", "a.k", "a['k']", "a.items", "a[0]", "a[0].k", "a.items()", "a.strip()", "a.upper() == 'X'"),
    *("a.__class__", "a ~ b", "a + b", "a * 2", "a * b", "a ** b", "a / b", "a % 2", "-a", "a // 2 == 0", "a ** 2"),
    *("a | sort", "a | unique | list", "a | sum", "a | max", "a | join(',')", "a | tojson"),
    *("a | map('upper') | list", "a | default('x') == 'x'", "(a | default(0)) > 3", "a | list"),
    *("a | batch(2) | list", "a | dictsort", "a | items | list", "a | groupby('k')", "a | selectattr('k') | list"),
    *("a | replace('x', 'y')", "a | trim", "a | round", "a | abs", "a | format", "a(b)", "a | random"),
    *(
        "a | reverse | list",
        "a | xmlattr",
        "a | urlize",
        "a | wordcount",
        "a | pprint",
        "a | filesizeformat",
    ),
]


def steps() -> list[Any]:
    return [
        Deduplicate(),
        Deduplicate(columns=["a"]),
        Sample(fraction=0.5),
        KeepColumns(columns=["c", "a"]),
        DropColumns(columns=["a"]),
        RenameColumns(columns={"a": "z"}),
        RenameColumns(columns={"a": "b"}),
        ExpandColumns(columns=["a"]),
        ExpandColumns(columns=["a", "b"]),
        CombineColumns(columns=["a", "b"], drop=True),
    ]


def _is_writable(value: Any) -> bool:
    """Tell whether a value can stand in the file of the rows that a run directory keeps."""
    try:
        encode_row({"a": plain_row({"a": value})["a"]})
    except ConfigurationError:
        return False
    return True


def fault(step: Any, row: dict[str, Any]) -> str | None:
    """The error of limbeck's that a row meets in a step, or None; any other one is raised."""
    try:
        made = through(step, [row])
    except LimbeckError as exc:
        return str(exc)
    assert all(type(each) is dict for each in made)
    return None


def check(step: Any, row: dict[str, Any], columns: set[str]) -> None:
    """A row goes through a step, or an error says at which column it does not."""
    message = fault(step, row)
    assert message is None or any(f"`{name}`" in message or f"{name!r}" in message for name in columns), message


def unwritten(path: Path, row: dict[str, Any]) -> str | None:
    """The error that keeps a row out of a file, or None."""
    sink = SaveToFiles(path=path)
    sink.open(replace=False)
    try:
        sink.write([row])
        sink.close(finished=True)
    except ConfigurationError as exc:
        sink.close(finished=False)
        return str(exc)
    return None


@pytest.mark.parametrize("step", steps(), ids=lambda step: f"{type(step).__name__}-{len(step.columns)}")
def test_an_odd_row_goes_through_a_step_or_an_error_names_the_column(step: Any) -> None:
    for row in odd_rows():
        if set(step.inputs) <= row.keys():
            check(step, row, {"a", "b", "c", "z"})


@pytest.mark.parametrize("condition", CONDITIONS)
def test_an_odd_row_meets_a_condition_or_an_error_names_the_column(condition: str) -> None:
    for step, names in ((FilterRows(condition=condition), {"a", "b", "c"}), (MapRows(columns={"z": condition}), {"z"})):
        for row in odd_rows():
            check(step, row, names)


def names_row_and_column(failed: dict[str, Any]) -> bool:
    error = failed["limbeck_error"]
    message = error["errors"][0]["message"]
    return error["row"].isdecimal() and re.search(r"[`'](a|b|c|z)[`']", message) is not None


@pytest.mark.parametrize(
    "make",
    [
        Deduplicate,
        lambda: FilterRows(condition="(a | default(0)) > 1 or b is mapping"),
        lambda: MapRows(columns={"z": "[a | default(none), (b | default([])) | list]"}),
        lambda: DropColumns(columns=["b"]),
    ],
    ids=["deduplicate", "filter", "map", "drop"],
)
def test_of_odd_rows_in_a_pipeline_each_comes_out_or_fails_with_its_number(make: Any, tmp_path: Path) -> None:
    rows = [row for row in odd_rows() if all(_is_writable(value) for value in row.values())]
    assert len(rows) > 20
    result = Pipeline(rows, make()).run(run_dir=tmp_path / "run")
    assert all(map(names_row_and_column, result.failed))
    assert 0 < len(result.to_list()) <= len(rows)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet", "arrow"])
def test_an_odd_row_is_written_or_an_error_names_row_and_column(suffix: str, tmp_path: Path) -> None:
    place = re.compile(r"[Rr]ow 1\b.*'(a|b|c)'|rows have no columns", re.DOTALL)
    for number, row in enumerate(odd_rows()):
        message = unwritten(tmp_path / f"{number}.{suffix}", row)
        assert message is None or place.search(message), message
