"""Limbeck: LLM tasks over rows of data, from plugins found at run time.

Every name here is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._engine.calls.turns import ask, do
    from ._engine.money.budget import Budget
    from ._llm.fields import EmbedderField, ImageGeneratorField, ScorerField
    from ._llm.kinds import Embedder, ImageGenerator, Scorer
    from ._llm.llm import LLM
    from ._pipeline.pipeline import Pipeline
    from ._pipeline.steps.function_step import step
    from ._pipeline.steps.routing import join, router
    from ._registry.hooks import hookimpl, register_plugin
    from ._registry.registry import (
        get_embedder,
        get_image_generator,
        get_llm,
        get_scorer,
        get_step,
        get_task,
        list_embedders,
        list_image_generators,
        list_llms,
        list_scorers,
        list_steps,
        list_tasks,
        list_tools,
        refresh,
        register_embedder,
        register_image_generator,
        register_llm,
        register_scorer,
        register_step,
        register_task,
        register_tool,
    )
    from ._step import GeneratorStep, GlobalStep, Sink, Step
    from ._task.decorator import task
    from ._task.kinds import EmbeddingTask, ImageTask, ScoringTask
    from ._task.task import GeneratorTask, LLMField, ModelTask, Task
    from .tools import get_tool, run_tools, tool

__version__ = "0.1.0"

_HOME = {
    "Budget": "._engine.money.budget",
    "Embedder": "._llm.kinds",
    "EmbedderField": "._llm.fields",
    "EmbeddingTask": "._task.kinds",
    "GeneratorStep": "._step",
    "GeneratorTask": "._task.task",
    "GlobalStep": "._step",
    "ImageGenerator": "._llm.kinds",
    "ImageGeneratorField": "._llm.fields",
    "ImageTask": "._task.kinds",
    "LLM": "._llm.llm",
    "LLMField": "._task.task",
    "ModelTask": "._task.task",
    "Pipeline": "._pipeline.pipeline",
    "Scorer": "._llm.kinds",
    "ScorerField": "._llm.fields",
    "ScoringTask": "._task.kinds",
    "Sink": "._step",
    "Step": "._step",
    "Task": "._task.task",
    "ask": "._engine.calls.turns",
    "do": "._engine.calls.turns",
    "get_embedder": "._registry.registry",
    "get_image_generator": "._registry.registry",
    "get_llm": "._registry.registry",
    "get_scorer": "._registry.registry",
    "get_step": "._registry.registry",
    "get_task": "._registry.registry",
    "get_tool": ".tools",
    "hookimpl": "._registry.hooks",
    "join": "._pipeline.steps.routing",
    "list_embedders": "._registry.registry",
    "list_image_generators": "._registry.registry",
    "list_llms": "._registry.registry",
    "list_scorers": "._registry.registry",
    "list_steps": "._registry.registry",
    "list_tasks": "._registry.registry",
    "list_tools": "._registry.registry",
    "refresh": "._registry.registry",
    "register_embedder": "._registry.registry",
    "register_image_generator": "._registry.registry",
    "register_llm": "._registry.registry",
    "register_plugin": "._registry.hooks",
    "register_scorer": "._registry.registry",
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
    "Embedder",
    "EmbedderField",
    "EmbeddingTask",
    "GeneratorStep",
    "GeneratorTask",
    "GlobalStep",
    "ImageGenerator",
    "ImageGeneratorField",
    "ImageTask",
    "LLMField",
    "ModelTask",
    "Pipeline",
    "Scorer",
    "ScorerField",
    "ScoringTask",
    "Sink",
    "Step",
    "Task",
    "ask",
    "do",
    "get_embedder",
    "get_image_generator",
    "get_llm",
    "get_scorer",
    "get_step",
    "get_task",
    "get_tool",
    "hookimpl",
    "join",
    "list_embedders",
    "list_image_generators",
    "list_llms",
    "list_scorers",
    "list_steps",
    "list_tasks",
    "list_tools",
    "refresh",
    "register_embedder",
    "register_image_generator",
    "register_llm",
    "register_plugin",
    "register_scorer",
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
