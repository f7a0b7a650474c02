"""A plain step's work on rows, in a thread or in a process of a pool."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from ...._engine.rows.copies import is_row, own_row, row_fault
from ...._engine.threads.reading import let_go
from ...._step import required_columns
from ....errors import ConfigurationError, GenerationError, RowError, described, has_message

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from concurrent.futures import ProcessPoolExecutor

    from ....types import Row

# A chunk goes back after this time, so that rows that are done do not wait for those that are not.
_CHUNK_SECONDS = 0.02

_PART_ROWS = 256  # of one row, that go on before the others are made
_MOST_OF_ONE = 100_000  # rows of one row, in a process that cannot give them in parts

Result: TypeAlias = "tuple[list[Any], GenerationError | None]"
"""What came of a row (rows, or for a router the names of steps), and the error if it failed."""


class Part(list[Any]):
    """Rows that came of a row of which more will come: so many, or none as yet."""


class RowProcessor:
    """The work of a step, on one row at a time.

    Args:
        step: anything with `process`; for a router, its `destinations` is asked.
        parts: whether a row may be given in parts; the first of the next rows is then the same again.
    """

    def __init__(self, step: Any, *, parts: bool = False) -> None:
        self._step = step
        self._parts = parts
        self._open: Generator[Row | None] | None = None  # what makes the rest of the row that is given in parts
        self._made: list[Row] = []  # of that row, not given yet
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
            if time.monotonic() > until or type(results[-1][0]) is Part:
                break
        return results

    def one(self, row: Row) -> Result:
        """Have the step work on one row."""
        try:
            if self._open is None:
                for column in self._required:
                    if column not in row:
                        raise RowError(f"The row lacks the column `{column}`, which step {self._name!r} needs.")
            if self._routes:
                return self._step.destinations(own_row(row)), None
            return self._processed(row), None
        except GenerationError as exc:
            self.close()
            return [], exc if has_message(exc) else self._raised(exc)
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of steps: one row, an author's `sys.exit` too
            self.close()
            return [], self._raised(exc)

    def close(self) -> None:
        """Let go of what makes the rest of a row that is given in parts."""
        making, self._open, self._made = self._open, None, []
        let_go(making)

    def _raised(self, cause: BaseException) -> RowError:
        kind = "Router" if self._routes else "Step"
        error = RowError(f"{kind} {self._name!r} raised {described(cause)}")
        error.__cause__ = cause
        return error

    def _processed(self, row: Row) -> list[Row]:
        if self._open is None:
            self._open, self._made = self._each(row), []
        until = time.monotonic() + _CHUNK_SECONDS
        for made in self._open:
            if made is not None:
                self._made.append(made)
            if not self._parts:
                if len(self._made) > _MOST_OF_ONE:
                    raise RowError(
                        f"Step {self._name!r} makes more than {_MOST_OF_ONE:,} rows of one, and a step that is "
                        "`cpu_bound` or `stored` gives them all at once."
                    )
            elif len(self._made) == _PART_ROWS:
                part, self._made = Part(self._made), []
                return part
            elif time.monotonic() > until:
                return Part()
        rows, self._open, self._made = self._made, None, []
        return rows

    def _each(self, row: Row) -> Generator[Row | None]:
        """Each row that comes of a row, and None after each list of them."""
        given = own_row(row)
        given |= {own: given[column] for own, column in self._renamed_in.items() if column in given}
        making = self._step.process([given])
        try:
            for chunk in making:
                for each in chunk:
                    made = _made(each)
                    renamed = self._renamed_in or self._renamed_out
                    yield self._with_the_rows_names(made, row) if renamed else made
                yield None
        finally:
            let_go(making)

    def _with_the_rows_names(self, made: Row, row: Row) -> Row:
        aliases = {own for own in self._renamed_in if own not in row}
        return {self._renamed_out.get(name, name): value for name, value in made.items() if name not in aliases}


class AllRows:
    """The rows that a step makes of all rows at once, in chunks."""

    def __init__(self, step: Any, rows: list[Row]) -> None:
        self._making = _made_of_all(step, rows)

    def chunk(self, most: int) -> Part | list[Row]:
        """The next rows, a `Part` as long as more may come."""
        until = time.monotonic() + _CHUNK_SECONDS
        rows = Part()
        for row in self._making:
            if row is not None:
                rows.append(row)
            if len(rows) == most or time.monotonic() > until:
                return rows
        return list(rows)

    def close(self) -> None:
        """Make no more."""
        self._making.close()


def _made_of_all(step: Any, rows: list[Row]) -> Generator[Row | None]:
    making = step.process([own_row(row) for row in rows])
    try:
        for chunk in making:
            yield from map(_made, chunk)
            yield None
    finally:
        let_go(making)


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
