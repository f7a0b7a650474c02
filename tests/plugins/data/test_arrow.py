"""Arrow's own files: read whoever wrote them, written as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import feather, ipc

from limbeck.errors import ConfigurationError
from limbeck_data import LoadDataFromArrow, SaveToArrow

from .rows import rows_of, save

ROWS: list[dict[str, Any]] = [{"a": 1, "b": [{"c": None}]}, {"a": None, "b": None}, {"a": 3, "b": []}]


def test_what_was_written_is_read_back_row_for_row() -> None:
    assert list(save(SaveToArrow(path="o.arrow"), ROWS[:1], ROWS[1:]).rows()) == ROWS


def test_the_schema_widens_as_in_parquet_and_nothing_is_left_beside_the_file() -> None:
    rows = list(save(SaveToArrow(path="o.arrow", batch_rows=1_000), [{"a": 1}] * 1_000, [{"a": 1.5, "b": "x"}]).rows())
    assert (len(rows), rows[0], rows[-1]) == (1_001, {"a": 1.0, "b": None}, {"a": 1.5, "b": "x"})
    assert [path.name for path in Path.cwd().iterdir()] == ["o.arrow"]


@pytest.mark.parametrize("form", ["file", "stream", "feather"])
def test_files_streams_and_feather_files_are_read_batch_by_batch(form: str) -> None:
    table = pa.table({"n": list(range(5))})
    if form == "feather":
        feather.write_feather(table, "a.arrow")
    else:
        make = {"file": ipc.new_file, "stream": ipc.new_stream}[form]
        with make("a.arrow", table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    source = LoadDataFromArrow(paths="a.arrow", batch_size=3)
    assert (source.outputs, [row["n"] for row in rows_of(source)]) == (["n"], [0, 1, 2, 3, 4])
    assert source.count() == (None if form == "stream" else 5)


def test_what_is_no_arrow_is_an_error_that_names_the_file() -> None:
    Path("a.arrow").write_bytes(b"no Arrow at all")
    with pytest.raises(ConfigurationError, match=r"a\.arrow cannot be read as Arrow"):
        LoadDataFromArrow(paths="a.arrow").outputs  # noqa: B018 - a pipeline asks before it starts
