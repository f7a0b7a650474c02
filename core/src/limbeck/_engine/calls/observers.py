"""Who observes a run, and what they are told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .context import inside
from .stats import RunStats, WatchedStats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context
    from typing import TypeAlias

    from ..._registry.hooks import Hooks

    Observe: TypeAlias = Callable[..., None]


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """What observers are told about a pipeline's run.

    Attributes:
        id: unique to the run. name: the pipeline's.
        steps: the names of its steps, in topological order. edges: from and to, by name.
    """

    id: str
    name: str
    steps: Sequence[str]
    edges: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What observers are told about the run they observe: of a task, or of another step of a pipeline.

    Attributes:
        id: unique to the run. task: the task's or step's name. model_name: the LLM's; None for a step without one.
        kind: "task", or what else it is in a pipeline: "source", "step", "router", "join", "global", "sink".
        stats: its counters, live, to be read. pipeline: the one that it is a part of, or None.
    """

    id: str
    task: str
    model_name: str | None
    kind: str = "task"
    stats: RunStats = field(default_factory=RunStats)
    pipeline: PipelineInfo | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.stats, WatchedStats):
            object.__setattr__(self, "stats", WatchedStats(self.stats))


class Observers:
    """The observers of each hook, looked up once a run; None where there are none.

    Args:
        context: the context variables of whoever called; each observer is run in a copy of it.
    """

    __slots__ = (
        "request_failed",
        "request_finished",
        "request_started",
        "row_failed",
        "rows_written",
        "run_finished",
        "run_started",
    )

    def __init__(self, hooks: Hooks, context: Context) -> None:
        for name in self.__slots__:
            observer = hooks.observer(f"limbeck_{name}")
            setattr(self, name, None if observer is None else inside(context, observer))

    request_failed: Observe | None
    request_finished: Observe | None
    request_started: Observe | None
    row_failed: Observe | None
    rows_written: Observe | None
    run_finished: Observe | None
    run_started: Observe | None
