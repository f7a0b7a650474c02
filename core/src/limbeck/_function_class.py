"""A class from a function of a row: what `@task` and `@step` have in common."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .errors import PluginContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

C = TypeVar("C", bound=type[Any])


def check_function(function: Callable[..., Any], decorator: str) -> None:
    """Raise unless a function can be asked about a row.

    Raises:
        PluginContractError: it does not take one argument, or is a coroutine.
    """
    try:
        inspect.signature(function).bind(None)
        fits = not inspect.iscoroutinefunction(function)
    except TypeError:
        fits = False
    if not fits:
        raise PluginContractError(
            f"`{decorator}` on `{function.__name__}`", ["it must be a plain function of one argument, the row"]
        )


def class_of(function: Callable[..., Any], base: C, *, inputs: Any, outputs: Any, **namespace: Any) -> C:
    """A subclass of `base` in the function's place: `word_count` makes `WordCount`, with its module and its docstring.

    Args:
        inputs, outputs: the columns. namespace: the other attributes.
    """
    body: Mapping[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "inputs": property(lambda _self: inputs),
        "outputs": property(lambda _self: outputs),
        **namespace,
    }
    name = "".join(word.capitalize() for word in function.__name__.split("_"))
    return cast("C", types.new_class(name, (base,), exec_body=lambda attributes: attributes.update(body)))
