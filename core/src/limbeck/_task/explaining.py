"""The explaining of a row's answer, for a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._engine.answers.explain import explain as explain_request
from .._engine.answers.explain import stored_messages
from .._engine.calls.keys import Keyring, identity_of
from .._engine.rows.copies import taken_row
from ..structured import json_schema_of
from ..types import GenerationRequest
from .work import TaskWork

if TYPE_CHECKING:
    from pathlib import Path

    from .._engine.answers.explain import Explanation
    from ..types import Request, Row
    from .task import ModelTask


def explain(task: ModelTask, row: Row | None, *, run_dir: str | Path, id: str) -> Explanation:
    """Explain a row's answer; see `Task.explain`."""
    request: Request
    if row is None:
        request = _request_as_stored(task, run_dir, id)
    else:
        request = TaskWork(task, type(task).schema_for).prepare(taken_row(row))
    return explain_request(
        run_dir,
        step=task.name,
        row=id,
        request=request,
        keyring=Keyring(identity_of(task.llm)),
        config=task.model_dump(mode="json", fallback=str),
    )


def _request_as_stored(task: ModelTask, run_dir: str | Path, id: str) -> GenerationRequest:
    """The prompt of the time, asked as the task would ask now."""
    return GenerationRequest(
        messages=stored_messages(run_dir, step=task.name, row=id),
        parameters=dict(getattr(task.llm, "generation_kwargs", None) or {}),
        output_schema=json_schema_of(getattr(task, "output_schema", None)),
    )
