"""The context variables of whoever called, for what authors wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context


def inside(context: Context, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, each call of which runs in a copy of `context`: what it sets there, no other call sees."""
    copied = context.copy

    def run(*arguments: Any, **options: Any) -> Any:
        return copied().run(function, *arguments, **options)

    return run
