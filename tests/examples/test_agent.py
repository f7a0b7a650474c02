"""examples/agent.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

SAID = """\
What do a lamp and a desk cost together? 359.5 euros. (3 turns)
What does a chair cost? 120.0 euros. (2 turns)
What does a sofa cost? I cannot say: we do not sell 'sofa'; we sell lamp, chair, desk. (2 turns)
"""


def test_the_agent_answers_each_question_with_its_tools(
    run_script: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_script("agent.py")
    assert capsys.readouterr().out == SAID


def test_the_same_run_again_asks_nothing_and_calls_no_tool(
    run_script: Callable[[str], dict[str, Any]], folder: Path
) -> None:
    names = run_script("agent.py")
    model = names["MODEL"]
    before = len(model.requests)
    names["PRICES"].clear()
    assert [row["turns"] for row in names["answers"]("runs/agent")] == [3, 2, 2]
    assert len(model.requests) == before == 7
