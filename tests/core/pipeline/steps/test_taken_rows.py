"""Rows as they are taken in: plain dicts of their own, whatever they were; and what is no row."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections import ChainMap, OrderedDict, UserDict, deque, namedtuple
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import GeneratorStep, GeneratorTask, GlobalStep, Pipeline, Step
from limbeck.errors import ConfigurationError

from ..flows import Mark, SayingLLM, column, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from limbeck.types import ChatType, Row


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# A source that goes on changing what it has given


def growing() -> Iterator[Row]:
    turns: list[Any] = []
    for number in range(5):
        turns.append({"turn": number})
        yield {"text": turns}


def filled_again() -> Iterator[Row]:
    row: Row = {"text": OrderedDict(deep=deque([0]))}
    for number in range(5):
        row["text"]["deep"][0] = number
        yield row


async def later(rows: Iterator[Row]) -> AsyncIterator[Row]:
    for row in rows:
        yield row


def by_task(source: Callable[[], Iterator[Row]]) -> list[Row]:
    return list(say("a", llm=SayingLLM()).run(source()))


def by_process(source: Callable[[], Iterator[Row]]) -> list[Row]:
    rows: Any = source()
    (made,) = say("a", llm=SayingLLM()).process(rows)
    return made


def by_pipeline(source: Callable[[], Iterator[Row]]) -> list[Row]:
    return Pipeline(say("a", llm=SayingLLM())).run(source()).to_list()


def by_event_loop(source: Callable[[], Iterator[Row]]) -> list[Row]:
    async def run() -> list[Row]:
        return [row async for row in say("a", llm=SayingLLM()).arun(later(source()))]

    return asyncio.run(run())


@pytest.mark.parametrize("way", [by_task, by_process, by_pipeline, by_event_loop])
def test_a_row_is_as_it_was_when_the_source_gave_it(way: Callable[..., list[Row]]) -> None:
    assert [len(row["text"]) for row in way(growing)] == [1, 2, 3, 4, 5]
    assert [row["text"]["deep"] for row in way(filled_again)] == [[number] for number in range(5)]


def test_what_a_step_goes_on_filling_is_in_each_row_as_it_was_yielded() -> None:
    class Gather(Step):
        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            seen: list[Any] = []
            for number in range(3):
                seen.append(number)
                yield [{**inputs[0], "seen": seen}]

    class GatherAll(GlobalStep):
        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            yield from Gather().process(inputs)

    class Source(GeneratorStep):
        @property
        def outputs(self) -> list[str]:
            return ["seen"]

        def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:
            yield from Gather().process([{}])

    for result in (
        Pipeline(Gather()).run([{"text": "t"}]),
        Pipeline(GatherAll()).run([{"text": "t"}]),
        Pipeline(Source(), Mark(name="m")).run(),
    ):
        assert column(result, "seen") == [[0], [0, 1], [0, 1, 2]]


def test_the_seeds_of_a_task_that_fills_them_again_are_each_their_own() -> None:
    class Seeded(GeneratorTask):
        @property
        def inputs(self) -> list[str]:
            return ["turns"]

        @property
        def outputs(self) -> list[str]:
            return ["said"]

        def seeds(self) -> Iterator[Row]:
            turns: list[int] = []
            for number in range(3):
                turns.append(number)
                yield {"turns": turns}

        def format_input(self, input: Row) -> ChatType:
            return [{"role": "user", "content": str(input["turns"])}]

        def format_output(self, output: str | None, input: Row) -> Row:
            return {"said": output}

    (rows,) = Seeded(llm=SayingLLM()).process()
    assert column(rows, "said") == ["said([0])", "said([0, 1])", "said([0, 1, 2])"]


def test_what_comes_out_of_process_shares_no_list_with_what_went_in() -> None:
    given: Row = {"text": "t", "tags": ["a"], "deep": {"list": [1]}}
    (rows,) = say("a").process([given])
    rows[0]["tags"].append("b")
    rows[0]["deep"]["list"].append(2)
    assert given == {"text": "t", "tags": ["a"], "deep": {"list": [1]}}


# Mappings


def sqlite_row(sql: str) -> Any:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    try:
        return connection.execute(sql).fetchone()
    finally:
        connection.close()


MAPPINGS: list[Any] = [
    MappingProxyType({"text": "t"}),
    ChainMap({}, {"text": "t"}),
    UserDict(text="t"),
    OrderedDict(text="t"),
    sqlite_row("select 't' as text"),
]


@pytest.mark.parametrize("row", MAPPINGS, ids=lambda row: type(row).__name__)
def test_a_mapping_is_a_row_everywhere(row: Any) -> None:
    async def native() -> list[Row]:
        return await say("a").aprocess([row])

    expected = [{"text": "t", "by_a": "a(t)"}]
    ways = [
        Pipeline([row], say("a")).run().to_list(),
        Pipeline(say("a")).run(iter([row])).to_list(),
        list(say("a").run([row], run_dir="kept")),
        *say("a").process([row]),
        asyncio.run(native()),
        list(say("a").reparse([row], run_dir="kept")),
    ]
    for rows in ways:
        assert [{name: each[name] for name in ("text", "by_a")} for each in rows] == expected
        assert all(type(each) is dict for each in rows)
    assert say("a").explain(row, run_dir="kept", id="0").found
    assert say("a").estimate([row, row], 2).rows == 2


def test_a_step_may_yield_a_mapping() -> None:
    class Frozen(Step):
        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            yield [MappingProxyType({**row, "more": 1}) for row in inputs]  # type: ignore[misc]  # no dict

    assert Pipeline(Frozen()).run([{"text": "t"}]).to_list() == [{"text": "t", "more": 1}]


@dataclasses.dataclass
class Record:
    text: str


Point = namedtuple("Point", "text")  # noqa: PYI024 - what people have


@pytest.mark.parametrize("way", [by_task, by_process, by_pipeline, by_event_loop])
@pytest.mark.parametrize("name", [1, None, b"x", 1.5, ("a", "b")], ids=repr)
def test_a_column_whose_name_is_no_text_fails_its_row_and_no_other(way: Callable[..., list[Row]], name: Any) -> None:
    def rows() -> Iterator[Row]:
        yield {"text": "t"}
        yield {"text": "u", name: "x"}

    good, *failed = way(rows)
    assert good["by_a"] == "said(t)"
    for row in failed:  # a pipeline keeps it apart
        assert row["by_a"] is None
        message = row["distilabel_metadata"]["error_a"]["message"]
        assert message.startswith(f"A column is named {name!r}, which is no text. Give it a text as its name")


def test_rows_that_have_no_column_but_one_without_a_text_as_its_name_lack_what_is_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"needs the column `text`.*present are `1`"):
        list(say("a").run([{1: "x"}]))  # type: ignore[dict-item]  # what is refused


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Record("t"), "not Record. Write `dataclasses.asdict(row)`."),
        (Point("t"), "not Point. Write `row._asdict()`."),
        (("t",), "not tuple."),
        ({0: "t", "text": "t"}, "A column is named 0, which is no text. Give it a text as its name, such as '0'."),
        ({("a", "b"): "t", "text": "t"}, "A column is named ('a', 'b'), which is no text."),
        ({None: "t", "text": "t"}, "A column is named None, which is no text."),
        (sqlite_row("select 1 as text, 2 as text"), "The row has two columns of the name 'text'."),
    ],
    ids=["dataclass", "namedtuple", "tuple", "number", "pair", "none", "twice"],
)
def test_what_is_no_row_fails_and_says_why(row: Any, message: str) -> None:
    good = {"text": "t"}
    (_, failed) = say("a").run([good, row])
    assert message in failed["distilabel_metadata"]["error_a"]["message"]
    (kept,) = Pipeline(say("a")).run(iter([good, row]), run_dir="kept").failed
    assert message in kept["limbeck_error"]["errors"][0]["message"]


def test_one_mapping_is_not_taken_for_many_rows() -> None:
    row: Any = MappingProxyType({"text": "t"})
    with pytest.raises(ConfigurationError, match="not one mappingproxy"):
        list(say("a").process(row))
    with pytest.raises(ConfigurationError, match="not from `mappingproxy`"):
        Pipeline(say("a")).run(row)


def test_a_column_that_a_step_names_by_a_number_fails_the_row() -> None:
    class Number(Step):
        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            yield [{**row, 1: "x"} for row in inputs]  # type: ignore[dict-item]  # what is refused

    result = Pipeline(Number()).run([{"text": "t"}], run_dir="kept")
    assert "A column is named 1, which is no text." in result.failed[0]["limbeck_error"]["errors"][0]["message"]


# Values


def test_values_of_numpy_are_pythons_own_however_deep() -> None:
    np = pytest.importorskip("numpy")
    row = {
        "list": np.array([[1, 2], [3, 4]]),
        "scalars": [np.int64(1), np.float32(0.5), np.bool_(True), np.str_("s"), np.longdouble(1.5)],
        "deep": {"object": np.array([np.array([1]), None], dtype=object)},
        "times": np.array(["2024-05-01T12:00:00.000001", "NaT"], dtype="datetime64[ns]"),
        "span": np.timedelta64(1500, "ms"),
        "day": np.datetime64("2024-05-01"),
        "records": np.array([(1, "x")], dtype=[("n", "i4"), ("s", "U1")]),
        "masked": np.ma.array([1, 2], mask=[False, True]),
    }
    (taken,) = Pipeline(Mark(name="m")).run([row]).to_list()
    assert {name: value for name, value in taken.items() if name != "marks"} == {
        "list": [[1, 2], [3, 4]],
        "scalars": [1, 0.5, True, "s", 1.5],
        "deep": {"object": [[1], None]},
        "times": [datetime(2024, 5, 1, 12, 0, 0, 1), None],  # noqa: DTZ001 - numpy has no zones
        "span": timedelta(seconds=1.5),
        "day": date(2024, 5, 1),
        "records": [{"n": 1, "s": "x"}],
        "masked": [1, None],
    }
    assert [type(each) for each in taken["scalars"]] == [int, float, bool, str, float]


def test_values_of_pandas_polars_and_arrow_inside_of_a_row_are_pythons_own() -> None:
    pd, pl, pa = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    row = {
        "missing": [pd.NA, pd.NaT],
        "at": pd.Timestamp("2024-05-01 12:00"),
        "span": pd.Timedelta(seconds=5),
        "series": [pd.Series([1, 2]), pl.Series([1, None]), pa.array(["a", None])],
        "frames": [pd.DataFrame({"n": [1]}), pl.DataFrame({"n": [1]}), pa.table({"n": [1]})],
        "scalar": pa.scalar(3),
        "price": Decimal("1.50"),
    }
    (taken,) = say("a", llm=SayingLLM()).run([{"text": "t", **row}])
    assert {name: taken[name] for name in row} == {
        "missing": [None, None],
        "at": datetime(2024, 5, 1, 12),  # noqa: DTZ001 - as it was given
        "span": timedelta(seconds=5),
        "series": [[1, 2], [1, None], ["a", None]],
        "frames": [[{"n": 1}]] * 3,
        "scalar": 3,
        "price": Decimal("1.50"),
    }
    assert type(taken["at"]) is datetime
    assert type(taken["span"]) is timedelta


def test_a_task_behind_a_step_that_makes_arrays_reads_lists() -> None:
    np = pytest.importorskip("numpy")

    class Embed(Step):
        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            yield [{**row, "text": np.arange(2_000)} for row in inputs]

    (row,) = Pipeline(Embed(), say("a", llm=SayingLLM())).run([{"text": "t"}]).to_list()
    assert row["by_a"] == f"said({list(range(2_000))})"


def test_what_pandas_alone_has_is_in_plain_values_however_deep() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "month": pd.period_range("2024-01", periods=2, freq="M"),
            "between": pd.interval_range(0, 2),
            "label": pd.Categorical(["a", None]),
            "span": pd.to_timedelta(["1s", None]),
            "deep": [{"of": [pd.Period("2024Q1"), pd.NA]}, [pd.interval_range(0, 1), pd.offsets.MonthEnd()]],
        }
    )
    assert Pipeline(frame).run().to_list() == [
        {
            "month": "2024-01",
            "between": {"left": 0, "right": 1, "closed": "right"},
            "label": "a",
            "span": timedelta(seconds=1),
            "deep": {"of": ["2024Q1", None]},
        },
        {
            "month": "2024-02",
            "between": {"left": 1, "right": 2, "closed": "right"},
            "label": None,
            "span": None,
            "deep": [[{"left": 0, "right": 1, "closed": "right"}], "ME"],
        },
    ]


def test_a_column_of_objects_in_polars_holds_what_the_objects_stand_for() -> None:
    np, pd, pl = (pytest.importorskip(name) for name in ("numpy", "pandas", "polars"))
    frame = pl.DataFrame({"of": pl.Series([np.int64(1), pd.Period("2024-01"), {"n": np.arange(2)}], dtype=pl.Object)})
    assert column(Pipeline(frame).run(), "of") == [1, "2024-01", {"n": [0, 1]}]


def test_structured_values_of_numpy_are_dicts_and_bare_ones_bytes() -> None:
    np = pytest.importorskip("numpy")
    nested = np.array([((1, b"x"), "2024-01-01")], dtype=[("of", [("n", "i4"), ("raw", "S1")]), ("day", "M8[D]")])
    row = {
        "void": np.void(b"ab"),
        "record": nested[0],
        "view": nested.view(np.recarray)[0],
        "box": np.zeros((), "i4,2f4"),
    }
    (taken,) = Pipeline(Mark(name="m")).run([row]).to_list()
    record = {"of": {"n": 1, "raw": b"x"}, "day": date(2024, 1, 1)}
    assert {name: taken[name] for name in row} == {
        "void": b"ab",
        "record": record,
        "view": record,
        "box": {"f0": 0, "f1": [0.0, 0.0]},
    }


def test_times_that_python_does_not_have_are_their_texts() -> None:
    np, pd = (pytest.importorskip(name) for name in ("numpy", "pandas"))
    far = np.datetime64("20000-01-01", "s")
    row = {
        "days": np.array(["20000-01-01", "2024-01-01"], "M8[D]"),
        "at": pd.Timestamp(far),
        "age": np.timedelta64(2, "Y"),
    }
    (taken,) = Pipeline(Mark(name="m")).run([row]).to_list()
    assert {name: taken[name] for name in row} == {
        "days": ["20000-01-01", date(2024, 1, 1)],
        "at": "20000-01-01T00:00:00",
        "age": "2 years",
    }


def test_an_object_of_such_a_package_that_stands_for_no_value_goes_through_as_any_other() -> None:
    np, pl = (pytest.importorskip(name) for name in ("numpy", "polars"))
    row = {"limits": np.iinfo("i4"), "expression": pl.col("a")}
    (taken,) = say("a", llm=SayingLLM()).run([{"text": "t", **row}])
    assert all(taken[name] is row[name] for name in row)
    assert taken["by_a"] == "said(t)"


def test_an_arrow_time_beyond_the_years_of_python_is_told_with_row_and_column() -> None:
    pa = pytest.importorskip("pyarrow")
    times = pa.array([0] * 300 + [10**14, 0], pa.timestamp("s"))
    with pytest.raises(ConfigurationError, match=r"^Row 300: the column 'at' holds what Python has no value for: "):
        Pipeline(pa.table({"at": times})).run().to_list()


@pytest.mark.parametrize("of", [bytearray, memoryview, lambda raw: memoryview(bytearray(raw))[::2]])
def test_bytes_of_each_kind_are_bytes_in_rows_however_deep(of: Callable[[bytes], Any]) -> None:
    raw = b"\x00\xff"
    (taken,) = Pipeline(Mark(name="m")).run([{"raw": of(raw), "deep": [{"of": (of(raw),)}]}]).to_list()
    wanted = bytes(of(raw))
    assert (taken["raw"], taken["deep"]) == (wanted, [{"of": (wanted,)}])
    assert type(taken["raw"]) is bytes
