"""Conversations that were killed go on where they were, and give the rows of one that was not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import AuthenticationError
from limbeck.testing import ScriptedLLM

from .every_task import EVERY, answers_of

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck import Task


class Model:
    """Answers the first `until` requests from a list; the next one ends the run."""

    def __init__(self, answers: list[str], until: int) -> None:
        self._answers = answers
        self.left = until

    def __call__(self, request: object) -> str | AuthenticationError:
        if not self.left:
            return AuthenticationError("The key was taken back.")
        self.left -= 1
        return self._answers.pop(0)


def rows_of(task: Task, row: dict[str, Any], run_dir: Path) -> list[Any]:
    with task.run([row], run_dir=run_dir) as stream:
        return list(stream)


@pytest.mark.parametrize("name", [name for name in EVERY if EVERY[name]("offline").converse is not None])
def test_a_conversation_killed_before_any_of_its_calls_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    example = EVERY[name]("offline").examples()[0]
    whole = [*answers_of(example)]
    for until in range(len(whole)):
        left, run_dir = [*whole], tmp_path / str(until)
        with pytest.raises(AuthenticationError):
            rows_of(EVERY[name](ScriptedLLM(script=Model(left, until), max_concurrency=1)), example.row, run_dir)
        assert len(left) == len(whole) - until
        (row,) = rows_of(EVERY[name](ScriptedLLM(script=left, max_concurrency=1)), example.row, run_dir)
        assert {column: row[column] for column in example.output} == example.output
