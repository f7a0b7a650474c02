"""examples/evol_instruct.py and evol-instruct.yaml."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from limbeck import Pipeline
from limbeck.testing import ScriptedLLM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rows_in(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_instructions_for_readers_that_were_drawn_evolve_in_three_rounds(
    run_script: Callable[[str], dict[str, Any]], folder: Path
) -> None:
    run_script("evol_instruct.py")
    rows = rows_in(folder / "evolved-instructions.jsonl")
    assert len(rows) == 4
    for row in rows:
        assert row["instruction"] == f"Explain {row['topic']} to {row['reader']} readers."
        assert row["evolved_instruction"] == row["instruction"] + " Give one more reason." * 3
        assert (row["topic"] == "why the sky is blue") == (row["reader"] == "child")


def test_the_same_run_directory_buys_no_round_twice(run_script: Callable[[str], dict[str, Any]], folder: Path) -> None:
    names = run_script("evol_instruct.py")
    first = names["evolution"]("again.jsonl").run(run_dir="runs/again")
    second = names["evolution"]("again.jsonl").run(run_dir="runs/again")
    assert sum(step.requests for step in first.report.steps) == 4 + 4 * 3
    assert sum(step.requests for step in second.report.steps) == 0


def test_the_file_gives_a_row_for_each_round_with_its_answer(folder: Path) -> None:
    pipeline = Pipeline.from_yaml(folder / "examples" / "evol-instruct.yaml")
    pipeline.steps["evol-instruct"].llm = ScriptedLLM(
        script=lambda request: f"{request.messages[-1]['content'][-20:]}!"
    )
    pipeline.run()
    rows = rows_in(folder / "examples" / "evolved.jsonl")
    assert [row["instruction"] for row in rows[:4]] == ["Why is the sky blue?"] * 3 + [
        "How do bees find their way home?"
    ]
    assert [row["evolved_instructions"] for row in rows[:3]] == [
        "Why is the sky blue?",
        "Why is the sky blue?!",
        "hy is the sky blue?!!",
    ]
    assert [row["answers"] for row in rows[:2]] == ["Why is the sky blue?!", "hy is the sky blue?!!"]
