"""Any rows into a file of any format and back: they are as they were, or an error names the row and the column.

`LIMBECK_FUZZ_EXAMPLES` sets how many are tried of each format, for a longer look than the suite takes.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import Pipeline
from limbeck._engine.rows.copies import plain_row
from limbeck.errors import ConfigurationError
from limbeck.steps import KeepColumns, LoadDataFromFiles, SaveToFiles

from .rows import rows_of

np: Any = pytest.importorskip("numpy")
pd: Any = pytest.importorskip("pandas")
pl: Any = pytest.importorskip("polars")

Pair = tuple[Any, Any]  # a value as it is given, and the plain one that it stands for

_thorough = settings(max_examples=int(os.environ.get("LIMBECK_FUZZ_EXAMPLES", "40")), deadline=None)

texts = st.text(max_size=6) | st.sampled_from(
    ["a\rb", "\r\n", "half \ud83d", "\x00", "é", "1", "null", '"', "\ufeffx", "a,b\tc", "\u2028", " x "]
)
zones = st.sampled_from(
    [
        UTC,
        timezone(timedelta(hours=2)),
        timezone(-timedelta(minutes=90)),
        ZoneInfo("Europe/Madrid"),
        timezone(timedelta(seconds=7)),
    ]
)
whole = st.integers(-(2**70), 2**70) | st.integers(-5, 5) | st.sampled_from([2**53 + 1, 2**63, 2**64 - 1, -(2**63)])
fractions = st.floats()


def same(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Pair]:
    return strategy.map(lambda value: (value, value))


def _of_numpy(values: list[Any]) -> Pair:
    return np.array(values), values


def _unfolded(at: datetime) -> datetime:
    return at.replace(fold=0)


def _foreign() -> list[st.SearchStrategy[Pair]]:
    small = st.integers(-100, 100)
    moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(_unfolded)  # noqa: DTZ001 - without zones
    return [
        small.map(lambda n: (np.int32(n), n)),
        fractions.map(lambda f: (np.float64(f), f)),
        st.booleans().map(lambda b: (np.bool_(b), b)),
        st.lists(small, min_size=1, max_size=3).map(_of_numpy),
        st.lists(st.lists(fractions, min_size=2, max_size=2), min_size=1, max_size=2).map(_of_numpy),
        moments.map(lambda at: (np.datetime64(at, "us"), at)),
        moments.map(lambda at: (pd.Timestamp(at), at)),
        st.sampled_from([(pd.NA, None), (pd.NaT, None), (np.datetime64("NaT"), None)]),
        st.lists(small, max_size=3).map(lambda values: (pd.Series(values, dtype="int64"), values)),
        st.lists(small | st.none(), max_size=3).map(lambda values: (pl.Series(values, dtype=pl.Int64), values)),
        st.lists(small | st.none(), max_size=3).map(lambda values: (pa.array(values, pa.int64()), values)),
        moments.map(lambda at: (pa.scalar(at), at)),
        st.binary(max_size=4).map(lambda raw: (bytearray(raw), raw)),
        st.binary(max_size=4).map(lambda raw: (memoryview(raw), raw)),
        moments.map(lambda at: (pd.Period(at, "D"), at.date().isoformat())),
        small.map(lambda n: (pd.Interval(n, n + 1), {"left": n, "right": n + 1, "closed": "right"})),
    ]


def kinds() -> list[st.SearchStrategy[Pair]]:
    """Strategies of values, each of one kind."""
    plain = [
        st.none(),
        st.booleans(),
        whole,
        fractions,
        st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False),
        texts,
        st.binary(max_size=4),
        st.dates(),
        st.datetimes(),
        st.datetimes(timezones=zones),
        st.times(),
        st.times(timezones=st.just(UTC)),
        st.timedeltas(),
        st.decimals(allow_nan=True),
        st.decimals(-1000, 1000, places=2, allow_nan=False),
        st.uuids(),
        texts.map(PurePosixPath),
    ]
    return [*map(same, plain), *_foreign()]


def nested(parts: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    lists = st.lists(parts, max_size=3).map(lambda pairs: ([each for each, _ in pairs], [each for _, each in pairs]))
    tuples = st.tuples(parts, parts).map(lambda pairs: (tuple(each for each, _ in pairs), [each for _, each in pairs]))
    keys = texts | st.integers(-3, 3)
    dicts = st.dictionaries(keys, parts, max_size=3).map(
        lambda made: ({key: each for key, (each, _) in made.items()}, {key: each for key, (_, each) in made.items()})
    )
    deep = st.tuples(parts, st.integers(1, 70)).map(lambda it: _deep(it[0], it[1]))
    return lists | tuples | dicts | deep


def _deep(pair: Pair, levels: int) -> Pair:
    for _ in range(levels):
        pair = ([pair[0]], [pair[1]])
    return pair


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows as they are given, and as plain ones; most columns are of one kind."""
    given_rows: list[dict[str, Any]] = [{} for _ in range(draw(st.integers(1, 5)))]
    plain_rows: list[dict[str, Any]] = [{} for _ in given_rows]
    for name in draw(st.lists(texts, min_size=1, max_size=3, unique=True)):
        values = draw(st.sampled_from(kinds()))
        values = draw(st.sampled_from([values, values, nested(values), nested(nested(values)), st.one_of(kinds())]))
        for one, other in zip(given_rows, plain_rows, strict=True):
            if draw(st.integers(0, 9)):
                one[name], other[name] = draw(values)
    return given_rows, plain_rows


