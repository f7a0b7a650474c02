"""Whatever a page does with a task alone gives the same rows inside a pipeline."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, Task
from limbeck.testing import ScriptedLLM

from .pages import REPOSITORY, page_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from limbeck.types import Row

PAGES = [
    REPOSITORY / "README.md",
    *(REPOSITORY / "docs" / "how-to" / name for name in ("generations.md", "write-a-task.md", "structured-output.md")),
]


class Processed:
    """The calls of `process` that a page makes: the task, the rows given, the rows that came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Task, list[Row], list[Row]]] = []
        process = Task.process

        def recorded(task: Task, inputs: list[Row]) -> Iterator[list[Row]]:
            given = copy.deepcopy(list(inputs))
            for rows in process(task, inputs):
                self.calls.append((task, given, rows))
                yield rows

        monkeypatch.setattr(Task, "process", recorded)


@pytest.fixture
def processed(monkeypatch: pytest.MonkeyPatch) -> Processed:
    return Processed(monkeypatch)


def begin_anew(llm: Any) -> None:
    if isinstance(llm, ScriptedLLM):
        llm._left = None


def as_text(rows: list[Row]) -> list[str]:
    """With the order of the columns, which comparing dicts would not see."""
    return [json.dumps(row, default=str) for row in rows]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_a_task_gives_the_same_rows_in_a_pipeline_as_alone(
    page: Path, processed: Processed, run_page: Callable[[Path], None]
) -> None:
    run_page(page)
    assert processed.calls
    for task, given, alone in processed.calls:
        begin_anew(task.llm)
        assert as_text(Pipeline(given, task).run().to_list()) == as_text(alone)
