"""The last line of a run: what came in, and what became of it, adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.command import invoke, write_rows

from .conftest import Asked

ASK = {"task": "text-generation", "name": "ask", "llm": "paid/m"}
GOOD_ONES = {"step": "filter-rows", "name": "good-ones", "condition": "generation"}
SHORT = {"step": "filter-rows", "name": "short", "condition": "instruction | length < 5"}
ONCE = {"step": "deduplicate", "name": "once", "columns": ["instruction"]}


def last_line(*steps: dict[str, Any], rows: str = "good bad good long-one", **top: Any) -> str:
    write_rows(Path("rows.jsonl"), [{"instruction": row} for row in rows.split()])
    data = {"input": "rows.jsonl", "output": "o.jsonl", **top, "steps": list(steps)}
    Path("p.yaml").write_text(json.dumps(data))
    return invoke("run", "p.yaml", "--no-ledger").stderr.splitlines()[-1]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([ASK], "4 rows in, 4 written to o.jsonl, 1 of them with a failure (1 BadRequestError), 0"),
        ([SHORT, ASK], "3 written to o.jsonl, 1 of them with a failure (1 BadRequestError), 1 left out by short, "),
        ([ASK, GOOD_ONES], "4 rows in, 3 written to o.jsonl, 1 left out by good-ones, 1 failed (1 BadRequestError), "),
        ([ONCE, SHORT], "4 rows in, 2 written to o.jsonl, 1 left out by once, 1 left out by short, none failed, "),
        ([{**ASK, "on_error": "drop"}], "3 written to o.jsonl, 1 left out by ask, 1 failed (1 BadRequestError), "),
        ([{"step": "sort", "by": "instruction"}], "4 rows in, 4 written to o.jsonl, none failed, "),
    ],
)
def test_rows_written_and_left_out_come_to_those_that_came_in(steps: list[dict[str, Any]], told: str) -> None:
    assert told.removesuffix("0") in last_line(*steps)


def test_a_row_that_cannot_be_read_is_left_out_by_its_source() -> None:
    Path("rows.jsonl").write_text('{"instruction": "a"}\nno JSON\n')
    told = invoke("generate", "-m", "offline", "-i", "rows.jsonl", "-o", "o.jsonl").stderr
    assert "2 rows in, 1 written to o.jsonl, 1 left out by input, 1 failed (1 RowError), " in told


def test_rows_that_several_steps_share_are_left_out_by_none() -> None:
    router: dict[str, Any] = {"router": {"short": "instruction | length < 5", "other": None}}
    steps = [router, {**SHORT, "after": "router"}, {**SHORT, "name": "other", "after": "router"}]
    told = last_line(*steps)
    assert "left out by router" not in told
    assert "1 left out by other" in told


def test_of_a_run_that_was_stopped_nothing_is_said_to_be_left_out(asked: Asked) -> None:
    told = last_line(ASK, rows="bad " * 9, max_failed=2)
    assert told.startswith("Stopped: ")
    assert "left out" not in told
    assert asked.prompts