# What is read back


def as_json(value: Any) -> Any:
    """What JSON has in place of a plain value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):  # two halves that stand beside each other are one character in JSON
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, list):
        return [as_json(each) for each in value]
    if isinstance(value, dict):
        return {as_json(_key(key)): as_json(each) for key, each in value.items()}
    if isinstance(value, date | time):
        return value.isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else as_json(str(value))


def as_cell(value: Any) -> str:
    """What a CSV file has in place of a plain value."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | dict | bool):
        return json.dumps(as_json(value), ensure_ascii=False)
    return value if isinstance(value, str) else str(as_json(value))


def as_arrow(value: Any) -> Any:
    """What an Arrow file has in place of a plain value."""
    if isinstance(value, list):
        return [as_arrow(each) for each in value]
    if isinstance(value, dict):
        return {_key(key): as_arrow(each) for key, each in value.items()}
    return str(value) if isinstance(value, uuid.UUID | PurePosixPath) else value


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def alike(one: Any, other: Any) -> bool:
    """Whether two plain values are the same, where a key that is not there is null."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(alike(one.get(key), other.get(key)) for key in {*one, *other})
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    numbers = type(one) in (int, float) and type(other) in (int, float)
    return (numbers or type(one) is type(other)) and bool(one == other)


def written(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]] | str:
    """The rows as they are read back from a file; or the message of what was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, name))
        sink = SaveToFiles(path=path)
        sink.open(replace=False)
        try:
            sink.write(rows)
            sink.close(finished=True)
        except ConfigurationError as error:
            sink.close(finished=False)
            return str(error).removeprefix(path)
        return rows_of(LoadDataFromFiles(paths=path, on_error="raise"))


def check(made: list[dict[str, Any]] | str, rows: list[dict[str, Any]], form: Any) -> None:
    if isinstance(made, str):
        if "the rows have no columns" in made:
            assert not any(rows)
            return
        row = re.search(r"\b[Rr]ow (\d+)\b", made)
        assert row is not None, made
        assert 1 <= int(row[1]) <= len(rows), made
        assert any(f"column {name!r}" in made for name in {name for each in rows for name in each}), made
        return
    names = {name for row in rows for name in row}
    assert [
        [alike(back.get(form(name)), form(row.get(name))) for name in names]
        for back, row in zip(made, rows, strict=True)
    ] == [[True] * len(names)] * len(rows), (made, rows)


@_thorough
@given(tables())
def test_rows_are_read_back_from_jsonl_as_they_were(table: Any) -> None:
    rows, plain = table
    check(written("o.jsonl", rows), plain, as_json)


@_thorough
@given(tables())
def test_rows_are_read_back_from_csv_as_the_texts_that_they_are(table: Any) -> None:
    rows, plain = table
    check(written("o.csv", rows), plain, as_cell)


@pytest.mark.parametrize("name", ["o.parquet", "o.arrow"])
@_thorough
@given(table=tables())
def test_rows_are_read_back_from_arrows_files_as_they_were(name: str, table: Any) -> None:
    rows, plain = table
    check(written(name, rows), plain, as_arrow)


@_thorough
@given(tables())
def test_rows_that_come_in_are_plain(table: Any) -> None:
    rows, plain = table
    for given_row, plain_one in zip(rows, plain, strict=True):
        row = plain_row(given_row)
        for name, value in plain_one.items():
            taken = list(row[name]) if isinstance(row[name], tuple) else row[name]
            assert repr(json.loads(json.dumps(taken, default=repr))) == repr(
                json.loads(json.dumps(value, default=repr))
            )


@pytest.mark.parametrize("make", [pa.table, pd.DataFrame, pl.DataFrame])
@settings(_thorough, max_examples=_thorough.max_examples // 4)
@given(
    st.lists(st.lists(st.integers(-5, 5), max_size=3), min_size=1, max_size=3),
    st.sampled_from([None, "x"]),
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - as frames mostly have them
)
def test_rows_of_frames_go_into_parquet_and_back(make: Any, lists: list[Any], text: str | None, at: datetime) -> None:
    size = len(lists)
    columns = {"lists": lists, "text": ["y"] * (size - 1) + [text], "at": [at] * size, "n": list(range(size))}
    expected = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    made = Pipeline(make(columns), KeepColumns(columns=[*columns])).run().to_list()
    assert made == expected
    assert written("o.parquet", made) == made
