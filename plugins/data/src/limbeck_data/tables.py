"""Rows as Arrow tables: what type a column has, how it widens, and what does not go together.

Importing this module imports pyarrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from limbeck.errors import RowError, described
from limbeck.files import arrow_values, as_json, read_json
from limbeck.types import METADATA

from .shapes import Misfit, Shape, joined, shape_of, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from limbeck.types import Row

# Marks a column of text as holding JSON, so that this package gives the values back as they were.
_MARK = {b"limbeck": b"json"}

_JSON = Shape("JSON", pa.string())  # of columns that are stored as its text
_PLAIN = frozenset({str, int, float, bool, type(None)})


class ColumnClash(Exception):  # noqa: N818 - it never leaves this package
    """Values of one column do not have a type in common.

    Attributes:
        column: which.
    """

    def __init__(self, column: str, reason: object) -> None:
        self.column = column
        super().__init__(str(reason).strip().rstrip("."))


def columns_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The columns of rows, with values that have shapes; a column that a row lacks is null there.

    Raises:
        ColumnClash: a column holds what nothing can be made of, such as a list that holds itself.
    """
    names = dict.fromkeys(column for row in rows for column in row)
    return {name: _storables(name, [row.get(name) for row in rows]) for name in names}


def _storables(name: str, values: list[Any]) -> list[Any]:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ColumnClash(name, "its name has half a surrogate pair, which UTF-8 does not have") from None
    if _PLAIN.issuperset(map(type, values)):
        return values
    try:
        return [storable(value) for value in values]
    except RecursionError:
        raise ColumnClash(name, "a value that holds itself or is nested too deeply") from None
    except Misfit as exc:
        raise ColumnClash(name, exc) from exc
    except Exception as exc:  # of a value's own methods
        raise ColumnClash(name, described(exc)) from exc


def shapes_of(columns: Mapping[str, list[Any]], as_text: Collection[str]) -> dict[str, Any]:
    """The shape of each column.

    Args:
        as_text: the columns that are stored as JSON text.

    Raises:
        ColumnClash: a column holds values of different kinds, or one that Arrow does not have.
    """
    return {name: _JSON if name in as_text else _shape(name, values) for name, values in columns.items()}


def _shape(name: str, values: list[Any]) -> Any:
    return _attributed(name, shape_of, values)


def widened(shapes: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The shapes of all that either are of.

    Raises:
        ColumnClash: a column has shapes that do not go together, such as text and numbers.
    """
    both = {**shapes, **others}
    for name in shapes.keys() & others.keys():
        json = _JSON in (shapes[name], others[name])
        both[name] = _JSON if json else _attributed(name, joined, shapes[name], others[name])
    return both


def _attributed(name: str, make: Callable[..., Any], *arguments: Any) -> Any:
    """The shape that is made for a column, whose name an error says."""
    try:
        return make(*arguments)
    except Misfit as exc:
        if name == METADATA:  # a task's notes never stop the writing of its answers
            return _JSON
        raise ColumnClash(name, exc) from exc


def schema_of(shapes: Mapping[str, Any]) -> pa.Schema:
    """The schema of columns of these shapes.

    Raises:
        ColumnClash: a column has dicts without keys, and what JSON does not have.
    """
    return pa.schema([_field(name, shape) for name, shape in shapes.items()])


def _field(name: str, shape: Any) -> pa.Field:
    if shape is _JSON:
        return json_field(name)
    if not shape.is_bare:
        return pa.field(name, shape.type)
    if not shape.is_json and name != METADATA:
        raise ColumnClash(name, "dicts without keys, which Parquet does not have, and values that JSON does not have")
    return json_field(name)


def table_of(columns: Mapping[str, list[Any]], schema: pa.Schema, rows: int) -> pa.Table:
    """A table of so many rows.

    Raises:
        ColumnClash: a column cannot be made.
    """
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        arrays.append(pa.nulls(rows, field.type) if values is None else _array(field, values))
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(field: pa.Field, values: list[Any]) -> pa.Array:
    try:
        return _texts(values) if is_json(field) else pa.array(values, field.type)
    except Exception as exc:  # Arrow's; what JSON cannot hold, of a value's own methods, too
        raise ColumnClash(field.name, described(exc) if isinstance(exc, RuntimeError) else exc) from exc


def _texts(values: Sequence[Any]) -> pa.Array:
    """Values as JSON, in which half a surrogate pair is an escape."""
    texts = (None if value is None else as_json(value) for value in values)
    return pa.array(
        [None if text is None else text.encode("utf-8", "backslashreplace").decode() for text in texts], pa.string()
    )


def json_field(column: str) -> pa.Field:
    """A column of JSON text."""
    return pa.field(column, pa.string(), metadata=_MARK)


def is_json(field: pa.Field) -> bool:
    """Tell whether the column holds JSON text that this package wrote."""
    return bool(field.metadata) and field.metadata.get(b"limbeck") == b"json"


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns and types of a schema that is as wide or wider."""
    return pa.Table.from_arrays([_conformed(table, field) for field in schema], schema=schema)


def _conformed(table: pa.Table, field: pa.Field) -> Any:
    place = table.schema.get_field_index(field.name)
    if place < 0:
        return pa.nulls(table.num_rows, field.type)
    if is_json(field) and not is_json(table.schema.field(place)):
        return _texts(_values(table, place))
    column = table.column(place)
    if column.type.equals(field.type):
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # of what is nested, not every cast is there
        return pa.array(column.to_pylist(), field.type)


def rows_of(batch: Any, first: int = 0) -> Iterator[Row | RowError]:
    """The rows of a table or record batch, as they were before they went into one, numbered from `first`.

    In the place of one whose JSON cannot be read stands an error.
    """
    names = batch.schema.names
    columns = [_values(batch, place, first) for place in range(len(names))]
    for number, values in enumerate(zip(*columns, strict=True), first):
        row = dict(zip(names, values, strict=True))
        torn = next((name for name, value in row.items() if isinstance(value, _Torn)), None)
        yield row if torn is None else _unread(number, torn, row)


def _unread(number: int, column: str, row: Row) -> RowError:
    torn = row[column]
    message = f"Row {number}: the column {column!r} is marked as JSON, and cannot be read as that: {torn.fault}."
    whole = {name: value.text if isinstance(value, _Torn) else value for name, value in row.items()}
    return RowError(message, raw=torn.text, row=whole)


@dataclass(frozen=True, slots=True)
class _Torn:
    """A text that is no JSON, or gives a key twice."""

    text: str
    fault: Exception


def _read(text: str | None) -> Any:
    try:
        return None if text is None else read_json(text)
    except (ValueError, RecursionError) as exc:
        return _Torn(text or "", exc)


def _values(batch: Any, place: int, first: int = 0) -> list[Any]:
    field = batch.schema.field(place)
    values = arrow_values(batch.column(place), field.name, first=first)
    if is_json(field):
        return [_read(value) for value in values]
    return [_without_nulls(value) for value in values] if field.name == METADATA else values


def _without_nulls(metadata: Any) -> Any:
    """Metadata without the keys that only other rows have: a struct has one set of keys for all."""
    if isinstance(metadata, list):
        return [_without_nulls(each) for each in metadata]
    if isinstance(metadata, dict):
        return {key: value for key, value in metadata.items() if value is not None}
    return metadata
