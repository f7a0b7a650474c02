"""The explaining of a row's answer, for a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._engine.answers.explain import explain as explain_request
from .._engine.answers.explain import stored_messages
from .._engine.calls.keys import Keyring, identity_of
from .._engine.rows.copies import taken_row
from ..structured import json_schema_of
from ..types import GenerationRequest
from .forms import noted_config
from .work import TaskWork

if TYPE_CHECKING:
    from pathlib import Path

    from .._engine.answers.explain import Explanation
    from ..types import Row
    from .task import Task


def explain(task: Task, row: Row | None, *, run_dir: str | Path, id: str) -> Explanation:
    """Explain a row's answer; see `Task.explain`."""
    request = _request_as_stored(task, run_dir, id) if row is None else TaskWork(task).prepare(taken_row(row))
    return explain_request(
        run_dir,
        step=task.name,
        row=id,
        request=request,
        keyring=Keyring(identity_of(task.llm)),
        config=noted_config(task),
    )


def _request_as_stored(task: Task, run_dir: str | Path, id: str) -> GenerationRequest:
    """The prompt of the time, asked as the task would ask now."""
    return GenerationRequest(
        messages=stored_messages(run_dir, step=task.name, row=id),
        parameters=dict(getattr(task.llm, "generation_kwargs", None) or {}),
        output_schema=json_schema_of(getattr(task, "output_schema", None)),
    )
