"""`limbeck report` as text and JSON, and what it refuses to write over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck_report.command import app
from support.questions import Ask, questions

from .recorded_runs import record, step_record, write_report

if TYPE_CHECKING:
    from limbeck.types import Row


class Number(Ask):
    """Reads its answer as a number."""

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": int(output or "")}


QUESTIONS = ["tea", "bad one", "unreadable", "salt"]


def report(*arguments: str, **variables: str) -> str:
    """What the command prints."""
    env = {"COLUMNS": "60", "FORCE_COLOR": "", "NO_COLOR": "", **variables}
    result = CliRunner(env=env).invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run's directory."""
    folder = record(tmp_path / "run", QUESTIONS)
    steps = [
        step_record("load", "source", rows_out=4),
        step_record(
            *("ask", "task", ["load"]),
            rows_in=4,
            rows_out=4,
            rows_failed=2,
            failures={"BadRequestError": 1, "OutputError": 1},
            requests=4,
            input_tokens=20_000,
            cost=0.0123,
            seconds=75,
        ),
    ]
    write_report(folder, steps, seconds=3.0e9)
    return folder


def test_the_yield_of_a_step_is_one_line_also_in_a_narrow_pipe(folder: Path) -> None:
    (line,) = [line for line in report(str(folder)).splitlines() if line.split()[:2] == ["ask", "task"]]
    shown = ["ask", "task", "4", "4", "2", "50.0", "%", "4", "0", "0", "0", "20,000", "0", "$0.0123", "1m15s"]
    assert line.split() == shown


def test_rows_that_were_mended_are_told_by_step_with_the_calls_for_it(folder: Path) -> None:
    steps = [step_record("load", "source"), step_record("ask", "task", ["load"], rows_in=1000)]
    steps[1] |= {"repaired": 14, "repair_calls": 18, "fell_back": 1, "fallback_calls": 1}
    write_report(folder, steps, seconds=3.0e9)
    mended = ["Mended answers", "ask: repaired: 14 of 1,000 rows, 18 calls", "ask: fallback: 1 of 1,000 rows, 1 call"]
    assert "\n".join(mended) in report(str(folder))


def test_nothing_is_said_of_mending_where_there_was_none(folder: Path) -> None:
    assert "Mended" not in report(str(folder))


def test_the_run_of_one_task_says_what_was_mended_too(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=lambda request: "7" if len(request.messages) > 1 else "no number")
    list(Number(name="number", llm=llm, repair=1).run(questions(3), run_dir=tmp_path))
    assert "number: repaired: 3 of 3 rows, 3 calls" in report(str(tmp_path))


def test_on_a_terminal_the_tables_are_drawn(folder: Path) -> None:
    assert "────" not in report(str(folder))
    assert "────" in report(str(folder), FORCE_COLOR="1", COLUMNS="200")


def test_failures_are_told_by_step_and_reason_with_a_message(folder: Path) -> None:
    lines = [line.split(maxsplit=3) for line in report(str(folder)).splitlines()]
    assert ["ask", "BadRequestError", "1", "It is bad."] in [[cell.strip() for cell in line] for line in lines]


def test_the_head_says_how_the_run_stands(folder: Path) -> None:
    assert report(str(folder)).startswith("preference  finished\n")


def test_an_unfinished_run_says_what_to_type_to_go_on(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", QUESTIONS)
    (folder / "run.json").write_text('{"name": "tasting", "config": {}, "command": "limbeck run t.yaml"}')
    shown = report(str(folder))
    assert shown.startswith("tasting  unfinished: ")
    assert "To go on: limbeck run t.yaml\n" in shown


def test_json_has_the_same_figures_and_nothing_else_is_on_stdout(folder: Path) -> None:
    document = json.loads(report(str(folder), "--json"))
    assert document["pipeline"] == "preference"
    assert [step["rows_failed"] for step in document["steps"]] == [0, 2]
    assert document["spending"][0]["answers"] == 3


def test_a_name_with_markup_for_terminals_is_shown_as_it_is(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea"], name="[red]a\x1b[31m:smile:")
    assert "[red]a\\x1b[31m:smile:" in report(str(folder))


@pytest.mark.parametrize("name", ["a\x1b]0;title\x07b", "a\x9b31mb", "a\rb", "a\u202eb"])
def test_a_name_reaches_neither_terminal_nor_page_with_its_control_characters(tmp_path: Path, name: str) -> None:
    folder = record(tmp_path / "run", ["tea"], name=name)
    page = tmp_path / "report.html"
    told = report(str(folder)) + report(str(folder), "--json") + report(str(folder), "--html", str(page))
    assert name not in told
    assert name not in page.read_bytes().decode()


def test_a_page_is_written_and_an_earlier_one_replaced(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    for seed in ("1", "2"):
        report(str(folder), "--html", str(page), "--seed", seed)
        assert f"(seed {seed})" in page.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "run"]


def test_a_page_and_json_can_be_had_at_once(folder: Path, tmp_path: Path) -> None:
    shown = report(str(folder), "--html", str(tmp_path / "report.html"), "--json")
    assert json.loads(shown)["state"] == "finished"
    assert (tmp_path / "report.html").is_file()


def test_a_file_that_is_no_report_is_left_as_it_is(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "thesis.html"
    precious.write_text("<!doctype html><title>Mine</title>", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="exists and is no report"):
        report(str(folder), "--html", str(precious))
    assert precious.read_text(encoding="utf-8").endswith("Mine</title>")


@pytest.mark.parametrize("target", [".", "nowhere/report.html"])
def test_a_page_needs_a_file_in_a_directory_that_is_there(folder: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigurationError, match="Name a file for the page"):
        report(str(folder), "--html", str(tmp_path / target))


def test_the_tables_need_neither_matplotlib_nor_jinja2(folder: Path) -> None:
    program = (
        "import sys; from limbeck_report.run import read_run; from limbeck_report.text import show;"
        f"show(read_run({str(folder)!r}));"
        "print([name for name in ('matplotlib', 'jinja2', 'numpy', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_the_command_imports_nothing_of_the_report() -> None:
    program = "import sys, limbeck_report.command; print([n for n in sys.modules if n.startswith('limbeck_report.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['limbeck_report.command']"
