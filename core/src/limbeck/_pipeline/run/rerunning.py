"""The task of a pipeline that asks again, and what it asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..._engine.answers.rerun import Follower
from ..._task.rerunning import plan_of, retelling_of
from ..._task.task import ModelTask
from ..._task.work import TaskWork
from ...errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._engine.answers.condition import Where
    from ..._engine.answers.rerun import RerunPlan
    from ..graph.graph import Graph


def plan_for(
    graph: Graph,
    step: str | None,
    *,
    where: Where,
    llm: Any,
    parameters: Mapping[str, Any],
    from_turn: int | None = None,
) -> dict[str, tuple[ModelTask, RerunPlan]]:
    """The task that asks in place of the one as it was, with the plan, under its name.

    Raises:
        ConfigurationError: there is no such task, or there are several and none is named.
    """
    task = task_of(graph, step)
    asking, plan = plan_of(task, where=where, llm=llm, parameters=parameters, from_turn=from_turn)
    return {task.name: (asking, replace(plan, followers=_downstream(graph, task.name)))}


def _downstream(graph: Graph, name: str) -> list[Follower]:
    """The tasks that what comes of a task goes through, in order."""
    behind = {name}
    found = []
    for each, step in graph.steps.items():  # in topological order
        if behind.isdisjoint(graph.before(each)):
            continue
        behind.add(each)
        if isinstance(step, ModelTask):
            columns = [step.output_mappings.get(column, column) for column in step.outputs]
            retold, talks = retelling_of(step), step.converse is not None
            found.append(Follower(each, TaskWork(step), columns, retold=retold, talks=talks))
    return found


def task_of(graph: Graph, step: str | None) -> ModelTask:
    """The task of that name, or the only one.

    Raises:
        ConfigurationError: there is no such task, or there are several and none is named.
    """
    tasks = {name: task for name, task in graph.steps.items() if isinstance(task, ModelTask)}
    listed = ", ".join(map(repr, tasks)) or "none"
    if step is None and len(tasks) != 1:
        raise ConfigurationError(f"The pipeline {graph.name!r} has {len(tasks)} tasks ({listed}); name the step.")
    name = step if step is not None else next(iter(tasks))
    if name not in tasks:
        raise ConfigurationError(
            f"The pipeline {graph.name!r} has no task {name!r}.{did_you_mean(name, tasks)} Its tasks are {listed}."
        )
    return tasks[name]
