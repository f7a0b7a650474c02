"""Tools as effects of a conversation, each known in the ledger by the tool's own name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .._engine.calls.turns import do
from ..errors import ToolError
from ._tool import is_coroutine_function

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._engine.calls.turns import Do

_SECONDS = 60.0
_AT_ONCE = 8

# The end of the message for a result that is the tool's own fault, which no model can mend.
UNFIT = "A tool returns text, or what JSON can hold."


class _Effect:
    """A function of a tool, equal for all its calls: the engine bounds them together."""

    def __init__(self, source: Any, member: str | None, function: Callable[..., Any], name: str) -> None:
        self._source = source
        self._member = member
        self._function = function
        self.__qualname__ = name

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Effect)
            and self._source is other._source
            and (self._member, self.__qualname__) == (other._member, other.__qualname__)
        )

    def __hash__(self) -> int:
        return hash((id(self._source), self._member, self.__qualname__))


class _Blocking(_Effect):
    """One that runs in a thread."""

    def __call__(self, *arguments: Any) -> Any:
        return _fitting(self.__qualname__, self._function(*arguments))


class _Awaited(_Effect):
    """One that runs on the engine's event loop."""

    async def __call__(self, *arguments: Any) -> Any:
        return _fitting(self.__qualname__, await self._function(*arguments))


def called(source: Any, member: str | None, name: str, arguments: dict[str, Any], *, tell: bool) -> Do:
    """The effect that calls a tool.

    Args:
        source: the tool, or the set of tools that it is of. member: what the set calls it, where it is of one.
        name: what the model calls it. tell: whether a failure is given in place of the result, and not raised.
    """
    function = source.call if member is None else source.call_tool
    given = (arguments,) if member is None else (member, arguments)
    return _effect(source, member, function, name, *given, on_error="return" if tell else "raise")


def listed(source: Any) -> Do:
    """The effect that asks a set of tools for them."""
    name = getattr(source, "name", None)
    whose = f"{type(source).__qualname__}.list_tools" + (f" of {name}" if isinstance(name, str) else "")
    return _effect(source, None, source.list_tools, whose)


def _effect(
    source: Any, member: str | None, function: Callable[..., Any], name: str, *arguments: Any, **options: Any
) -> Do:
    kind = _Awaited if is_coroutine_function(function) else _Blocking
    seconds: Any = getattr(source, "deadline", None) or getattr(source, "timeout", _SECONDS)
    return do(
        kind(source, member, function, name),
        *arguments,
        timeout=seconds,
        max_concurrency=getattr(source, "max_concurrency", _AT_ONCE),
        **options,
    )


def _fitting(tool: str, result: Any) -> Any:
    """The result, which JSON can hold.

    Raises:
        ToolError: it cannot.
    """
    try:
        json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        what = type(result).__name__
        raise ToolError(
            f"The tool `{tool}` returned a {what}, which JSON cannot hold ({exc}). {UNFIT}", tool=tool
        ) from exc
    return result
