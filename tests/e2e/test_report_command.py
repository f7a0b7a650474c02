"""`limbeck report` through the installed command: a command that a package brought, and nothing else names."""

from __future__ import annotations

from pathlib import Path

from limbeck.errors import BadRequestError
from limbeck.testing import ScriptedLLM
from support.command import REPOSITORY, limbeck
from support.questions import Ask, questions


def test_the_command_is_in_the_help_with_its_package() -> None:
    assert "From limbeck-report" in limbeck("--help").stdout


def test_the_command_line_does_not_know_it() -> None:
    sources = (REPOSITORY / "plugins" / "cli" / "src").rglob("*.py")
    assert [path for path in sources if "limbeck_report" in path.read_text(encoding="utf-8")] == []


def test_it_reports_a_run(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=["0", BadRequestError("It is bad.")])
    list(Ask(llm=llm).run(questions(2), run_dir=tmp_path / "runs" / "tasting"))
    done = limbeck("report", "tasting", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ask   BadRequestError      1  It is bad." in done.stdout.splitlines()


def test_a_run_that_is_not_there_is_one_sentence_and_exit_status_1(tmp_path: Path) -> None:
    done = limbeck("report", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: There is no run directory 'nowhere', and none of that name in 'runs'.\n"


def test_without_its_package_there_is_no_such_command(tmp_path: Path) -> None:
    done = limbeck("--disable-plugin", "limbeck-report", "report", "tasting", cwd=tmp_path)
    assert done.returncode == 2
    assert "No such command 'report'" in done.stderr
