"""Run directories of earlier formats: they open, go on without a call, and are explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from limbeck import Pipeline
from limbeck._pipeline.directory.run_state import state_of
from limbeck.testing import registry, replay
from support.stored_runs import FORMATS, PRICES, ROWS, Counted, RecordedLLM, asking, cut_short, register, restore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG, REFUSED = "a long story", "refused"


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> Iterator[str]:
    with registry():
        register()
        yield request.param


@pytest.fixture
def task_run(format: str, tmp_path: Path) -> Path:
    restore(format, "task", tmp_path)
    return tmp_path / "run"


@pytest.fixture
def pipeline_run(format: str, tmp_path: Path) -> Path:
    restore(format, "pipeline", tmp_path)
    return tmp_path / "run"


def test_a_task_goes_on_and_asks_again_for_what_failed_alone(task_run: Path) -> None:
    for _ in range(2):
        rows = list(asking().run(ROWS, run_dir=task_run))
        assert [row["answer"] for row in rows] == [
            None if row["question"] == REFUSED else f"About {row['question']}" for row in ROWS
        ]
    assert RecordedLLM.asked == [REFUSED] * 2


def test_what_it_spent_counts_against_a_budget(task_run: Path) -> None:
    with asking().run(ROWS, run_dir=task_run, prices=PRICES, max_tokens=10**6) as stream:
        list(stream)
    assert RecordedLLM.asked == [REFUSED]


def test_a_re_run_begins_with_its_latest_answers(task_run: Path) -> None:
    again = asking().rerun(ROWS, run_dir=task_run, where=cut_short, parameters={"max_tokens": 300})
    lineages = [row["distilabel_metadata"]["lineage_ask"]["parameters"] for row in again if row["answer"] is not None]
    assert {"max_tokens": 200} in lineages
    assert RecordedLLM.asked == []


def test_its_answers_can_be_taken_by_other_runs_and_replayed(task_run: Path, tmp_path: Path) -> None:
    rows = [row for row in ROWS if row["question"] != REFUSED]
    list(asking().run(rows, run_dir=tmp_path / "other", cache=task_run))
    with replay(task_run):
        list(asking().run(rows))
    assert RecordedLLM.asked == []


def test_each_row_of_it_is_explained(task_run: Path) -> None:
    found = [asking().explain(row, run_dir=task_run, id=place).found for place, row in enumerate(ROWS)]
    assert found == [row["question"] != REFUSED for row in ROWS]
    other = asking(top_p=0.5).explain(ROWS[2], run_dir=task_run, id=2)
    assert any("top_p" in difference for difference in other.differs)


def test_its_state_is_told(task_run: Path) -> None:
    assert state_of(task_run).state == "finished"


def test_a_pipeline_goes_on_makes_no_step_again_and_asks_for_what_failed_alone(pipeline_run: Path) -> None:
    assert state_of(pipeline_run).state == "finished"
    out = pipeline_run.parent / "out.jsonl"
    before = out.read_text(encoding="utf-8")
    Pipeline.from_yaml(pipeline_run.parent / "recipe.yaml").run(run_dir=pipeline_run)
    assert out.read_text(encoding="utf-8") == before
    assert RecordedLLM.asked == [REFUSED]
    assert Counted.counted == []
