"""Tables as people hold them, of the packages themselves: pandas, polars, pyarrow and datasets.

Covers `_engine.rows.tables` and `_pipeline.steps.rows`.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline
from limbeck.errors import ConfigurationError, MissingColumnError

from ..flows import Mark, column, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from limbeck.types import Row

WHEN = datetime(2026, 11, 24, 12)  # noqa: DTZ001 - tables mostly hold times without a zone
COLUMNS: dict[str, list[Any]] = {
    "text": ["t0", "t1", None],
    "number": [1, 2, 3],
    "share": [0.5, None, 1.5],
    "when": [WHEN, WHEN, WHEN],
    "tags": [["a"], [], ["b", "c"]],
    "deep": [{"k": 1}, {"k": 2}, {"k": 3}],
}
ROWS: list[Row] = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)]


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pandas_frame(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def polars_frame(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("polars").DataFrame(columns)


def arrow_table(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("pyarrow").table(columns)


def arrow_data_set(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("pyarrow.dataset").dataset(arrow_table(columns))


def arrow_batch(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("pyarrow").record_batch(columns)


def data_set(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("datasets").Dataset.from_dict(columns)


def iterable_data_set(columns: dict[str, list[Any]]) -> Any:
    return data_set(columns).to_iterable_dataset()


TABLES: list[Callable[[dict[str, list[Any]]], Any]] = [
    pandas_frame,
    polars_frame,
    arrow_table,
    arrow_data_set,
    arrow_batch,
    data_set,
    iterable_data_set,
]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_gives_its_rows_with_none_for_what_is_missing(table: Callable[..., Any]) -> None:
    rows = Pipeline(table(COLUMNS), Mark(name="m")).run().to_list()
    assert rows == [{**row, "marks": ["m"]} for row in ROWS]
    assert [type(row["number"]) for row in rows] == [int] * 3


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_several_lots_keeps_its_order_and_is_asked_about_once(table: Callable[..., Any]) -> None:
    rows = {"text": [f"t{number}" for number in range(1_000)]}
    for reused in (0, 1_000):
        result = Pipeline(table(rows), say("a")).run(run_dir="kept")
        assert column(result, "by_a") == [f"a(t{number})" for number in range(1_000)]
        assert result.report["a"].reused == reused


@pytest.mark.parametrize("table", TABLES)
def test_a_table_leads_to_a_step_with_an_arrow_and_is_taken_by_run(table: Callable[..., Any]) -> None:
    with Pipeline("arrow") as pipeline:
        table(COLUMNS) >> Mark(name="m")
    given = Pipeline(Mark(name="m")).run(table(COLUMNS))
    assert pipeline.run().to_list() == given.to_list() == [{**row, "marks": ["m"]} for row in ROWS]


@pytest.mark.parametrize("table", TABLES)
def test_the_columns_of_a_table_are_checked_before_a_row_moves(table: Callable[..., Any]) -> None:
    with pytest.raises(MissingColumnError, match=r"needs the column `text`.*The columns present are `texts`"):
        Pipeline(table({"texts": ["t"]}), say("a")).check()


@pytest.mark.parametrize("row", [("t",), ["t"], "t"])
def test_rows_that_are_no_dicts_are_told_as_that_and_not_as_a_missing_column(row: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=f"A row must be a dict of columns, not {type(row).__name__}"
    ) as caught:
        Pipeline(say("a")).run(iter([row])).to_list()
    assert not isinstance(caught.value, MissingColumnError)


@pytest.mark.parametrize("table", TABLES)
def test_the_rows_of_a_table_are_kept_as_json(table: Callable[..., Any], tmp_path: Path) -> None:
    Pipeline(table(COLUMNS), Mark(name="m")).run(run_dir="kept")
    lines = (tmp_path / "kept/outputs/m.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{**row, "when": WHEN.isoformat(), "marks": ["m"]} for row in ROWS]


@pytest.mark.parametrize("table", TABLES)
def test_an_estimate_takes_a_table_as_a_run_does(table: Callable[..., Any]) -> None:
    estimated = Pipeline(say("a")).estimate(table(COLUMNS), 2)
    assert (estimated.rows, estimated.sampled) == (3, 2)


@pytest.mark.parametrize("table", TABLES)
def test_a_task_takes_a_table_as_a_pipeline_does(table: Callable[..., Any], tmp_path: Path) -> None:
    expected = Pipeline(ROWS, say("a")).run().to_list()
    task = say("a")
    (processed,) = task.process(table(COLUMNS))
    assert processed == list(task.run(table(COLUMNS), run_dir=tmp_path / "kept")) == expected
    assert task.estimate(table(COLUMNS), 2).rows == 3


@pytest.mark.parametrize("table", TABLES)
def test_arun_of_a_task_takes_a_table_of_several_chunks(table: Callable[..., Any]) -> None:
    async def run() -> list[Row]:
        return [row async for row in say("a").arun(table({"text": [f"t{number}" for number in range(600)]}))]

    assert column(asyncio.run(run()), "by_a") == [f"a(t{number})" for number in range(600)]


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_series_is_refused_with_the_way_to_a_table(package: str) -> None:
    series = pytest.importorskip(package).Series(["t0"])
    with pytest.raises(ConfigurationError, match=r"write `series.to_frame\(\"instruction\"\)`"):
        Pipeline(series, say("a"))
    with pytest.raises(ConfigurationError, match="one column without a name"):
        say("a").run(series)
    assert column(Pipeline(series.to_frame("text"), say("a")).run(), "by_a") == ["a(t0)"]


def test_a_dict_of_data_sets_is_not_taken_for_a_row() -> None:
    splits = pytest.importorskip("datasets").DatasetDict(train=data_set(COLUMNS))
    with pytest.raises(ConfigurationError, match="not from `DatasetDict`"):
        Pipeline(splits, say("a"))
    assert len(Pipeline(splits["train"], Mark(name="m")).run().to_list()) == 3


def test_what_pandas_calls_missing_in_any_of_its_types_is_none() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "text": pandas.array(["t0", pandas.NA], dtype="string"),
            "count": pandas.array([1, pandas.NA], dtype="Int64"),
            "when": pandas.to_datetime(["2026-11-24", None]),
        }
    )
    assert Pipeline(frame, Mark(name="m")).run().to_list()[1] == {
        "text": None,
        "count": None,
        "when": None,
        "marks": ["m"],
    }


def test_columns_of_lists_that_pandas_holds_as_arrays_are_lists_in_the_rows() -> None:
    pa = pytest.importorskip("pyarrow")
    columns = {"tags": [["a", None], None], "deep": [{"of": [1, 2]}, {"of": []}], "n": [[[1], [2, 3]], [[]]]}
    rows = Pipeline(pa.table(columns).to_pandas(), Mark(name="m")).run().to_list()
    assert rows == [
        {"tags": ["a", None], "deep": {"of": [1, 2]}, "n": [[1], [2, 3]], "marks": ["m"]},
        {"tags": None, "deep": {"of": []}, "n": [[]], "marks": ["m"]},
    ]


def test_a_data_set_in_any_format_gives_plain_values() -> None:
    table = data_set({"text": ["t"], "vector": [[1.0, 2.0]], "n": [3]})
    for format in (None, "numpy", "pandas", "polars", "arrow"):
        rows = Pipeline(table.with_format(format), Mark(name="m")).run(run_dir=f"kept-{format}")
        if format in ("pandas", "polars", "arrow"):  # whose items are tables of one row
            assert "Give the table itself" in rows.failed[0]["limbeck_error"]["errors"][0]["message"]
        else:
            assert rows.to_list() == [{"text": "t", "vector": [1.0, 2.0], "n": 3, "marks": ["m"]}]


def test_a_reader_of_arrow_batches_and_maps_and_nanoseconds_give_pythons_values() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table(
        {
            "map": pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
            "when": pa.array([[1], [2]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ns"))),
            "big": pa.array([2**64 - 1, 1], pa.uint64()),
        }
    )
    expected = [{"a": 1}, {"b": 2}]
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - as above
    for rows in (table, table.to_reader(), table.to_batches()[0]):
        made = Pipeline(rows, Mark(name="m")).run().to_list()
        assert (column(made, "map"), column(made, "big")) == (expected, [2**64 - 1, 1])
        assert column(made, "when") == [[epoch], [epoch]]


def odd_names() -> list[Any]:
    pandas = pytest.importorskip("pandas")
    return [
        pandas.DataFrame([["a", "b"]], columns=["text", 0]),
        pandas.DataFrame([["a", "b"]]),
        pandas.DataFrame([["a", "b"]], columns=["text", pandas.Timestamp("2024-01-01")]),
        pandas.DataFrame([["a", "b"]], columns=["text", None]),
        pandas.DataFrame({"text": ["a", "a"], "k": ["x", "y"], "v": [1, 2]}).pivot_table(
            index="text", columns=["k", "text"]
        ),
    ]


def test_a_column_whose_name_is_no_text_is_told_before_anything_is_asked() -> None:
    for frame in odd_names():
        for begin in (lambda f: Pipeline(f, say("a")).run(), say("a").run, lambda f: list(say("a").process(f))):
            with pytest.raises(ConfigurationError, match=r"A column is named .*, which is no text.*frame\.columns ="):
                begin(frame)


def test_two_columns_of_one_name_are_told_before_anything_is_asked() -> None:
    pandas, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pandas.DataFrame([["a", "b"]], columns=["text", "text"])
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    for rows in (frame, table, table.to_batches()[0], table.to_reader()):
        with pytest.raises(ConfigurationError, match="two columns have the name 'text'"):
            Pipeline(rows, say("a")).run()
        with pytest.raises(ConfigurationError, match="two columns have the name 'text'"):
            say("a").run(rows)
