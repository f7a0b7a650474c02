"""Rows of any kind that people hold in memory, as a source."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from ..._engine.rows.copies import is_row
from ..._engine.rows.tables import CHUNK_ROWS, chunks_of_table, columns_of_table, is_table, refuse_series
from ..._engine.threads.reading import let_go
from ..._step import GeneratorStep, LoadDataFromDicts
from ...errors import ConfigurationError

if TYPE_CHECKING:
    from ...types import Row


class Rows(GeneratorStep):
    """A source of rows that are there already: what `rows >> step` and `p.run(rows)` make.

    Attributes:
        rows: an iterable of mappings, a pyarrow table, data set, reader or batch, a pandas or polars
            frame, a `datasets.Dataset`, or (in `arun` and `stream`) an async iterable.
    """

    rows: Any

    _iterated: bool = PrivateAttr(default=False)

    @property
    def outputs(self) -> list[str]:
        return _columns(self.rows)

    def load(self) -> None:
        """Make sure that the rows are still there.

        Raises:
            ConfigurationError: they came from an iterator, which an earlier run has used up.
        """
        if self._iterated and isinstance(self.rows, Iterator | AsyncIterator):
            raise ConfigurationError(
                f"The rows of {self.name!r} come from an iterator, and an earlier run has used it up. Make the "
                "pipeline anew with a new iterator, or give it what can be iterated again: a list, a table, a source."
            )
        self._iterated = True

    def count(self) -> int | None:
        """The number of rows, or None where that is not known."""
        return len(self.rows) if hasattr(self.rows, "__len__") else None

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:  # noqa: ARG002 - a source takes none
        return chunks_of(self.rows)


def source_of(rows: Any, name: str = "rows") -> GeneratorStep:
    """A source of `rows`.

    Raises:
        ConfigurationError: it is nothing that rows can be taken from.
    """
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return LoadDataFromDicts.model_construct(name=name, data=rows, batch_size=CHUNK_ROWS)
    refuse_series(rows)
    one = not is_table(rows) and is_row(rows)
    if one or isinstance(rows, str | bytes) or not (is_table(rows) or isinstance(rows, Iterable | AsyncIterable)):
        raise ConfigurationError(
            f"A pipeline takes its rows from a step, a list of dicts, a table or an iterable, not from "
            f"{'one row' if type(rows) is dict else f'`{type(rows).__name__}`'}."
        )
    if isinstance(rows, list) and not any(map(is_row, rows)):
        raise ConfigurationError(
            f"A row is a dict of columns, and these are a list of `{type(rows[0]).__name__}`. Name the column: "
            '`[{"instruction": each} for each in …]`.'
        )
    return Rows(name=name, rows=rows)


def chunks_of(rows: Any) -> Iterator[list[Row]]:
    """The rows as dicts: those of a table in lists of a few hundred, others one by one, as they come."""
    if is_table(rows):
        yield from chunks_of_table(rows)
        return
    try:
        for row in rows:
            yield [row]
    finally:
        let_go(rows)


def _columns(rows: Any) -> list[str]:
    """The columns of a table; none for what only iterating can tell."""
    if is_table(rows):
        return columns_of_table(rows)
    names = getattr(rows, "column_names", None)  # of data sets of `datasets`
    return list(names) if isinstance(names, list) else []
