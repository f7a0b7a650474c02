"""Parquet: what goes in comes out, the schema widens, and what does not fit is told."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from limbeck.errors import ConfigurationError
from limbeck.steps import LoadDataFromFiles
from limbeck_data import LoadDataFromArrow, LoadDataFromParquet, SaveToArrow, SaveToParquet

from .rows import rows_of, save


def saved(*chunks: list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    """Lots of rows, written and read back."""
    return list(save(SaveToParquet(path="o.parquet", overwrite=True, **fields), *chunks).rows())


def names() -> list[str]:
    return sorted(path.name for path in Path.cwd().iterdir())


NESTED: list[dict[str, Any]] = [
    {"n": 1, "text": "é", "of": {"a": [1, None], "b": None}, "many": [{"c": "x"}, {"c": None}], "when": None},
    {"n": None, "text": None, "of": None, "many": [], "when": dt.date(2026, 11, 24)},
    {"n": 3, "text": "", "of": {"a": [], "b": "y"}, "many": None, "when": None},
]


def test_nested_columns_and_nulls_are_read_back_row_for_row() -> None:
    assert saved(NESTED) == NESTED


@pytest.mark.parametrize("sink", [SaveToParquet, SaveToArrow])
@pytest.mark.parametrize("of", [bytearray, memoryview])
def test_bytes_of_each_kind_are_bytes_however_deep(sink: Any, of: Any) -> None:
    row = {"raw": of(b"x\xff"), "deep": [{"of": [of(b"y"), None]}]}
    wanted = {"raw": b"x\xff", "deep": [{"of": [b"y", None]}]}
    written = save(sink(path="o", overwrite=True), [row, {"raw": b"z"}])
    assert list(written.rows()) == [wanted, {"raw": b"z", "deep": None}]


@pytest.mark.parametrize("name", ["o.parquet", "o.arrow"])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' is given twice"),
        ('[{"b": {"a": 1, "a": 1}}]', "the key 'a' is given twice"),
        ('{"a": ', "Expecting value"),
        ("[" * 600 + "]" * 600, "it is nested more than 500 levels deep"),
    ],
)
def test_a_text_that_is_marked_as_json_and_is_none_fails_its_row(name: str, text: str, fault: str) -> None:
    schema = pa.schema([pa.field("n", pa.int64()), pa.field("of", pa.string(), metadata={"limbeck": "json"})])
    table = pa.table({"n": [0, 1, 2], "of": ['{"a": 1}', text, None]}, schema)
    if name == "o.parquet":
        pq.write_table(table, name)
    else:
        feather.write_feather(table, name)
    first, failed, last = rows_of(LoadDataFromFiles(paths=name))
    assert (first, last) == ({"n": 0, "of": {"a": 1}}, {"n": 2, "of": None})
    assert str(failed).startswith(f"Row 1: the column 'of' is marked as JSON, and cannot be read as that: {fault}")
    assert (failed.row, failed.raw) == ({"n": 1, "of": text}, text)


def nested(depth: int, form: str) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if form == "lists" or (form == "both" and level % 2) else {"k": value}
    return value


@pytest.mark.parametrize("sink", [SaveToParquet, SaveToArrow])
@pytest.mark.parametrize("form", ["lists", "dicts", "both"])
def test_whatever_depth_is_written_is_read_back(sink: Any, form: str) -> None:
    row = {"of": nested(48, form)}
    assert list(save(sink(path="o", overwrite=True), [row]).rows()) == [row]
    with pytest.raises(ConfigurationError, match=r"row 1 does not fit the column 'of': .*are more than 48 lists"):
        save(sink(path="o", overwrite=True), [{"of": nested(49, form)}])


def test_a_time_beyond_the_years_of_python_is_told_with_row_and_column() -> None:
    pq.write_table(pa.table({"at": pa.array([0] * 600 + [10**14], pa.timestamp("s"))}), "a.parquet")
    with pytest.raises(ConfigurationError, match=r"^Row 600: the column 'at' holds what Python has no value for"):
        rows_of(LoadDataFromParquet(paths="a.parquet"))


def test_a_parquet_file_of_anybodys_is_read_with_its_nested_columns_and_nulls() -> None:
    columns = {
        "ids": pa.array([[1, 2], None, []]),
        "of": pa.array([{"x": 1.5, "y": None}, None, {"x": None, "y": ["z"]}]),
        "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "price": pa.array([Decimal("1.20"), None, Decimal("0.10")]),
        "at": pa.array([1_700_000_000_123_456_789, None, 0], pa.timestamp("ns", "UTC")),
        "label": pa.array(["a", None, "a"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), "a.parquet")

    first, second, third = rows_of(LoadDataFromParquet(paths="a.parquet"))

    assert first == {
        "ids": [1, 2],
        "of": {"x": 1.5, "y": None},
        "map": {"k": 1},
        "price": Decimal("1.20"),
        "at": dt.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=dt.UTC),
        "label": "a",
    }
    assert set(second.values()) == {None}
    assert third["of"] == {"x": None, "y": ["z"]}


def test_columns_and_rows_are_known_from_the_footer() -> None:
    save(SaveToParquet(path="1.parquet"), [{"a": 1}, {"a": 2}])
    save(SaveToParquet(path="2.parquet"), [{"a": 1, "b": 2}])
    source = LoadDataFromParquet(paths="*.parquet")
    assert (source.outputs, source.count()) == (["a", "b"], 3)


def test_rows_come_in_lists_of_the_batch_size() -> None:
    save(SaveToParquet(path="a.parquet"), [{"n": number} for number in range(5)])
    assert [len(chunk) for chunk in LoadDataFromParquet(paths="a.parquet", batch_size=2).process()] == [2, 2, 1]


@pytest.mark.parametrize("content", [b"PAR1", b"no Parquet at all"])
def test_what_is_no_parquet_is_an_error_that_names_the_file(content: bytes) -> None:
    Path("a.parquet").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"a\.parquet cannot be read as Parquet"):
        LoadDataFromParquet(paths="a.parquet").outputs  # noqa: B018 - a pipeline asks before it starts


def test_a_file_that_is_damaged_inside_is_an_error_after_the_rows_before() -> None:
    save(SaveToParquet(path="a.parquet", row_group_rows=1_000, compression="zstd"), *[[{"n": i}] for i in range(3_000)])
    where = pq.read_metadata("a.parquet").row_group(2).column(0)
    with Path("a.parquet").open("r+b") as file:
        file.seek(where.dictionary_page_offset or where.data_page_offset)
        file.write(b"\xff" * 200)
    chunks = LoadDataFromParquet(paths="a.parquet", batch_size=1_000).process()
    assert len([*next(chunks), *next(chunks)]) == 2_000
    with pytest.raises(ConfigurationError, match=r"a\.parquet: after row 2000 this Parquet file cannot be read"):
        next(chunks)


# The schema


def test_rows_are_written_in_groups_of_the_rows_asked_for() -> None:
    saved([{"n": number} for number in range(5_000)], row_group_rows=2_000)
    assert pq.ParquetFile("o.parquet").num_row_groups == 3


def test_the_schema_widens_to_new_columns_and_fields_and_from_null_and_whole_numbers_to_what_comes() -> None:
    early: list[dict[str, Any]] = [{"n": 1, "late": None, "of": {"a": 1}, "list": []}] * 1_000
    late = [{"n": 1.5, "late": "x", "of": {"b": [2]}, "list": [{"c": 1}], "new": True}]

    rows = saved(early, late, row_group_rows=1_000)

    assert rows[0] == {"n": 1.0, "late": None, "of": {"a": 1, "b": None}, "list": [], "new": None}
    assert rows[-1] == {"n": 1.5, "late": "x", "of": {"a": None, "b": [2]}, "list": [{"c": 1}], "new": True}
    assert (len(rows), names()) == (1_001, ["o.parquet"])


def test_a_column_that_is_always_null_and_no_rows_at_all_are_files_too() -> None:
    assert saved([{"a": None}]) == [{"a": None}]
    assert saved() == []


def test_values_that_do_not_go_together_are_an_error_with_column_row_and_remedy_and_the_rows_before_are_kept() -> None:
    sink = SaveToParquet(path="o.parquet")
    rows = [{"id": number} for number in range(1_200)]

    with pytest.raises(ConfigurationError) as caught:
        save(sink, rows, [{"id": "A-7"}], [{"id": 8}] * 1_000)
    sink.close(finished=False)

    assert str(caught.value).startswith("o.parquet: row 1201 does not fit the column 'id': ")
    assert "Its value is 'A-7'." in str(caught.value)
    assert "`json_columns=['id']`" in str(caught.value)
    assert list(sink.rows()) == rows


def test_the_same_error_at_the_end_of_the_rows_comes_after_the_others_are_published() -> None:
    sink = SaveToParquet(path="o.parquet")
    with pytest.raises(ConfigurationError, match=r"o\.parquet: row 2 does not fit the column 'a'"):
        save(sink, [{"a": {"b": 1}}, {"a": "text"}])
    assert list(sink.rows()) == [{"a": {"b": 1}}]


def test_of_several_columns_that_clash_the_one_of_the_first_such_row_is_named() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": 1}, {"a": 1, "b": "x"}, {"a": "x", "b": 1}]
    with pytest.raises(ConfigurationError, match=r"row 2 does not fit the column 'b'.*Its value is 'x'"):
        saved(rows)


def test_columns_of_any_kind_can_be_stored_as_json_text() -> None:
    rows: list[dict[str, Any]] = [{"any": 1}, {"any": "x"}, {"any": {"é": [None]}}, {"any": None}]
    assert saved(rows, json_columns=["any"]) == rows
    assert pq.read_table("o.parquet")["any"].to_pylist() == ["1", '"x"', '{"é": [null]}', None]


def test_empty_dicts_which_parquet_cannot_hold_are_stored_as_json_text() -> None:
    assert saved([{"a": {}}, {"a": None}]) == [{"a": {}}, {"a": None}]


def test_values_that_arrow_does_not_have_are_stored_as_json_would() -> None:
    rows = [{"path": Path("x"), "keys": {1: 2}, "half": "\ud800"}]
    assert saved(rows, json_columns=["half"]) == [{"path": "x", "keys": {"1": 2}, "half": "\ud800"}]


PLUS_TWO = timezone(timedelta(hours=2))
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("many", [1, 1_000])  # in one chunk, and in two
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (date(2024, 1, 1), NOON.replace(tzinfo=None), "days and times"),
        ({"at": date(2024, 1, 1)}, {"at": NOON}, "at the key 'at': days and times"),
        (NOON, NOON.replace(tzinfo=None), "with(out)? a zone and times with(out)? a zone"),
        ([NOON.replace(tzinfo=None)], [NOON], "with(out)? a zone and times with(out)? a zone"),
        (timedelta(1), 5, "durations and numbers"),
        (b"x", "x", "bytes and texts"),
        (True, 1, "true and false and numbers"),
        (1.5, True, "numbers and true and false"),
        (Decimal(1), 1.5, "decimals and numbers"),
        (2**53 + 1, 1.5, "beyond 2\\*\\*53"),
        (-1, 2**63, "do not go into 64 bits"),
        ([1], {"a": 1}, "lists and dicts"),
    ],
)
def test_values_that_arrow_would_join_by_changing_them_are_an_error(
    first: Any, second: Any, message: str, many: int
) -> None:
    misfit = rf"o\.parquet: row {many + 1} does not fit the column 'v': "
    with pytest.raises(ConfigurationError, match=misfit + f".*{message}"):
        saved([{"v": first}] * many, [{"v": second}])
    with pytest.raises(ConfigurationError, match=misfit):
        saved([{"v": second}] * many, [{"v": first}])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**64, "do not go into 64 bits"),
        (Decimal("NaN"), "the decimal NaN is none that Arrow has"),
        (time(12, tzinfo=UTC), "a time of day with a zone"),
        (timedelta.max, "a duration that does not go into 64 bits"),
        ("half \ud83d", "half a surrogate pair"),
        ({"half \ud83d": 1}, "half a surrogate pair"),
        ({(1, 2): 1}, r"a dict has the key \(1, 2\), which is no text"),
        ({1: 1, "1": 2}, "a dict has two keys that are the same as texts"),
        ({"empty": {}, "at": NOON}, "dicts without keys"),
    ],
)
def test_a_value_that_arrow_does_not_have_is_an_error_and_the_rows_before_are_kept(value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"row 2 does not fit the column 'v': .*{message}"):
        saved([{"v": None}, {"v": value}])
    assert pq.read_table("o.parquet")["v"].to_pylist() == [None]


def test_values_of_one_kind_come_back_as_they_were() -> None:
    rows = [
        {"big": 2**64 - 1, "price": Decimal("1.50"), "at": NOON, "n": 1, "day": date(1, 1, 1), "span": timedelta(-1)},
        {
            "big": 1,
            "price": Decimal("-1234567890123456789012345678901234567890.5"),
            "at": NOON.astimezone(PLUS_TWO),
            "n": 0.5,
        },
    ]
    made = saved(rows[:1] * 1_000, rows[1:])
    assert made[0] == rows[0]
    assert made[-1] == {**rows[1], "day": None, "span": None}
    assert [type(row["price"]) for row in (made[0], made[-1])] == [Decimal, Decimal]


def test_a_file_with_two_columns_of_one_name_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, "two.parquet")
    with pa.OSFile("two.arrow", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    for source in (LoadDataFromParquet(paths="two.parquet"), LoadDataFromArrow(paths="two.arrow")):
        with pytest.raises(ConfigurationError, match=r"In two\..*: two columns have the name 'text'"):
            source.outputs  # noqa: B018 - they are looked up when they are asked for


def test_rows_without_columns_are_nulls_once_there_is_one_and_else_an_error() -> None:
    assert saved([{}], [{"a": 1}, {}]) == [{"a": None}, {"a": 1}, {"a": None}]
    with pytest.raises(ConfigurationError, match="the rows have no columns"):
        saved([{}])


# What tasks write beside their columns


def test_metadata_is_a_struct_with_the_keys_of_all_rows_and_is_read_back_with_each_rows_own() -> None:
    rows: list[dict[str, Any]] = [
        {"generation": "x", "distilabel_metadata": {"raw_output_a": "x"}},
        {"generation": None, "distilabel_metadata": {"error_a": {"type": "SchemaError", "attempts": 1}}},
        {"generation": "y", "distilabel_metadata": None},
    ]
    assert saved(rows) == rows
    kind = pq.read_schema("o.parquet").field("distilabel_metadata").type
    assert [kind.field(place).name for place in range(kind.num_fields)] == ["raw_output_a", "error_a"]


def test_grouped_metadata_is_read_back_in_line() -> None:
    rows = [{"distilabel_metadata": [{"raw_output_a": "x"}, {"error_a": {"type": "E"}}]}]
    assert saved(rows) == rows


def test_metadata_whose_values_clash_never_stops_the_writing() -> None:
    first = [{"n": 1, "distilabel_metadata": {"note": "x"}}] * 1_000
    second: list[dict[str, Any]] = [{"n": 1, "distilabel_metadata": each} for each in ({"note": 7}, ["y"])]
    assert saved(first, second, row_group_rows=1_000) == [*first, *second]


def test_texts_that_turn_out_to_need_json_are_read_back_as_they_were() -> None:
    first: list[dict[str, Any]] = [{"distilabel_metadata": "text"}] * 1_000
    assert saved(first, [{"distilabel_metadata": {"a": 1}}], row_group_rows=1_000) == [
        *first,
        {"distilabel_metadata": {"a": 1}},
    ]


# Publishing


def test_a_run_that_did_not_finish_leaves_the_rows_that_were_done_and_no_drafts() -> None:
    sink = save(SaveToParquet(path="o.parquet"), [{"a": 1}], finished=False)
    assert (list(sink.rows()), names()) == ([{"a": 1}], ["o.parquet"])


def test_a_file_is_there_whole_when_the_run_ends_and_not_before() -> None:
    sink = SaveToParquet(path="o.parquet")
    sink.write([{"a": 1}])
    assert not Path("o.parquet").exists()
    sink.close(finished=True)
    assert names() == ["o.parquet"]


_FULL = """
import resource
from limbeck import get_step
from limbeck.errors import ConfigurationError
from limbeck.steps import LoadDataFromFiles

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
sink = get_step("save-to-parquet")(path="o.parquet", overwrite=True, row_group_rows=1_000, compression="none")
sink.open(replace=False)
try:
    for number in range(10_000):
        sink.write([{"n": number, "late": None if number < 1_500 else number * 1.5}])
except ConfigurationError as exc:
    print(exc)
sink.close(finished=False)
"""


def test_a_disk_that_fills_is_told_and_leaves_an_old_file_as_it_was() -> None:
    Path("o.parquet").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", _FULL], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("The output 'o.parquet' cannot be written any further: ")
    assert "File too large" in done.stdout
    assert (Path("o.parquet").read_bytes(), names()) == (b"old", ["o.parquet"])
