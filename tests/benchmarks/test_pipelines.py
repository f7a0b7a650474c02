"""The benchmark of pipelines, with a few rows: every way gives all of them, and a faulty output is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.inprocess import rows_to_ask
from benchmarks.pipelines import check_output, ideal_seconds, overlap, pipeline
from benchmarks.streaming import TASKS, answer_to

if TYPE_CHECKING:
    from pathlib import Path


def test_three_tasks_are_measured_for_each_size_and_their_output_is_checked() -> None:
    section = pipeline(sizes=[20, 40], window=4, rounds=1)
    lines = [dict(zip(section.header, line, strict=True)) for line in section.rows]
    assert [line["rows"] for line in lines] == ["20", "40"]
    assert all(float(line["ledger bytes a row and task"]) > 0 for line in lines)
    assert [len(values) for values in section.bars.values()] == [1, 1]


def test_two_tasks_are_measured_beside_one_and_the_ideal() -> None:
    section = overlap(rows=8, window=8, rounds=1)
    lines = [dict(zip(section.header, line, strict=True)) for line in section.rows]
    assert [line["ideal"] for line in lines] == ["0.10", "0.20", "0.20"]
    assert [bool(line["× one task and one answer more"]) for line in lines] == [False, True, False]


@pytest.mark.parametrize(
    ("rows", "window", "tasks", "answers"), [(1, 4, 1, 1), (4, 4, 1, 1), (5, 4, 1, 2), (5, 4, 2, 3), (2_000, 256, 2, 9)]
)
def test_the_ideal_is_the_last_rows_turn_and_an_answer_for_each_task(
    rows: int, window: int, tasks: int, answers: int
) -> None:
    assert ideal_seconds(rows, window, tasks=tasks) == pytest.approx(0.1 * answers)


def output_with(path: Path, *, lacking: int | None = None, wrong: int | None = None) -> Path:
    lines = []
    for number, row in enumerate(rows_to_ask(5)):
        text = row["instruction"]
        for name in TASKS:
            text = row[name] = answer_to(text)
        if number == wrong:
            row["review"] = "something else"
        if number != lacking:
            lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_output_with_every_answer_passes(tmp_path: Path) -> None:
    check_output(output_with(tmp_path / "out.jsonl"), 5)


def test_a_wrong_answer_in_the_output_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Row 3 of out\.jsonl has 'something else' for 'review'"):
        check_output(output_with(tmp_path / "out.jsonl", wrong=3), 5)


def test_a_row_that_the_output_lacks_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        check_output(output_with(tmp_path / "out.jsonl", lacking=4), 5)
