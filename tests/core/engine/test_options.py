"""What `task.run` is told that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import ConfigurationError
from limbeck.testing import EchoLLM
from support.questions import Ask, questions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"durability": "ful"}, "`durability` is 'ful'; it is 'normal' or 'full'"),
        ({"ledger_requests": "none"}, "`ledger_requests` is 'none'; it is 'full' or 'hash'"),
        *[
            ({"max_failed": odd}, f"`max_failed` is {odd!r}; it is a count")
            for odd in (-1, float("nan"), 1.5, "5", True)
        ],
    ],
)
def test_an_option_with_no_such_value_is_an_error_before_a_directory_is_made(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("run_dir", ["", "  ", "a\0b", 5, b"run"])
def test_what_names_no_directory_is_refused_and_not_taken_for_the_working_directory(
    run_dir: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"`run_dir` is .* directory"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir=run_dir)
    assert not list(tmp_path.iterdir())
