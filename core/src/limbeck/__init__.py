"""Limbeck: LLM tasks over rows of data, from plugins found at run time.

Every name here is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._engine.calls.turns import ask, do
    from ._engine.money.budget import Budget
    from ._llm.llm import LLM
    from ._pipeline.pipeline import Pipeline
    from ._pipeline.steps.function_step import step
    from ._pipeline.steps.routing import join, router
    from ._registry.hooks import hookimpl, register_plugin
    from ._registry.registry import (
        get_llm,
        get_step,
        get_task,
        list_llms,
        list_steps,
        list_tasks,
        list_tools,
        refresh,
        register_llm,
        register_step,
        register_task,
        register_tool,
    )
    from ._step import GeneratorStep, GlobalStep, Sink, Step
    from ._task.decorator import task
    from ._task.task import GeneratorTask, LLMField, Task
    from .tools import get_tool, run_tools, tool

__version__ = "0.1.0"

_HOME = {
    "Budget": "._engine.money.budget",
    "LLM": "._llm.llm",
    "LLMField": "._task.task",
    "GeneratorStep": "._step",
    "GeneratorTask": "._task.task",
    "GlobalStep": "._step",
    "Pipeline": "._pipeline.pipeline",
    "Sink": "._step",
    "Step": "._step",
    "Task": "._task.task",
    "ask": "._engine.calls.turns",
    "do": "._engine.calls.turns",
    "get_llm": "._registry.registry",
    "get_step": "._registry.registry",
    "get_task": "._registry.registry",
    "get_tool": ".tools",
    "hookimpl": "._registry.hooks",
    "join": "._pipeline.steps.routing",
    "list_llms": "._registry.registry",
    "list_steps": "._registry.registry",
    "list_tasks": "._registry.registry",
    "list_tools": "._registry.registry",
    "refresh": "._registry.registry",
    "register_llm": "._registry.registry",
    "register_plugin": "._registry.hooks",
    "register_step": "._registry.registry",
    "register_task": "._registry.registry",
    "register_tool": "._registry.registry",
    "router": "._pipeline.steps.routing",
    "run_tools": ".tools",
    "step": "._pipeline.steps.function_step",
    "task": "._task.decorator",
    "tool": ".tools",
}

__all__ = [
    "LLM",
    "Budget",
    "GeneratorStep",
    "GeneratorTask",
    "GlobalStep",
    "LLMField",
    "Pipeline",
    "Sink",
    "Step",
    "Task",
    "ask",
    "do",
    "get_llm",
    "get_step",
    "get_task",
    "get_tool",
    "hookimpl",
    "join",
    "list_llms",
    "list_steps",
    "list_tasks",
    "list_tools",
    "refresh",
    "register_llm",
    "register_plugin",
    "register_step",
    "register_task",
    "register_tool",
    "router",
    "run_tools",
    "step",
    "task",
    "tool",
]


if not TYPE_CHECKING:  # or a type checker would take every misspelt name for one of these

    def __getattr__(name: str) -> object:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module 'limbeck' has no attribute {name!r}")
        value = getattr(importlib.import_module(home, __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
