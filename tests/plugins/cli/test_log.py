"""`-v` shows the logger `limbeck` on stderr."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from limbeck_cli.log import show_log
from support.command import invoke, limbeck, write_rows
from support.openai_server import answer, failure, openai_server

ROWS = [{"instruction": "a"}]


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The logger, put back as it was."""
    logger = logging.getLogger("limbeck")
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.mark.parametrize("place", ["before", "behind", "not at all"])
def test_what_is_asked_again_is_shown_where_it_was_asked_for(tmp_path: Path, place: str) -> None:
    write_rows(tmp_path / "rows.jsonl", ROWS)
    before, behind = (["-v"] if place == each else [] for each in ("before", "behind"))
    with openai_server(failure(500), answer()) as server:
        done = limbeck(
            *before, "generate", "-m", "openai/m", "-i", "rows.jsonl", "--set", f"llm.base_url={server.url}", *behind,
            env={"OPENAI_API_KEY": "k"},
        )  # fmt: skip
    assert done.returncode == 0
    assert ("INFO row 0 is asked again" in done.stderr) is (place != "not at all")


def test_a_line_has_its_time_and_level_and_no_control_characters(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    show_log()
    show_log()  # once is enough
    logger.info("a\x1b]0;title\x07b")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" INFO a\\x1b]0;title\\x07b")


@pytest.mark.parametrize("command", ["run", "resume", "reparse", "retry", "generate"])
def test_every_command_that_runs_rows_has_the_option(command: str) -> None:
    assert "--verbose" in invoke(command, "--help").output
