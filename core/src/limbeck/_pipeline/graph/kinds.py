"""The kinds of steps, told by what a step has: an object need not be of our classes."""

from __future__ import annotations

from typing import Any

from ..._step import GeneratorStep, GlobalStep, Sink


def kind_of(step: Any) -> str:
    """The kind of a step in a pipeline: "source", "sink", "router", "join", "task", "global" or "step"."""
    if hasattr(step, "llm"):
        return "task"
    for kind, cls in (("source", GeneratorStep), ("sink", Sink), ("global", GlobalStep)):
        if isinstance(step, cls):
            return kind
    return "router" if hasattr(step, "destinations") else "join" if hasattr(step, "joined") else "step"


def is_source(step: Any) -> bool:
    """Tell whether a step makes rows from nothing: a source, or a task that has seeds."""
    return isinstance(step, GeneratorStep) or hasattr(step, "seeds")


def declared_columns(step: Any) -> list[str] | None:
    """The columns of the rows that a source makes, or None where it does not say."""
    if not isinstance(step, GeneratorStep):
        return None
    return [step.output_mappings.get(name, name) for name in step.outputs] or None
