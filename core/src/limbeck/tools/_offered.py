"""The tools of one conversation: what a model is told of each, and how each is called."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, PluginContractError, SchemaError
from ._effects import called, listed
from ._tool import Tool, tool_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..types import JSONSchema

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A tool as it is offered to a model, whatever brought it.

    Attributes:
        name: what the model calls it. source: the tool, or the set of tools that it is of.
        member: what a set calls it, where it is of one.
    """

    name: str
    description: str
    parameters: JSONSchema
    source: Any
    member: str | None = None

    @property
    def specification(self) -> dict[str, Any]:
        """The tool in the form of OpenAI's chat API."""
        said = {"description": self.description} if self.description else {}
        return {"type": "function", "function": {"name": self.name, **said, "parameters": self.parameters}}

    def check(self, arguments: dict[str, Any]) -> None:
        """Raise `ValueError` or `SchemaError`, for the model to read, unless the arguments fit."""
        if isinstance(self.source, Tool):
            self.source.check(arguments)
        else:
            _check_schema(self.parameters, arguments)

    def call(self, arguments: dict[str, Any], *, tell: bool) -> Any:
        """The effect that calls it; `tell` makes a result of what it raises."""
        return called(self.source, self.member, self.name, arguments, tell=tell)


def _check_schema(schema: JSONSchema, arguments: dict[str, Any]) -> None:
    """Raise `SchemaError` where the arguments break a plugin's schema; one that cannot be checked is the tool's own."""
    from .._json_schema import bounded, compiled

    text = json.dumps(schema, sort_keys=True)
    try:
        with bounded(json.dumps(arguments)):
            fault = next(compiled(text).iter_errors(arguments), None)
    except Exception:  # noqa: BLE001 - a stranger's schema, or no `jsonschema`: the tool itself will tell
        return
    if fault is not None:
        raise SchemaError(f"at {fault.json_path}: {fault.message}")


def offered_of(tools: Any) -> Generator[Any, Any, dict[str, Offered]]:
    """The tools by name; sets are asked for theirs, as effects.

    Raises:
        ConfigurationError: one of them is none, or two have the same name.
    """
    sources = [tool_of(each) for each in (tools if isinstance(tools, list | tuple) else [tools])]
    sets = [each for each in sources if hasattr(each, "list_tools")]
    lists = dict(zip(map(id, sets), (yield [listed(each) for each in sets]) if sets else (), strict=True))
    found: dict[str, Offered] = {}
    for source in sources:
        for each in _of_set(source, lists[id(source)]) if id(source) in lists else [_of_tool(source)]:
            if each.name in found:
                raise ConfigurationError(
                    f"Two tools have the name {each.name!r}. Give one of them another, as in "
                    "`Tool(function, name='look_up')`, or leave it out."
                )
            found[each.name] = each
    return found


def _of_tool(tool: Any) -> Offered:
    return Offered(name=tool.name, description=tool.description, parameters=tool.parameters, source=tool)


def _of_set(source: Any, given: Any) -> list[Offered]:
    try:
        return [
            Offered(
                name=_NO_NAME.sub("_", each["name"])[:_LONGEST_NAME],
                description=each.get("description") or "",
                parameters=each.get("parameters") or {"type": "object", "properties": {}},
                source=source,
                member=each["name"],
            )
            for each in given
        ]
    except (TypeError, KeyError, AttributeError) as exc:
        cls = type(source)
        raise PluginContractError(
            f"`{cls.__module__}.{cls.__qualname__}`", ["`list_tools` must return dicts with a `name`"]
        ) from exc
