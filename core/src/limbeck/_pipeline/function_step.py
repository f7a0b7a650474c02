"""`@step`: a step from a function."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .._step import GlobalStep, Step
from ..errors import PluginContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..types import Row


def step(
    *,
    inputs: Sequence[str] | Mapping[str, bool] = (),
    outputs: Sequence[str] | Mapping[str, bool] = (),
    dropped: Sequence[str] = (),
    version: str = "1",
    stored: bool = False,
    cpu_bound: bool = False,
    all_rows: bool = False,
) -> Callable[[Callable[[Any], Any]], type[Step]]:
    """Make a step class of a function of a row.

    The function returns the row that goes on, a list of rows, or None for none; what it
    returns replaces the row, so it says `{**row, "new": …}`.

        @step(inputs=["text"], outputs=["length"])
        def measure(row):
            return {**row, "length": len(row["text"])}

        rows >> measure() >> judge

    Args:
        inputs: the columns it reads. outputs: the columns it adds. dropped: those it takes away.
        version, stored, cpu_bound: as for `Step`.
        all_rows: the function is given the list of all rows, and returns a list.

    Raises:
        PluginContractError: the function does not take one argument, or is a coroutine.
    """

    def decorate(function: Callable[[Any], Any]) -> type[Step]:
        _check_function(function)
        namespace: dict[str, Any] = {
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
            "__doc__": function.__doc__,
            "version": version,
            "stored": stored,
            "cpu_bound": cpu_bound,
            "inputs": property(lambda _self: inputs),
            "outputs": property(lambda _self: outputs),
            "dropped": property(lambda _self: dropped),
            "process": _process_all(function) if all_rows else _process_each(function),
        }
        name = "".join(word.capitalize() for word in function.__name__.split("_"))
        base = GlobalStep if all_rows else Step
        return types.new_class(name, (base,), exec_body=lambda body: body.update(namespace))

    return decorate


def _check_function(function: Callable[[Any], Any]) -> None:
    try:
        inspect.signature(function).bind(None)
        fits = not inspect.iscoroutinefunction(function)
    except TypeError:
        fits = False
    if not fits:
        raise PluginContractError(
            f"`@step` on `{function.__name__}`", ["it must be a plain function of one argument, the row"]
        )


def _process_each(function: Callable[[Any], Any]) -> Callable[..., Iterator[list[Row]]]:
    def process(_self: Any, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            yield _rows_of(function(row))

    return process


def _rows_of(made: Any) -> list[Row]:
    """What a function of a row returned, as rows."""
    if isinstance(made, dict):
        return [made]
    if made is None:
        return []
    if isinstance(made, str) or not isinstance(made, Iterable):
        raise TypeError(f"it returned {type(made).__name__}, where a row (a dict), a list of rows or None is expected")
    return list(made)


def _process_all(function: Callable[[Any], Any]) -> Callable[..., Iterator[list[Row]]]:
    def process(_self: Any, inputs: list[Row]) -> Iterator[list[Row]]:
        yield list(function(inputs))

    return process
