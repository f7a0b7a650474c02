"""The field of a task that holds tools: names, mappings and objects in, a configuration out."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, PlainSerializer

from .._registry.registry import default_registry
from ._tool import Tool, tool_of


def _tools_of(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [tool_of(each) for each in value]
    return [tool_of(value)]


def _configs(tools: list[Any]) -> list[Any]:
    return [config_of(each) for each in tools]


def config_of(tool: Any) -> Any:
    """The configuration of a tool as plain JSON: its registered name, and the fields that were set."""
    registered: Any = tool.function if isinstance(tool, Tool) else type(tool)
    name = default_registry().name_of("tool", registered) or f"{registered.__module__}:{registered.__qualname__}"
    if isinstance(tool, BaseModel):
        return {"tool": name, **tool.model_dump(mode="json", exclude_unset=True)}
    return name


ToolsField: TypeAlias = Annotated[list[Any], BeforeValidator(_tools_of), PlainSerializer(_configs)]
"""The type of a task's field of tools: each a typed function, an object, a registered name, or
`{"tool": name, **fields}`."""
