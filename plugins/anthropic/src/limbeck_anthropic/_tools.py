"""Tools and the choice of one, from OpenAI's form to Anthropic's. What is in Anthropic's form already passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}


def with_wire_tools(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with `tools`, `tool_choice` and `parallel_tool_calls` as the Messages API takes them.

    Raises:
        BadRequestError: one of them cannot be expressed; nothing was sent.
    """
    body = dict(parameters)
    tools, several = body.pop("tools", None), body.pop("parallel_tool_calls", None)
    if not tools:  # an empty list is refused, and so is a choice among none
        body.pop("tool_choice", None)
        return body
    body["tools"] = [_tool(each) for each in tools]
    choice = _choice(body.pop("tool_choice", None))
    if several is False and (choice is None or choice["type"] != "none"):
        choice = {"type": "auto", **(choice or {}), "disable_parallel_tool_use": True}
    return body if choice is None else {**body, "tool_choice": choice}


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool  # type: ignore[no-any-return]  # Anthropic's own, which its API judges
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    named = {"name": function.get("name"), "input_schema": schema}
    return {**named, **{key: function[key] for key in ("description", "strict") if function.get(key) is not None}}


def _choice(choice: Any) -> dict[str, Any] | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _CHOICES:
        return {"type": _CHOICES[choice]}
    if not isinstance(choice, dict) or "type" not in choice:
        raise BadRequestError(
            f"`tool_choice` is {choice!r}; it is 'auto', 'none', 'required', or a tool's "
            "{'type': 'function', 'function': {'name': …}}."
        )
    function = choice.get("function")
    return {"type": "tool", "name": function.get("name")} if isinstance(function, dict) else choice
