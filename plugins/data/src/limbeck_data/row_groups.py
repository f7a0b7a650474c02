"""Rows into a columnar file, group by group, where each group may turn out to need a wider schema.

A columnar file has one schema. Where a later row has a new column, or a wider value, a new part
is begun with the wider schema, and when all rows are there the parts are copied into one file.
Importing this module imports pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from limbeck.errors import ConfigurationError

from .tables import ColumnClash, columns_of, conformed, schema_of, shapes_of, table_of, widened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.files import Draft
    from limbeck.types import Row

_CHUNK_ROWS = 1_000  # rows that are converted together
_GROUP_BYTES = 16 << 20  # a group ends with as much in memory, however few its rows


class Format(Protocol):
    """A columnar file format."""

    def writer(self, path: Any, schema: pa.Schema) -> Any:
        """Return a writer of tables of `schema` (`write_table`, `close`) for a path or an open file."""

    def tables(self, file: Any) -> Iterator[pa.Table]:
        """The tables of a path or an open file, one after another."""


class RowGroups:
    """One file in the making.

    Args:
        draft: where it is made. target: what messages call it. format: how it is written.
        group_rows: rows of a group. as_text: the columns that are stored as JSON text.
    """

    def __init__(self, draft: Draft, *, target: str, format: Format, group_rows: int, as_text: list[str]) -> None:
        self._draft = draft
        self._target = target
        self._format = format
        self._group_rows = group_rows
        self._as_text = frozenset(as_text)
        self._rows: list[Row] = []
        self._tables: list[pa.Table] = []
        self._shapes: dict[str, Any] = {}  # wide enough for all rows so far
        self._schema: pa.Schema | None = None  # of these
        self._converted = 0
        self._parts: list[Path] = []
        self._writer: Any = None
        self._writes: pa.Schema | None = None  # what the open part has
        self._broken = False

    @property
    def holds_rows(self) -> bool:
        """True if there are rows that `end` will write to the file."""
        return bool(self._converted or self._rows)

    def add(self, rows: list[Row]) -> None:
        """Take rows.

        Raises:
            ConfigurationError: a column's values do not go together. The rows before are kept.
            OSError: they cannot be written.
        """
        self._rows += rows
        if self._schema is None and not any(self._rows):
            return  # a table without columns would have no rows
        while len(self._rows) >= _CHUNK_ROWS:
            chunk, self._rows = self._rows[:_CHUNK_ROWS], self._rows[_CHUNK_ROWS:]
            try:
                self._convert(chunk)
            except ConfigurationError:
                self._rows = []  # what stands behind the row that does not fit
                raise

    def _convert(self, rows: list[Row]) -> None:
        try:
            self._take(rows)
        except ColumnClash:
            fitting, clash = self._fitting(rows)
            if fitting:
                self._take(rows[:fitting])
            raise self._misfit(clash, rows[fitting]) from clash

    def _take(self, rows: list[Row]) -> None:
        self._shapes, self._schema, table = self._table(rows)
        self._tables.append(table)
        self._converted += len(rows)
        waiting = sum(each.num_rows for each in self._tables)
        if waiting >= self._group_rows or sum(each.nbytes for each in self._tables) >= _GROUP_BYTES:
            self._write()

    def _table(self, rows: list[Row]) -> tuple[dict[str, Any], pa.Schema, pa.Table]:
        """The shapes of the rows and of those before, their schema, and the rows in it."""
        columns = columns_of(rows)
        shapes = widened(self._shapes, shapes_of(columns, self._as_text))
        schema = schema_of(shapes)
        return shapes, schema, table_of(columns, schema, len(rows))

    def _fitting(self, rows: list[Row]) -> tuple[int, ColumnClash]:
        """Count the first rows that fit each other and those before; also return the clash of the next one."""
        low, high = 0, len(rows) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._clash(rows[:middle]) is None:
                low = middle
            else:
                high = middle - 1
        clash = self._clash(rows[: low + 1])
        assert clash is not None, "all of the rows clash, and the first do not"
        return low, clash

    def _clash(self, rows: list[Row]) -> ColumnClash | None:
        try:
            self._table(rows)
        except ColumnClash as clash:
            return clash
        return None

    def _misfit(self, clash: ColumnClash, row: Row) -> ConfigurationError:
        value = _shown(row.get(clash.column))
        return ConfigurationError(
            f"{self._target}: row {self._converted + 1} does not fit the column {clash.column!r}: {clash}. "
            f"Its value is {value}. The rows before it are kept. Make the "
            f"values of one kind, or store the column as JSON text with `json_columns=[{clash.column!r}]`."
        )

    def _write(self) -> None:
        """Write what waits as one group."""
        if not self._tables:
            return
        assert self._schema is not None, "every table has widened it"
        group = pa.concat_tables([conformed(table, self._schema) for table in self._tables])
        self._tables = []
        try:
            if self._writes is None or not self._writes.equals(self._schema, check_metadata=True):
                self._begin_part(self._schema)
            self._writer.write_table(group.combine_chunks())
        except OSError:
            self._broken = True
            raise

    def _begin_part(self, schema: pa.Schema) -> None:
        self._end_part()
        path = self._draft.beside() if self._parts else self._draft.path
        self._parts.append(path)
        self._writer, self._writes = self._format.writer(str(path), schema), schema

    def _end_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def end(self) -> ConfigurationError | None:
        """Make the draft one whole file; gives what kept the last rows out of it.

        Raises:
            OSError: it cannot be written.
        """
        fault = None
        if self._rows:
            fault = self._convert_last()
        if self._broken:
            raise OSError("what was written of it is not whole")
        self._write()
        if not self._parts:
            self._begin_part(self._schema or pa.schema([]))
        self._end_part()
        if len(self._parts) > 1:
            self._draft.rewrite(lambda _old, new: self._join(new))
        return fault

    def _convert_last(self) -> ConfigurationError | None:
        chunk, self._rows = self._rows, []
        if self._schema is None and not any(chunk):
            return ConfigurationError(
                f"{self._target}: the rows have no columns, and such a file has no place for them."
            )
        try:
            self._convert(chunk)
        except ConfigurationError as exc:
            return exc
        return None

    def _join(self, file: Any) -> None:
        schema = self._schema
        assert schema is not None, "there are parts"
        writer = self._format.writer(file, schema)
        for path in self._parts:
            for table in self._format.tables(str(path)):
                writer.write_table(conformed(table, schema))
        writer.close()


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - of the value's own method
        return f"of the type `{type(value).__name__}`"
    return f"{text[:80]}…" if len(text) > 80 else text
