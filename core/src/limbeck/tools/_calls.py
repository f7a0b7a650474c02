"""The tool calls of an answer, as the model meant them: each with its tool and its arguments, or with what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._found_json import refuse_deep
from ..errors import SchemaError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..types import Generation
    from ._offered import Offered

_NO_NAME_CHARACTERS = re.compile(r"[^a-zA-Z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call.

    Attributes:
        id: unique in the conversation. name: as it is sent back to the model.
        tool: None where the name means none. arguments: empty where they cannot be read.
        fault: what the model is told in place of a result; None for a call that can be run.
        others: what else the provider's own form of the call holds, which goes back to it.
    """

    id: str
    name: str
    tool: Offered | None
    arguments: dict[str, Any]
    fault: str | None
    others: Mapping[str, Any]

    @property
    def message_part(self) -> dict[str, Any]:
        """The call in OpenAI's form, whatever form it came in."""
        arguments = json.dumps(self.arguments, ensure_ascii=False)
        function = {"name": self.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function, **self.others}


def calls_of(generation: Generation, tools: Mapping[str, Offered], taken: set[str], *, turn: int) -> list[Call]:
    """The calls of an answer, in order; `taken` are the ids of the conversation, to which theirs are added."""
    given: Sequence[Any] = generation.tool_calls or ()
    return [_call(each, tools, _id(each, taken, f"call_{turn}_{place}")) for place, each in enumerate(given)]


def _id(call: Any, taken: set[str], otherwise: str) -> str:
    """The id of a call; one of our own where it has none, or that of another call."""
    given = call.get("id") if isinstance(call, Mapping) else None
    chosen = given if isinstance(given, str) and given.strip() and given not in taken else otherwise
    while chosen in taken:
        chosen += "_"
    taken.add(chosen)
    return chosen


def _call(call: Any, tools: Mapping[str, Offered], id: str) -> Call:
    parts: Mapping[str, Any] = call if isinstance(call, Mapping) else {}
    function = parts.get("function")
    function = function if isinstance(function, Mapping) else {}
    name = function.get("name")
    name = name.strip() if isinstance(name, str) else ""
    tool = tools.get(name)
    arguments, fault = _arguments(function.get("arguments"))
    if tool is None:
        fault = _unknown(name, tools)
    elif fault is None:
        fault = _misfit(tool, arguments)
    return Call(
        id=id,
        name=name if tool is not None else _NO_NAME_CHARACTERS.sub("_", name)[:64] or "unknown",
        tool=tool,
        arguments=arguments,
        fault=fault,
        others={key: value for key, value in parts.items() if key == "extra_content"},
    )


def _unknown(name: str, tools: Mapping[str, Offered]) -> str:
    known = f"The tools are {', '.join(f'`{each}`' for each in tools)}." if tools else "There are no tools."
    return f"There is no tool named {name!r}.{did_you_mean(name, tools)} {known}"


def _arguments(given: Any) -> tuple[dict[str, Any], str | None]:
    """The arguments, and what is wrong with them. Models send text, and servers objects, or text in a text."""
    if isinstance(given, Mapping):
        given = json.dumps(given, default=str)
    try:
        value = _decoded(given)
        if isinstance(value, str):
            value = _decoded(value)
    except (ValueError, RecursionError) as exc:
        return {}, f"The arguments are not JSON ({exc}): {given!r:.200}. Give one JSON object."
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return {}, f"The arguments must be one JSON object, not a {type(value).__name__}."
    return value, None


def _decoded(given: Any) -> Any:
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    if not isinstance(given, str):
        return given
    refuse_deep(given)
    return json.loads(given, parse_constant=_no_number)


def _no_number(word: str) -> Any:
    raise ValueError(f"JSON has no {word}")


def _misfit(tool: Offered, arguments: dict[str, Any]) -> str | None:
    try:
        tool.check(arguments)
    except (ValueError, SchemaError) as exc:
        return f"The arguments do not fit the tool: {exc}"
    return None
