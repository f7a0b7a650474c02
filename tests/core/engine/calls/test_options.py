"""What `task.run` is told that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import ConfigurationError
from limbeck.testing import EchoLLM
from support.questions import Ask, questions


@pytest.mark.parametrize("run_dir", ["", "  ", "a\0b", 5, b"run"])
def test_what_names_no_directory_is_refused_and_not_taken_for_the_working_directory(
    run_dir: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"`run_dir` is .* directory"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir=run_dir)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "start",
    [
        lambda task, rows: task.arun(rows, run_dir=""),
        lambda task, rows: task.rerun(rows, run_dir="", where="failed"),
        lambda task, rows: task.reparse(rows, run_dir=""),
        lambda task, rows: task.estimate(rows, run_dir=""),
    ],
    ids=["arun", "rerun", "reparse", "estimate"],
)
def test_so_it_is_whatever_takes_a_directory(
    start: Callable[[Ask, Any], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"`run_dir` is '', which names no directory"):
        start(Ask(llm=EchoLLM()), questions(3))
    assert not list(tmp_path.iterdir())
