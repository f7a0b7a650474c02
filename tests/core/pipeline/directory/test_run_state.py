"""How the run in a directory stands, as it is told in one word.

Covers `_pipeline.directory.listing`.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from limbeck import Pipeline
from limbeck._engine.ledger.file import FILE
from limbeck._engine.ledger.ledger import Ledger
from limbeck._pipeline.directory.run_state import RunState, state_of
from limbeck.errors import BadRequestError, BudgetError, FailureLimitError
from limbeck.testing import EchoLLM, ScriptedLLM
from support.questions import Ask, new_model, questions


def forget_end(run_dir: Path) -> None:
    """Leave the directory as a kill leaves it: nothing has noted the run's end."""
    (run_dir / "report.json").unlink(missing_ok=True)
    with closing(sqlite3.connect(run_dir / FILE)) as ledger:
        ledger.execute("DELETE FROM step_runs")
        ledger.commit()


# A task's own run


def test_a_tasks_run_that_came_to_its_end_is_finished_with_the_rows_that_it_gave(tmp_path: Path) -> None:
    list(Ask(llm=EchoLLM()).run([*questions(3), {}], run_dir=tmp_path))
    assert state_of(tmp_path) == RunState("finished", rows=4, failed=1)


def test_one_that_failures_stopped_says_so(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=[BadRequestError("No.")])
    with pytest.raises(FailureLimitError):
        list(Ask(llm=llm).run(questions(1), run_dir=tmp_path, max_failed=0))
    assert state_of(tmp_path) == RunState("stopped", "FailureLimitError", rows=1, failed=1)


def test_one_that_a_cap_stopped_says_so_whatever_was_under_way(tmp_path: Path) -> None:
    with pytest.raises(BudgetError):
        list(Ask(llm=EchoLLM(model=new_model())).run(questions(9), run_dir=tmp_path, max_requests=4))
    stands = state_of(tmp_path)
    assert (stands.state, stands.error, stands.rows) == ("stopped", "BudgetError", 4)


def test_one_that_was_killed_is_unfinished(tmp_path: Path) -> None:
    list(Ask(llm=EchoLLM()).run(questions(3), run_dir=tmp_path))
    forget_end(tmp_path)
    assert state_of(tmp_path) == RunState("unfinished")


# A pipeline's


def run_pipeline(folder: Path) -> None:
    Pipeline(questions(2), Ask(llm=EchoLLM()), name="asked").run(run_dir=folder)


def test_a_pipeline_that_came_to_its_end_is_finished_as_its_report_says(tmp_path: Path) -> None:
    run_pipeline(tmp_path)
    assert state_of(tmp_path) == RunState("finished", reported=True)


def test_one_that_was_stopped_says_why(tmp_path: Path) -> None:
    pipeline = Pipeline(questions(1), Ask(llm=ScriptedLLM(script=[BadRequestError("No.")])), name="asked")
    with pytest.raises(FailureLimitError) as caught:
        pipeline.run(run_dir=tmp_path, max_failed=0)
    assert state_of(tmp_path) == RunState("stopped", f"FailureLimitError: {caught.value}", reported=True)


def test_a_pipeline_that_was_killed_is_unfinished_though_its_tasks_have_ended(tmp_path: Path) -> None:
    run_pipeline(tmp_path)
    (tmp_path / "report.json").unlink()
    assert state_of(tmp_path) == RunState("unfinished")


def test_so_it_is_with_a_report_that_was_written_on_the_way(tmp_path: Path) -> None:
    run_pipeline(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({**report, "finished": False}))
    assert state_of(tmp_path) == RunState("unfinished")


def test_so_it_is_where_the_ledger_went_on_after_the_report(tmp_path: Path) -> None:
    run_pipeline(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({**report, "started": "2026-01-01T00:00:00+00:00"}))
    assert state_of(tmp_path) == RunState("unfinished")


def test_a_directory_in_which_a_process_runs_is_running_whatever_its_files_say(tmp_path: Path) -> None:
    run_pipeline(tmp_path)
    ledger = Ledger(tmp_path)
    try:
        assert state_of(tmp_path) == RunState("running")
    finally:
        ledger.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"started": 3, "finished": 1}', '{"seconds": "x", "started": "?"}'])
def test_a_report_that_is_half_written_or_odd_does_no_harm(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    assert state_of(tmp_path).state == "unfinished"
