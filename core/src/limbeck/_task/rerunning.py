"""The plan of a task that asks about some rows of a run again."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from .._engine.answers.condition import Condition
from .._engine.answers.rerun import RerunPlan
from .._engine.calls.keys import Keyring, identity_of
from .._engine.stream.retelling import Retelling
from .._llm.resolving import resolve_model
from ..errors import ConfigurationError
from .forms import noted_config
from .work import TaskWork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._engine.answers.condition import Where
    from .task import ModelTask


def plan_of(
    task: ModelTask, *, where: Where, llm: Any, parameters: Mapping[str, Any], from_turn: int | None = None
) -> tuple[ModelTask, RerunPlan]:
    """The task that asks, and what it asks.

    Args:
        task: as it was in the run. where: which answers are meant.
        llm: who is asked instead, or None. parameters: what changes in its `generation_kwargs`.
        from_turn: the first turn of a conversation that is asked anew; None for the whole.

    Raises:
        ConfigurationError: the condition cannot be read, a parameter is not the LLM's, or there are no such turns.
    """
    _check_turn(task, from_turn)
    condition = Condition(where)
    asked = task.llm if llm is None else resolve_model(task.model_kind, llm)
    if parameters:
        asked = with_parameters(asked, parameters)
    asking = task.model_copy(update={task.model_kind: asked})
    plan = RerunPlan(
        condition=condition,
        reader=TaskWork(task),
        keyring=Keyring(identity_of(task.llm)),
        parameters=_parameters_of(task.llm),
        changed=_asks_otherwise(task.llm, asked),
        config=noted_config(task),
        asked_with=noted_config(asking),
        retold=retelling_of(task),
        from_turn=from_turn or 0,
    )
    return asking, plan


def retelling_of(task: ModelTask) -> Retelling | None:
    """What goes through the stored turns of a task; None where it asks once about a row, whatever comes of that."""
    work, llms = TaskWork(task), task._llms()  # noqa: SLF001 - its own part
    talk, mending = work.talk(llms), work.mending(llms)
    if talk is None and mending is None:
        return None
    return Retelling(task.name, len(llms), talk, mending, copy_context())


def _check_turn(task: ModelTask, from_turn: int | None) -> None:
    if from_turn is None:
        return
    if task.converse is None:
        raise ConfigurationError(
            f"Task {task.name!r} asks once about a row, so there is no turn to begin at: leave `from_turn` out. It is "
            "for tasks with `converse`."
        )
    if type(from_turn) is not int or from_turn < 1:
        raise ConfigurationError(f"`from_turn` is the number of a turn, from 1, not {from_turn!r}.")


def with_parameters(llm: Any, parameters: Mapping[str, Any]) -> Any:
    """A copy of `llm` that sends other sampling parameters; None as a value takes one out.

    Raises:
        ConfigurationError: it has no `generation_kwargs`, or its provider does not take a parameter.
    """
    fields = getattr(llm, "model_fields_set", None)
    if fields is None or not hasattr(llm, "generation_kwargs"):
        raise ConfigurationError(
            f"`{type(llm).__name__}` has no `generation_kwargs` to change; give another LLM with `llm=`."
        )
    given = {name: getattr(llm, name) for name in fields}
    merged = {**_parameters_of(llm), **parameters}
    given["generation_kwargs"] = {name: value for name, value in merged.items() if value is not None}
    return type(llm)(**given)


def _parameters_of(llm: Any) -> dict[str, Any]:
    return dict(getattr(llm, "generation_kwargs", None) or {})


def _asks_otherwise(before: Any, after: Any) -> bool:
    return (identity_of(before), _parameters_of(before)) != (identity_of(after), _parameters_of(after))
