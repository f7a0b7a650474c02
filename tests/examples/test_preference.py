"""examples/preference.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def names(run_script: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return run_script("preference.py")


def pairs_in(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "preference.jsonl").read_text().splitlines()]


def test_each_question_gives_its_best_and_its_worst_answer_in_the_form_that_trainers_read(
    names: dict[str, Any], folder: Path
) -> None:
    asked = [json.loads(line)["instruction"] for line in (folder / "examples/questions.jsonl").read_text().splitlines()]
    pairs = pairs_in(folder)
    assert [list(pair) for pair in pairs] == [["prompt", "chosen", "rejected"]] * 3
    assert [pair["prompt"][0]["content"] for pair in pairs] == [asked[0], asked[2], asked[3]]
    for pair in pairs:
        question = pair["prompt"][0]["content"]
        assert pair["chosen"][0]["content"].startswith(f"You ask: {question} That is")
        assert pair["rejected"] == [{"role": "assistant", "content": f"You ask: {question}"}]


def test_a_tie_makes_no_pair(names: dict[str, Any], folder: Path) -> None:
    assert not [pair for pair in pairs_in(folder) if "bees" in pair["prompt"][0]["content"]]


def test_three_answers_are_rated_side_by_side(names: dict[str, Any]) -> None:
    assert len(names["JUDGE"].requests) == 4
    assert {str(request.messages[0]["content"]).count("\n\nAnswer ") for request in names["JUDGE"].requests} == {3}


def test_a_judge_that_rates_too_few_answers_costs_its_question_and_no_other(
    names: dict[str, Any], folder: Path
) -> None:
    def forgetful(request: Any) -> str:
        rated = names["rate_by_length"](request)
        return '{"ratings": [1]}' if "sky" in request.messages[0]["content"] else str(rated)

    names["JUDGE"].script = forgetful
    pipeline = names["preference"](folder / "examples" / "questions.jsonl", folder / "preference.jsonl")
    result = pipeline.run(overwrite=True)
    assert len(pairs_in(folder)) == 2
    assert [row["instruction"] for row in result.failed] == ["Why is the sky blue?"]
