"""Whatever a model answers, `process` gives a row: columns of their kind, or nulls with a typed error."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import errors
from limbeck.testing import ScriptedLLM

from .every_task import EVERY, answers_of

if TYPE_CHECKING:
    from limbeck import Task
    from limbeck.types import Example

PIECES = [
    *(
        "",
        " ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
        "\x00",
        "\ud83d",
        "\ufeff",
        "<think>",
        "</think>",
        "```json\n",
        "```",
    ),
    *("New instruction:", "#Rewritten Prompt#:", "[[[User]]]", "[[[Assistant]]]", "# User:", "# Assistant:", "---"),
    *("Step 1:", "Step 99999999999999999999:", "The answer is:", "1/0", "1e999", "__import__('os')", "null", "NaN"),
    *("<PROMPT>", "[END]", "1" * 5000, "[" * 2000, '{"a":' * 500, "x" * 3000),
]


def mutated(text: str, rng: random.Random) -> str:
    """A text with a few parts cut out, doubled, turned around or put in."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(text))
        end = rng.randint(start, len(text))
        part = rng.choice(["", text[start:end] * 2, text[start:end][::-1], rng.choice(PIECES), rng.choice(PIECES)])
        text = text[:start] + part + text[end:]
    return text


@pytest.mark.parametrize("name", EVERY)
def test_two_hundred_mutated_answers_give_rows_or_typed_errors(name: str) -> None:
    rng = random.Random(name)
    example = EVERY[name]("offline").examples()[0]
    answers = answers_of(example)
    task = EVERY[name](ScriptedLLM(script=lambda request: mutated(rng.choice(answers), rng)))
    rows = next(task.process([dict(example.row) for _ in range(200)]))
    assert len(rows) == 200
    assert [row for row in rows if row[next(iter(task.outputs))] is not None]
    for row in rows:
        check(row, task, example)


def check(row: dict[str, Any], task: Task, example: Example) -> None:
    """See that a row's output columns are of their kind, or null beside a typed error."""
    values = {column: row[column] for column in task.outputs if column != "model_name"}
    error = row["distilabel_metadata"].get(f"error_{task.name}")
    json.dumps(row)
    if error is not None:
        assert set(values.values()) == {None}
        assert issubclass(getattr(errors, error["type"]), errors.GenerationError)
        return
    for column, value in values.items():
        assert shapes_of(value) <= shapes_of(example.output[column])
        assert all(value) if isinstance(value, list) else value


def shapes_of(value: Any, place: str = "") -> set[str]:
    """The kinds of a value, with their places in lists and dicts."""
    if isinstance(value, list):
        return {f"{place} list"}.union(*(shapes_of(item, f"{place}[]") for item in value))
    if isinstance(value, dict):
        return {f"{place} dict"}.union(*(shapes_of(item, f"{place}.{key}") for key, item in value.items()))
    return {f"{place} {type(value).__name__}"}
