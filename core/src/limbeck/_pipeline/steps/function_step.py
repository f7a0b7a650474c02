"""`@step`: a step from a function."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..._engine.threads.reading import let_go
from ..._function_class import check_function, class_of
from ..._step import GlobalStep, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ...types import Row

_CHUNK_ROWS = 256


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
            yield from _chunks_of(function(row))

    return process


def _chunks_of(made: Any) -> Iterator[list[Row]]:
    """The rows that a function of a row returned: one list, unless a generator makes very many."""
    if isinstance(made, dict):
        yield [made]
        return
    if made is None:
        yield []
        return
    if isinstance(made, str) or not isinstance(made, Iterable):
        raise TypeError(f"it returned {type(made).__name__}, where a row (a dict), a list of rows or None is expected")
    if isinstance(made, Generator):
        yield from _in_chunks(made)
    else:
        yield list(made)


def _in_chunks(made: Generator[Row]) -> Iterator[list[Row]]:
    try:
        yield list(islice(made, _CHUNK_ROWS))
        while chunk := list(islice(made, _CHUNK_ROWS)):
            yield chunk
    finally:
        let_go(made)


def _process_all(function: Callable[[Any], Any]) -> Callable[..., Iterator[list[Row]]]:
    def process(_self: Any, inputs: list[Row]) -> Iterator[list[Row]]:
        made = function(inputs)
        if isinstance(made, Generator):
            yield from _in_chunks(made)
        else:
            yield list(made)

    return process
