"""`@step`: a step from a function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..._function_class import check_function, class_of
from ..._step import GlobalStep, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ...types import Row


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
        check_function(function, "@step")
        return class_of(
            function,
            GlobalStep if all_rows else Step,
            inputs=inputs,
            outputs=outputs,
            dropped=property(lambda _self: dropped),
            version=version,
            stored=stored,
            cpu_bound=cpu_bound,
            process=_process_all(function) if all_rows else _process_each(function),
        )

    return decorate


def _process_each(function: Callable[[Any], Any]) -> Callable[..., Iterator[list[Row]]]:
    def process(_self: Any, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            yield _rows_of(function(row))

    return process


def _rows_of(made: Any) -> list[Row]:
    """The rows that a function of a row returned."""
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
