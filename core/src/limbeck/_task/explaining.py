"""The explaining of a row's answer, for a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .._engine.answers.explain import Explanation, Place, explain_effect, stored_messages
from .._engine.answers.explain import explain as explain_request
from .._engine.answers.looked_up import LookedUp
from .._engine.calls.jobs import Job
from .._engine.calls.keys import Keyring, identity_of
from .._engine.ledger.file import reader_of
from .._engine.rows.copies import taken_row
from ..errors import ConfigurationError, described
from ..structured import json_schema_of
from ..types import GenerationRequest
from .forms import noted_config
from .rerunning import retelling_of
from .work import TaskWork

if TYPE_CHECKING:
    from .._engine.stream.retelling import Retelling
    from ..types import Request, Row
    from .task import ModelTask


def explain(task: ModelTask, row: Row | None, *, run_dir: str | Path, id: str) -> Explanation:
    """Explain a row's answer, or its conversation; see `Task.explain`."""
    retelling = retelling_of(task)
    if retelling is not None and row is not None:
        return _explain_turns(task, retelling, taken_row(row), run_dir=run_dir, id=id)
    if task.converse is not None:
        raise ConfigurationError(
            f"Task {task.name!r} asks in conversations, which are explained from their rows: give the row itself. It "
            "can be read anew only where a source leads to the task."
        )
    request = _request_as_stored(task, run_dir, id) if row is None else TaskWork(task).prepare(taken_row(row))
    return _explained(task, Place(task.name, id), request, run_dir=run_dir)


def _explained(task: ModelTask, place: Place, request: Request, *, run_dir: str | Path, who: int = 0) -> Explanation:
    llm = task._llms()[who]  # noqa: SLF001 - its own part
    keyring = Keyring(identity_of(llm))
    return explain_request(run_dir, place=place, request=request, keyring=keyring, config=noted_config(task))


def _explain_turns(task: ModelTask, retelling: Retelling, row: Row, *, run_dir: str | Path, id: str) -> Explanation:
    """Go through what is stored, and explain the first turn that is not; the last where all are."""
    job = Job(0, id, row, task.num_generations)
    if retelling.talk is None:
        job.request = TaskWork(task).prepare(row)
    keyrings = [Keyring(identity_of(llm)) for llm in task._llms()]  # noqa: SLF001 - its own part
    with reader_of(run_dir) as reader:
        looked_up = LookedUp(reader, Path(run_dir), task.name, keyrings)
        outcomes = retelling(job, looked_up)
    sample, turn = looked_up.missing or looked_up.last or (0, None)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    missing = looked_up.missing is not None
    end = described(errors[0]) if errors and not missing else None
    place = Place(task.name, id, sample, turn, looked_up.turns, missing, end)
    if looked_up.done is not None:
        return explain_effect(run_dir, place=place, effect=looked_up.done)
    if looked_up.asked is None:  # nothing is asked about this row
        return Explanation(task.name, id, "", {}, found=True, call=None, stored_row=None, turns=0, end=end)
    who, request = looked_up.asked
    return _explained(task, place, request, run_dir=run_dir, who=who)


def _request_as_stored(task: ModelTask, run_dir: str | Path, id: str) -> GenerationRequest:
    """The prompt of the time, asked as the task would ask now."""
    return GenerationRequest(
        messages=stored_messages(run_dir, step=task.name, row=id),
        parameters=dict(getattr(task.llm, "generation_kwargs", None) or {}),
        output_schema=json_schema_of(getattr(task, "output_schema", None)),
    )
