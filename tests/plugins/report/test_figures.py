"""What is read from a run directory: finished, stopped, killed, going on, or with nothing but failures."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from limbeck._engine.ledger.ledger import Ledger
from limbeck.errors import ConfigurationError, ContentFilteredError, FailureLimitError, LedgerError
from limbeck.types import Generation, GenerationRequest, GenerationResponse, Usage
from limbeck_report import read_run
from limbeck_report.figures import Reason, RunFigures, Spending, StepFigures

from .recorded_runs import record, step_record, write_report

TESTS = Path(__file__).parents[2]
QUESTIONS = ["tea", "bad one", "unreadable", "filtered", "bad two", "salt"]


def step_of(run: RunFigures, name: str = "ask") -> StepFigures:
    (step,) = (each for each in run.steps if each.name == name)
    return step


# A run that told of itself


def test_the_report_of_a_finished_pipeline_is_what_it_noted(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", QUESTIONS)
    write_report(
        folder,
        [
            step_record("load", "source", rows_out=6),
            step_record("ask", "task", ["load"], rows_in=6, rows_out=6, rows_failed=4, cost=0.25, model_name="small"),
        ],
    )
    run = read_run(folder)
    assert (run.pipeline, run.state, run.source, run.error) == ("preference", "finished", "report", None)
    assert (run.started, run.seconds) == ("2026-01-01T00:00:00+00:00", 3.0e9)
    step = step_of(run)
    assert (step.kind, step.after, step.rows_in, step.rows_failed, step.cost) == ("task", ["load"], 6, 4, 0.25)
    assert run.notes == []


def test_a_pipeline_that_was_stopped_says_why(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", QUESTIONS)
    write_report(folder, [step_record("ask", "task")], finished=False, error="BreakerError: 50 in a row failed.")
    run = read_run(folder)
    assert (run.state, run.error) == ("stopped", "BreakerError: 50 in a row failed.")


def test_failures_are_the_pipelines_counts_with_a_message_from_the_records(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", QUESTIONS)
    write_report(folder, [step_record("ask", "task", failures={"BadRequestError": 2, "Unheard": 7})])
    assert read_run(folder).reasons == [
        Reason("ask", "Unheard", 7, None),
        Reason("ask", "BadRequestError", 2, "It is bad."),
    ]


def test_the_cost_of_a_step_is_that_of_its_only_model(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea"])
    write_report(folder, [step_record("ask", "task", cost=0.25)])
    assert read_run(folder).spending == [Spending("ask", "scripted-2026", 1, 10, 20, 4, 5, 0.25)]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"steps": 3}', '{"steps": [{"rows_in": "many", "after": 1, "cost": NaN, "requests": 1e999}, 4]}'],
)
def test_a_report_that_is_half_written_or_odd_does_no_harm(tmp_path: Path, text: str) -> None:
    folder = record(tmp_path / "run", ["tea"])
    (folder / "report.json").write_text(text, encoding="utf-8")
    assert read_run(folder).spending[0].answers == 1


def test_a_run_without_any_task_is_shown_from_its_report_alone(tmp_path: Path) -> None:
    write_report(tmp_path, [step_record("load", "source", rows_out=6)])
    run = read_run(tmp_path)
    assert [step.rows_out for step in run.steps] == [6]
    assert (run.spending, run.timings) == ([], [])


# A run that has nothing but its ledger


def test_without_a_report_rows_are_counted_in_the_ledger_and_the_list_of_failures(tmp_path: Path) -> None:
    run = read_run(record(tmp_path / "run", [*QUESTIONS, {"no_question": 1}]))
    step = step_of(run)
    assert (run.source, run.state) == ("ledger", "finished")
    assert (step.rows_in, step.rows_out, step.rows_failed) == (7, None, 5)
    assert step.failures == {"BadRequestError": 2, "ContentFilteredError": 1, "OutputError": 1, "RowError": 1}
    assert "Counted from the ledger" in run.notes[0]


def test_tokens_and_cost_are_also_those_of_refusals_that_were_paid_for(tmp_path: Path) -> None:
    def script(request: GenerationRequest) -> Any:
        usage = Usage(input_tokens=10, output_tokens=20)
        if request.messages[-1]["content"] == "bad":
            return ContentFilteredError("No.", usage=usage, model="m-1")
        return GenerationResponse(generations=[Generation(text="well")], usage=usage, model="m-1")

    prices = {"scripted": {"input": 1.0, "output": 2.0}}
    run = read_run(record(tmp_path / "run", ["tea", "bad"], script=script, run={"prices": prices}))
    (spending,) = run.spending
    assert (spending.model, spending.answers, spending.input_tokens, spending.output_tokens) == ("m-1", 1, 20, 40)
    assert spending.cost == pytest.approx(1e-4)


def test_tokens_are_those_of_every_answer_also_of_one_that_could_not_be_read(tmp_path: Path) -> None:
    run = read_run(record(tmp_path / "run", QUESTIONS))
    assert run.spending == [Spending("ask", "scripted-2026", 3, 30, 60, 12, 15, None)]
    assert (step_of(run).input_tokens, step_of(run).cost) == (30, None)


def test_the_latency_and_the_length_of_answers_have_quantiles(tmp_path: Path) -> None:
    (timing,) = read_run(record(tmp_path / "run", ["a", "bb", "ccc"])).timings
    assert timing.answers == 3
    assert timing.latency is not None and 0 <= timing.latency.p50 <= timing.latency.max
    assert timing.length is not None
    assert (timing.length.p50, timing.length.max) == (len("about bb"), len("about ccc"))


def test_the_reasons_come_most_frequent_first_with_an_example(tmp_path: Path) -> None:
    first, *rest = read_run(record(tmp_path / "run", QUESTIONS)).reasons
    assert first == Reason("ask", "BadRequestError", 2, "It is bad.")
    assert {reason.type for reason in rest} == {"ContentFilteredError", "OutputError"}


def test_a_failure_that_was_answered_in_a_later_run_is_none(tmp_path: Path) -> None:
    record(tmp_path / "run", ["bad", "tea"])
    record(tmp_path / "run", ["bad", "tea"], script=lambda request: "well")
    run = read_run(tmp_path / "run")
    assert (step_of(run).rows_failed, run.reasons) == (0, [])


def test_a_failure_of_another_step_stays_when_the_list_of_failures_is_written_anew(tmp_path: Path) -> None:
    record(tmp_path / "run", ["bad", "tea"], name="first")
    record(tmp_path / "run", ["tea", "unreadable"], name="second")
    run = read_run(tmp_path / "run")
    assert [(step.name, step.rows_failed) for step in run.steps] == [("first", 1), ("second", 1)]


def test_several_samples_of_a_row_are_one_row(tmp_path: Path) -> None:
    run = read_run(record(tmp_path / "run", ["bad", "tea"], num_generations=3))
    assert (step_of(run).rows_in, step_of(run).rows_failed) == (2, 1)
    assert step_of(run).failures == {"BadRequestError": 3}


def test_a_line_that_is_being_written_to_the_list_of_failures_is_left_out(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["unreadable", "tea"])
    with (folder / "failed.jsonl").open("a", encoding="utf-8") as file:
        file.write('not JSON\n{"limbeck_error": {"step": "ask", "row"')
    run = read_run(folder)
    assert step_of(run).rows_failed == 1
    assert "A line of failed.jsonl could not be read." in run.notes


def test_a_tasks_own_run_that_was_stopped_says_why(tmp_path: Path) -> None:
    with pytest.raises(FailureLimitError):
        record(tmp_path / "run", ["bad", "tea"], run={"max_failed": 0})
    run = read_run(tmp_path / "run")
    assert (run.state, run.error) == ("stopped", "FailureLimitError")


# A run that goes on, or was killed


def test_a_run_that_goes_on_is_said_to_and_an_old_report_does_not_count(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea", "salt"])
    write_report(folder, [step_record("load", "source"), step_record("ask", "task", ["load"], rows_in=1)])
    ledger = Ledger(folder)
    try:
        run = read_run(folder)
    finally:
        ledger.close()
    assert (run.state, run.source) == ("running", "ledger")
    assert [step.name for step in run.steps] == ["load", "ask"]
    assert (step_of(run).rows_in, step_of(run).after, step_of(run).kind) == (2, ["load"], "task")


def test_a_report_older_than_the_ledger_does_not_count(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea", "salt"])
    write_report(folder, [step_record("ask", "task", rows_in=1)], seconds=5.0)
    run = read_run(folder)
    assert (run.state, run.source, step_of(run).rows_in) == ("unfinished", "ledger", 2)
    assert "report.json is of an earlier moment" in run.notes[0]


def test_while_a_run_goes_on_its_figures_are_those_it_noted_last(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea", "salt"])
    now = datetime.now(UTC).isoformat()
    write_report(folder, [step_record("ask", "task", rows_in=77)], started=now, seconds=1.0, finished=False)
    ledger = Ledger(folder)
    try:
        run = read_run(folder)
    finally:
        ledger.close()
    assert (run.state, run.source, step_of(run).rows_in) == ("running", "report", 77)


def test_a_pipeline_that_was_killed_has_the_figures_it_noted_last_if_they_are_of_its_last_moments(
    tmp_path: Path,
) -> None:
    folder = record(tmp_path / "run", ["tea", "salt"])
    (folder / "run.json").write_text('{"name": "tasting", "command": "limbeck run x"}')
    ended = datetime.fromtimestamp(max(read_run(folder).calls["ask"].at) - 6, UTC).isoformat()
    write_report(folder, [step_record("ask", "task", rows_in=77)], started=ended, seconds=0.0, finished=False)
    run = read_run(folder)
    assert (run.state, run.source, run.resume) == ("unfinished", "report", "limbeck run x")
    assert run.notes == ["The steps' figures are the last that the run noted, some seconds before its last answer."]


def test_a_run_that_was_killed_is_read_up_to_its_last_answer(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(TESTS)!r})
from plugins.report.recorded_runs import record
def script(request):
    if request.messages[-1]["content"] == "q5":
        os.kill(os.getpid(), signal.SIGKILL)
    return "well"
from limbeck.testing import ScriptedLLM
record({str(tmp_path / "run")!r}, [f"q{{n}}" for n in range(9)], llm=ScriptedLLM(script=script, max_concurrency=1))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    run = read_run(tmp_path / "run")
    assert (run.state, run.spending[0].answers) == ("unfinished", 5)


def test_reading_leaves_the_ledger_and_the_list_of_failures_as_they_are(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", QUESTIONS)
    names = ("ledger.sqlite", "failed.jsonl")
    before = [(folder / name).read_bytes() for name in names]
    read_run(folder)
    assert [(folder / name).read_bytes() for name in names] == before


def test_a_run_can_begin_in_the_directory_after_it_was_read(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea"])
    read_run(folder)
    record(folder, ["tea", "salt"])
    assert read_run(folder).spending[0].answers == 2


def test_a_copy_without_write_permission_is_read(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea"])
    folder.chmod(0o555)
    try:
        assert read_run(folder).spending[0].answers == 1
    finally:
        folder.chmod(0o755)


# Where there is no run


def test_a_name_is_looked_for_among_the_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "runs" / "tasting", ["tea"])
    monkeypatch.chdir(tmp_path)
    assert read_run("tasting").pipeline == "tasting"


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no run directory '.*nowhere'"):
        read_run(tmp_path / "nowhere")


def test_a_directory_without_a_run_is_an_error_that_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has neither 'ledger\.sqlite' nor 'report\.json'"):
        read_run(tmp_path)


def test_a_ledger_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError, match="cannot be read: file is not a database"):
        read_run(tmp_path)


def test_a_ledger_of_an_unknown_form_is_an_error_that_says_to_upgrade(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("CREATE TABLE calls (id, step)")
    connection.close()
    with pytest.raises(LedgerError, match=r"has no column .*attempts.* Upgrade limbeck-report"):
        read_run(tmp_path)


def change(folder: Path, *statements: str) -> None:
    """Change a ledger behind its writer's back."""
    connection = sqlite3.connect(folder / "ledger.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def add_column(folder: Path, name: str, type: str) -> None:
    """See that the calls have a column, which the ledger of another version may have already."""
    connection = sqlite3.connect(folder / "ledger.sqlite")
    known = {record[1] for record in connection.execute("PRAGMA table_info(calls)")}
    connection.close()
    if name not in known:
        change(folder, f"ALTER TABLE calls ADD COLUMN {name} {type}")


def test_a_ledger_that_knows_prices_gives_the_cost_by_model(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea", "salt"])
    add_column(folder, "cost", "REAL")
    change(folder, "UPDATE calls SET cost = 0.5")
    run = read_run(folder)
    assert (run.spending[0].cost, step_of(run).cost) == (1.0, 1.0)


def test_where_the_price_of_one_answer_is_unknown_the_cost_is_unknown(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea", "salt"])
    add_column(folder, "cost", "REAL")
    change(folder, "UPDATE calls SET cost = NULL", "UPDATE calls SET cost = 0.5 WHERE row = '0'")
    assert read_run(folder).spending[0].cost is None


def test_an_answer_that_was_copied_from_another_run_was_not_paid_for_here(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea", "salt"])
    add_column(folder, "origin", "TEXT")
    change(folder, "UPDATE calls SET origin = 'runs/other' WHERE row = '0'")
    assert read_run(folder).spending[0].answers == 1


def test_the_figures_as_json_hold_no_single_call(tmp_path: Path) -> None:
    run = read_run(record(tmp_path / "run", QUESTIONS))
    document = json.loads(json.dumps(run.as_dict()))
    assert document["version"] == 1
    assert document["steps"][0]["name"] == "ask"
    assert "calls" not in document
