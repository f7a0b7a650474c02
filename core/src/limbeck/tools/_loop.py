"""The engine's event loop, for what sets of tools hold open there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .._engine.threads.portal import portal

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def on_engine_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine where tools are called, and wait for its result.

    For a set of tools that opens and closes what its calls use; from any thread but that loop's own.

    Raises:
        ConfigurationError: it was called on that loop, where it would wait for itself.
    """
    return portal().wait(coroutine)
