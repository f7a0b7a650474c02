"""Rows as Arrow tables: what type a column has, how it widens, and what does not go together.

Importing this module imports pyarrow.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from limbeck.files import as_json, plain
from limbeck.types import METADATA

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from limbeck.types import Row

# Marks a column of text as holding JSON, so that this package gives the values back as they were.
_MARK = {b"limbeck": b"json"}

_MISFITS = (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError)


class ColumnClash(Exception):  # noqa: N818 - it never leaves this package
    """Values of one column do not have a type in common.

    Attributes:
        column: which.
    """

    def __init__(self, column: str, reason: object) -> None:
        self.column = column
        super().__init__(str(reason).strip().rstrip("."))


def table_of(rows: Sequence[Row], as_text: Collection[str]) -> pa.Table:
    """A table of rows; a column that a row lacks is null there.

    Args:
        as_text: the columns that are stored as JSON text.

    Raises:
        ColumnClash: a column holds values of different kinds.
    """
    columns = dict.fromkeys(column for row in rows for column in row)
    arrays, fields = [], []
    for column in columns:
        array, field = _column(column, [row.get(column) for row in rows], as_text)
        arrays.append(array)
        fields.append(field)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _column(column: str, values: list[Any], as_text: Collection[str]) -> tuple[pa.Array, pa.Field]:
    if column in as_text:
        return _texts(values), json_field(column)
    try:
        array = _array(column, values)
    except ColumnClash:
        if column != METADATA:  # a task's notes never stop the writing of its answers
            raise
        return _texts(values), json_field(column)
    if _has_empty_struct(array.type):  # which Parquet cannot store
        return _texts(values), json_field(column)
    return array, pa.field(column, array.type)


def _array(column: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except _MISFITS:
        try:
            return pa.array([_storable(value) for value in values])
        except _MISFITS as exc:
            raise ColumnClash(column, exc) from exc


def _storable(value: Any) -> Any:
    """The value with what Arrow does not have written as JSON would, and halves of surrogate pairs as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {str(_storable(key)): _storable(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_storable(each) for each in value]
    if value is None or isinstance(value, bool | int | float | bytes):
        return value
    try:
        pa.scalar(value)
    except _MISFITS:
        return _storable(plain(value))
    return value


def _texts(values: Sequence[Any]) -> pa.Array:
    return pa.array([None if value is None else _storable(as_json(value)) for value in values], pa.string())


def json_field(column: str) -> pa.Field:
    """A column of JSON text."""
    return pa.field(column, pa.string(), metadata=_MARK)


def is_json(field: pa.Field) -> bool:
    """Whether the column holds JSON text of ours."""
    return bool(field.metadata) and field.metadata.get(b"limbeck") == b"json"


def _has_empty_struct(type: Any) -> bool:
    if pa.types.is_struct(type) and type.num_fields == 0:
        return True
    return any(_has_empty_struct(type.field(place).type) for place in range(type.num_fields))


def widened(schema: pa.Schema | None, other: pa.Schema) -> pa.Schema:
    """The schema that holds the rows of both: all columns, all fields of structs, wider numbers.

    Raises:
        ColumnClash: a column has types that do not go together, such as text and numbers.
    """
    if schema is None:
        return other
    fields = {field.name: field for field in schema}
    for field in other:
        known = fields.get(field.name)
        fields[field.name] = field if known is None else _wider(known, field)
    return pa.schema(fields.values())


def _wider(one: pa.Field, other: pa.Field) -> pa.Field:
    if one.equals(other, check_metadata=True):
        return one
    if is_json(one) or is_json(other):
        return json_field(one.name)
    try:
        return pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive").field(0)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as exc:
        if one.name == METADATA:
            return json_field(one.name)
        raise ColumnClash(one.name, f"{one.type} and {other.type} do not go together") from exc


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns and types of a schema that is as wide or wider."""
    return pa.Table.from_arrays([_conformed(table, field) for field in schema], schema=schema)


def _conformed(table: pa.Table, field: pa.Field) -> Any:
    place = table.schema.get_field_index(field.name)
    if place < 0:
        return pa.nulls(table.num_rows, field.type)
    if is_json(field) and not is_json(table.schema.field(place)):
        return _texts(_values(table, place))
    return table.column(place).cast(field.type)


def rows_of(batch: Any) -> Iterator[Row]:
    """The rows of a table or record batch, as they were before they went into one."""
    names = batch.schema.names
    columns = [_values(batch, place) for place in range(len(names))]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _values(batch: Any, place: int) -> list[Any]:
    field, column = batch.schema.field(place), batch.column(place)
    if pa.types.is_timestamp(field.type) and field.type.unit == "ns":  # Python's have microseconds
        column = column.cast(pa.timestamp("us", field.type.tz), safe=False)
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy") if _has_maps(field.type) else column.to_pylist()
    if is_json(field):
        return [None if value is None else json.loads(value) for value in values]
    return [_without_nulls(value) for value in values] if field.name == METADATA else values


@cache
def _has_maps(type: Any) -> bool:
    return pa.types.is_map(type) or any(_has_maps(type.field(place).type) for place in range(type.num_fields))


def _without_nulls(metadata: Any) -> Any:
    """Metadata without the keys that only other rows have: a struct has one set of keys for all."""
    if isinstance(metadata, list):
        return [_without_nulls(each) for each in metadata]
    if isinstance(metadata, dict):
        return {key: value for key, value in metadata.items() if value is not None}
    return metadata
