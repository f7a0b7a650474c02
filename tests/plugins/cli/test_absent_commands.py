"""Official commands whose package is not installed."""

from __future__ import annotations

import pytest

from limbeck_cli import commands
from support.command import invoke


@pytest.mark.parametrize("arguments", [["draw"], ["draw", "runs/x", "--html", "a.html"], ["draw", "--help"]])
def test_a_command_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setitem(commands._PACKAGES, "draw", "limbeck-draw")
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "pip install 'limbeck-draw'" in result.stderr
    assert "draw" not in invoke("--help").output


def test_the_report_is_such_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_entries", list)
    monkeypatch.setattr(commands, "find_spec", lambda _: None)
    assert "pip install 'limbeck-report'" in invoke("report", "runs/x").stderr


def test_any_other_name_is_no_command() -> None:
    result = invoke("reprot")
    assert result.exit_code == 2
    assert "No such command" in result.stderr
