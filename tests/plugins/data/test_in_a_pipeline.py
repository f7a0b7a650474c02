"""Files at both ends of a pipeline: what is broken in them is data, and nothing else is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from limbeck import Pipeline, task
from limbeck.errors import ConfigurationError, MissingColumnError, RowError, RowFailedError
from limbeck.steps import LoadDataFromFiles, SaveToFiles
from limbeck_data import Deduplicate, ExpandColumns, FilterRows, FormatForSFT, KeepColumns, Limit, SaveToParquet, Sort


@task(inputs=["instruction"], outputs=["generation"])
def echo(row: dict[str, Any]) -> str:
    """Asks the instruction."""
    return str(row["instruction"])


def write_ten(*, broken: int | None = None) -> None:
    lines = [json.dumps({"instruction": f"question {number}", "level": number}) for number in range(1, 11)]
    if broken is not None:
        lines[broken - 1] = lines[broken - 1][:-5]
    Path("ten.jsonl").write_text("\n".join(lines))


def names() -> list[str]:
    return sorted(path.name for path in Path.cwd().iterdir() if path.name != "runs")


def test_a_broken_line_is_a_failed_row_with_its_place_and_the_nine_others_arrive() -> None:
    write_ten(broken=5)

    result = Pipeline(LoadDataFromFiles(paths="ten.jsonl"), echo(llm="offline"), SaveToFiles(path="o.parquet")).run()

    assert [row["level"] for row in result] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    (failed,) = result.failed
    (error,) = failed["limbeck_error"]["errors"]
    assert error["message"].startswith("ten.jsonl:5:")
    assert error["raw"].startswith('{"instruction": "question 5"')


def test_a_broken_line_stops_the_run_where_that_is_asked_for_and_the_rows_before_it_are_kept() -> None:
    write_ten(broken=5)
    strict = LoadDataFromFiles(paths="ten.jsonl", on_error="raise")
    with pytest.raises(RowError, match=r"ten\.jsonl:5:"):
        Pipeline(strict, SaveToFiles(path="o.jsonl")).run()
    assert [json.loads(line)["level"] for line in Path("o.jsonl").read_text().splitlines()] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "'rows.csv' is empty: it has no rows"), (b"a,a\n", "rows.csv:1: the column 'a' is there twice")],
)
def test_a_file_that_is_no_source_is_an_error_before_anything_is_made(content: bytes, message: str) -> None:
    Path("rows.csv").write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        Pipeline(LoadDataFromFiles(paths="rows.csv"), SaveToFiles(path="o.jsonl")).run(run_dir="run")
    assert "o.jsonl" not in names()


def test_ragged_and_wrongly_encoded_records_of_csv_fail_alone() -> None:
    Path("rows.csv").write_bytes(b"instruction,id\none,1\ntwo\ncaf\xe9,3\nfour,4\n")
    result = Pipeline(LoadDataFromFiles(paths="rows.csv"), SaveToFiles(path="o.csv")).run()
    assert [row["id"] for row in result] == ["1", "4"]
    assert [failed["instruction"] for failed in result.failed] == ["two", "caf\\xe9"]


def test_a_column_that_is_missing_three_steps_later_is_found_before_anything_runs() -> None:
    write_ten()
    pipeline = Pipeline(
        LoadDataFromFiles(paths="ten.jsonl"),
        FilterRows(condition="level > 2"),
        KeepColumns(columns=["instruction"]),
        Sort(by="level"),
        SaveToFiles(path="o.jsonl"),
    )
    with pytest.raises(MissingColumnError, match=r"load-data-from-files -> filter-rows -> keep-columns -> sort"):
        pipeline.run()
    assert names() == ["ten.jsonl"]


def test_an_output_that_exists_is_refused_unless_this_run_directory_made_it() -> None:
    write_ten()
    pipeline = Pipeline(LoadDataFromFiles(paths="ten.jsonl"), echo(llm="offline"), SaveToFiles(path="o.parquet"))
    first = pipeline.run(run_dir="run").to_list()

    assert pipeline.run(run_dir="run").to_list() == first
    with pytest.raises(ConfigurationError, match=r"The output 'o\.parquet' exists"):
        pipeline.run(run_dir="another")
    Path("o.parquet").unlink()
    Path("o.parquet").write_bytes(b"somebody's")
    with pytest.raises(ConfigurationError, match=r"The output 'o\.parquet' exists"):
        pipeline.run(run_dir="run")


def test_a_row_that_fails_in_a_step_is_kept_dropped_or_raised_as_the_step_says() -> None:
    rows = [{"instruction": "a", "generation": "x"}, {"instruction": "b", "generation": None}]

    kept = Pipeline(rows, FormatForSFT(), name="kept").run().to_list()
    dropped = Pipeline(rows, FormatForSFT(on_error="drop"), name="dropped").run().to_list()

    assert kept[1]["messages"] is None
    assert "is null" in kept[1]["distilabel_metadata"]["error_format-for-sft"]["message"]
    assert [row["instruction"] for row in dropped] == ["a"]
    with pytest.raises(RowFailedError, match="'generation' is null"):
        Pipeline(rows, FormatForSFT(on_error="raise"), name="raised").run()


def test_grouped_answers_become_rows_in_parquet_with_each_ones_metadata() -> None:
    write_ten()
    Pipeline(
        LoadDataFromFiles(paths="ten.jsonl"),
        Limit(n=3),
        echo(llm="offline", num_generations=2, group_generations=True),
        ExpandColumns(columns=["generation", "distilabel_metadata"]),
        Deduplicate(columns=["level", "generation"]),
        SaveToParquet(path="o.parquet"),
    ).run()
    rows = pq.read_table("o.parquet").to_pylist()
    assert [row["level"] for row in rows] == [1, 1, 2, 2, 3, 3]
    assert all(row["distilabel_metadata"] == {"raw_output_echo": row["generation"]} for row in rows)
