"""examples/evolve.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from limbeck.testing import ScriptedLLM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rows_in(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "evolved.jsonl").read_text().splitlines()]


def test_an_instruction_evolves_until_the_check_refuses_it_or_the_rounds_are_over(
    run_script: Callable[[str], dict[str, Any]], folder: Path
) -> None:
    run_script("evolve.py")
    rows = rows_in(folder)
    assert [row["depth"] for row in rows] == [3, 3, 1]
    assert rows[0]["instruction"] == "Sort a list, in one sentence, without the letter e, as a poem."
    assert rows[2]["instruction"].endswith("to a child, as a poem.")


def test_what_was_refused_is_answered_as_it_was_before(
    run_script: Callable[[str], dict[str, Any]], folder: Path
) -> None:
    run_script("evolve.py")
    rows = rows_in(folder)
    assert [row["generation"] for row in rows] == [f"An answer to: {row['instruction']}" for row in rows]


def test_an_instruction_that_cannot_be_made_harder_is_answered_all_the_same(
    run_script: Callable[[str], dict[str, Any]], folder: Path
) -> None:
    names = run_script("evolve.py")
    lazy = ScriptedLLM(script=lambda request: str(request.messages[-1]["content"]).rpartition("\n")[2])
    names["evolution"].__globals__["WRITER"] = lazy
    result = names["evolution"]([{"instruction": "Name a river.", "depth": 0}], "evolved.jsonl").run(overwrite=True)
    assert rows_in(folder) == [{"instruction": "Name a river.", "depth": 0, "generation": "Name a river."}]
    assert result.report["evolve-1"].rows_failed == 1


def test_the_same_run_directory_asks_nothing_twice(run_script: Callable[[str], dict[str, Any]], folder: Path) -> None:
    names = run_script("evolve.py")
    seeds = [{"instruction": "Sort a list.", "depth": 0}, {"instruction": "Name a river.", "depth": 0}]
    first = names["evolution"](seeds, "again.jsonl").run(run_dir="runs/again")
    before = (folder / "again.jsonl").read_bytes()
    second = names["evolution"](seeds, "again.jsonl").run(run_dir="runs/again")
    assert sum(step.requests for step in first.report.steps) == 14
    assert sum(step.requests for step in second.report.steps) == 0
    assert (folder / "again.jsonl").read_bytes() == before
