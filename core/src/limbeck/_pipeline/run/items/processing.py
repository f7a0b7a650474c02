"""A plain step's work on rows, in a thread or in a process of a pool."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from ...._engine.rows.copies import is_row, own_row, row_fault
from ...._step import required_columns
from ....errors import ConfigurationError, GenerationError, RowError, described, has_message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import ProcessPoolExecutor

    from ....types import Row

# A chunk goes back after this time, so that rows that are done do not wait for those that are not.
_CHUNK_SECONDS = 0.02

Result: TypeAlias = "tuple[list[Any], GenerationError | None]"
"""What came of a row (rows, or for a router the names of steps), and the error if it failed."""


class RowProcessor:
    """The work of a step, on one row at a time.

    Args:
        step: anything with `process`; for a router, its `destinations` is asked.
    """

    def __init__(self, step: Any) -> None:
        self._step = step
        self._name: str = step.name
        self._routes = hasattr(step, "destinations")
        inputs: dict[str, str] = getattr(step, "input_mappings", {})
        self._renamed_in = {own: column for own, column in inputs.items() if own != column}
        self._renamed_out = dict(getattr(step, "output_mappings", {}))
        self._required = [] if self._routes else [inputs.get(name, name) for name in required_columns(step.inputs)]

    def chunk(self, rows: Sequence[Row]) -> list[Result]:
        """The results of the first of `rows`: as many as its time allows, at least one."""
        until = time.monotonic() + _CHUNK_SECONDS
        results: list[Result] = []
        for row in rows:
            results.append(self.one(row))
            if time.monotonic() > until:
                break
        return results

    def one(self, row: Row) -> Result:
        """Have the step work on one row."""
        try:
            for column in self._required:
                if column not in row:
                    raise RowError(f"The row lacks the column `{column}`, which step {self._name!r} needs.")
            if self._routes:
                return self._step.destinations(own_row(row)), None
            return self._processed(row), None
        except GenerationError as exc:
            return [], exc if has_message(exc) else self._raised(exc)
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of steps: one row, an author's `sys.exit` too
            return [], self._raised(exc)

    def _raised(self, cause: BaseException) -> RowError:
        kind = "Router" if self._routes else "Step"
        error = RowError(f"{kind} {self._name!r} raised {described(cause)}")
        error.__cause__ = cause
        return error

    def _processed(self, row: Row) -> list[Row]:
        given = own_row(row)
        given |= {own: given[column] for own, column in self._renamed_in.items() if column in given}
        made = [_made(each) for chunk in self._step.process([given]) for each in chunk]
        if self._renamed_in or self._renamed_out:
            return [self._with_the_rows_names(each, row) for each in made]
        return made

    def _with_the_rows_names(self, made: Row, row: Row) -> Row:
        aliases = {own for own in self._renamed_in if own not in row}
        return {self._renamed_out.get(name, name): value for name, value in made.items() if name not in aliases}


def all_rows(step: Any, rows: list[Row]) -> list[Row]:
    """Have a step work on all rows at once."""
    return [_made(row) for chunk in step.process([own_row(row) for row in rows]) for row in chunk]


def _made(row: Any) -> Row:
    """A row that a step yielded, as a dict of its own: the step may go on to fill a list that it has given."""
    if not is_row(row):
        raise TypeError(f"`process` yielded {type(row).__name__} where a row, a dict, is expected")
    fault = row_fault(row)
    if fault is not None:
        raise ValueError(fault)
    return own_row(row if isinstance(row, dict) else {name: row[name] for name in row.keys()})  # noqa: SIM118 - `sqlite3.Row` iterates over values


# In a process of a pool: the processor of the step that it works for.
_processor: RowProcessor | None = None


def process_pool(step: Any, processes: int) -> ProcessPoolExecutor:
    """A pool in which each process has a copy of `step`, loaded.

    Raises:
        ConfigurationError: the step cannot be pickled.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    try:
        payload = pickle.dumps(step)
    except Exception as exc:
        raise ConfigurationError(
            f"The step {step.name!r} is `cpu_bound`, and cannot be sent to another process: {described(exc)}. "
            "Define its class at the top level of a module, and give it no open files or functions made on the fly."
        ) from exc
    # Spawned: a fork would copy this process's locks, whose holders are threads that do not come along.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(payload,))


def _begin(payload: bytes) -> None:
    global _processor  # noqa: PLW0603 - a process of the pool works for one step
    step = pickle.loads(payload)  # noqa: S301 - what the parent has just made
    if hasattr(step, "load"):
        step.load()
    _processor = RowProcessor(step)


def chunk_in_process(rows: Sequence[Row]) -> list[Result]:
    """Work as `RowProcessor.chunk`, in a process of the pool."""
    assert _processor is not None  # `_begin` has run in every process of the pool
    return _processor.chunk(rows)
