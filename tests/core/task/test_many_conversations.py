"""Conversations by the thousand: rows are taken in one after another, not one inside of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck import ask, task
from limbeck.testing import ScriptedLLM

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"text": f"row {number}"} for number in range(1500)]  # more than Python's calls can be deep


@task(inputs=["text"], outputs=["answer"])
def twice(row: Any) -> Any:
    draft = yield ask(row["text"])
    final = yield ask(f"{row['text']}: {draft.text}")
    return {"answer": final.text}


def said_again(llm: ScriptedLLM, folder: Path) -> list[Any]:
    return [row["answer"] for row in twice(llm=llm).run(ROWS, run_dir=folder)]


def test_a_wide_window_takes_in_as_many_rows_as_it_has_room_for_and_stored_ones_in_any_number(tmp_path: Path) -> None:
    first = said_again(ScriptedLLM(script=lambda _: "so", max_concurrency=1024), tmp_path / "run")
    again = ScriptedLLM(script=[], max_concurrency=1024)
    assert said_again(again, tmp_path / "run") == first == ["so"] * len(ROWS)
    assert again.requests == []
