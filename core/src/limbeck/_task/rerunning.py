"""The plan of a task that asks about some rows of a run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._engine.answers.condition import Condition
from .._engine.answers.rerun import RerunPlan
from .._engine.calls.keys import Keyring, identity_of
from .._llm.resolving import resolve_model
from ..errors import ConfigurationError
from .work import TaskWork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._engine.answers.condition import Where
    from .task import ModelTask


def plan_of(task: ModelTask, *, where: Where, llm: Any, parameters: Mapping[str, Any]) -> tuple[ModelTask, RerunPlan]:
    """The task that asks, and what it asks.

    Args:
        task: as it was in the run. where: which answers are meant.
        llm: who is asked instead, or None. parameters: what changes in its `generation_kwargs`.

    Raises:
        ConfigurationError: the condition cannot be read, or a parameter is not the LLM's.
    """
    condition = Condition(where)
    asked = task.llm if llm is None else resolve_model(task.model_kind, llm)
    if parameters:
        asked = with_parameters(asked, parameters)
    plan = RerunPlan(
        condition=condition,
        reader=TaskWork(task, type(task).schema_for),
        keyring=Keyring(identity_of(task.llm)),
        parameters=_parameters_of(task.llm),
        changed=_asks_otherwise(task.llm, asked),
        config=task.model_dump(mode="json", fallback=str),
    )
    return task.model_copy(update={task.model_kind: asked}), plan


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
