"""Tables as people hold them, as rows: pyarrow's, pandas' and polars'; `datasets` gives rows by itself.

A table is told by its methods, so that no package is imported for one that nobody has. Its values
become Python's own where rows come in (`copies.taken_row`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from .copies import odd_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...types import Row

CHUNK_ROWS = 256
_ARROW = ("to_batches", "read_next_batch", "to_pylist")  # of tables and data sets, of readers, and of one batch


def is_table(rows: object) -> bool:
    """Tell whether `chunks_of_table` takes it: an Arrow table, data set, reader or batch, or a frame."""
    arrow = hasattr(rows, "schema") and any(hasattr(rows, method) for method in _ARROW)
    return arrow or any(hasattr(rows, method) for method in ("iter_slices", "iloc"))


def columns_of_table(table: Any) -> list[str]:
    """The names of its columns.

    Raises:
        ConfigurationError: one is no text, or is there twice.
    """
    return checked_names(table.schema.names if _is_arrow(table) else table.columns, f"this `{type(table).__name__}`")


def checked_names(names: Iterable[object], where: str) -> list[str]:
    """The names of a table's columns, which are texts, each there once.

    Args:
        where: what messages call the table.

    Raises:
        ConfigurationError: one is no text, or is there twice: of two, a row would hold only one.
    """
    known: dict[str, None] = {}
    for name in names:
        if not isinstance(name, str):
            rename = " In pandas: `frame.columns = [str(name) for name in frame.columns]`."
            raise ConfigurationError(f"In {where}: {odd_name(name)}{rename}")
        if name in known:
            raise ConfigurationError(f"In {where}: two columns have the name {name!r}. Rename or drop one of them.")
        known[name] = None
    return list(known)


def chunks_of_table(table: Any) -> Iterator[list[Row]]:
    """Its rows as dicts, in lists of a few hundred, with None for what is missing.

    Raises:
        ConfigurationError: the name of a column is no text, or is there twice.
    """
    names = columns_of_table(table)
    if _is_arrow(table):
        done = 0
        for batch in _batches(table):  # which may be large
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                chunk = batch.slice(start, CHUNK_ROWS)
                first = done + start
                columns = [arrow_values(chunk.column(place), name, first=first) for place, name in enumerate(names)]
                yield [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
            done += batch.num_rows
    elif hasattr(table, "iter_slices"):  # polars
        for frame in table.iter_slices(CHUNK_ROWS):
            yield frame.to_dicts()
    else:  # pandas
        for start in range(0, len(table), CHUNK_ROWS):
            chunk = table.iloc[start : start + CHUNK_ROWS]
            # NaN is its word for what is missing.
            yield chunk.astype(object).where(chunk.notna(), None).to_dict("records")


def _is_arrow(table: Any) -> bool:
    return not hasattr(table, "iter_slices") and not hasattr(table, "iloc")


def _batches(table: Any) -> Any:
    if hasattr(table, "to_batches"):
        return table.to_batches()
    return table if hasattr(table, "read_next_batch") else [table]


def arrow_values(array: Any, name: str, *, first: int = 0) -> list[Any]:
    """The values of an Arrow column: maps as dicts, and times to the microsecond, which is what Python's have.

    Args:
        first: the number of the first value's row, for messages.

    Raises:
        ConfigurationError: a map has a key twice, a time is beyond the years of Python, or a text is not UTF-8.
    """
    wanted = _python_type(array.type)
    if not wanted.equals(array.type):
        array = array.cast(wanted, safe=False)
    try:
        return _values(array)
    except KeyError as exc:
        raise ConfigurationError(f"The column {name!r} holds a map that has a key twice: {exc}.") from exc
    except (OverflowError, ValueError) as exc:  # a zone that is none, too
        row = first + next((place for place in range(len(array)) if not _is_pythons(array, place)), 0)
        raise ConfigurationError(
            f"Row {row}: the column {name!r} holds what Python has no value for: {exc}. Cast or drop the column first."
        ) from exc


def _values(array: Any) -> list[Any]:
    values: list[Any] = array.to_pylist(maps_as_pydicts="strict")
    return values


def _is_pythons(array: Any, place: int) -> bool:
    try:
        _values(array.slice(place, 1))
    except (OverflowError, ValueError):
        return False
    return True


@cache
def _python_type(type: Any) -> Any:
    """The Arrow type that holds what Python can: microseconds in place of nanoseconds."""
    import pyarrow as pa

    if pa.types.is_timestamp(type) and type.unit == "ns":
        return pa.timestamp("us", type.tz)
    if pa.types.is_duration(type) and type.unit == "ns":
        return pa.duration("us")
    if pa.types.is_time64(type) and type.unit == "ns":
        return pa.time64("us")
    if pa.types.is_struct(type):
        return pa.struct([field.with_type(_python_type(field.type)) for field in type])
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        make = pa.list_ if pa.types.is_list(type) else pa.large_list
        return make(type.value_field.with_type(_python_type(type.value_type)))
    return type


def refuse_series(rows: object) -> None:
    """Raise for one column, whose values would pass for rows.

    Raises:
        ConfigurationError: with the way to a frame.
    """
    if hasattr(rows, "to_frame"):  # of pandas and polars
        raise ConfigurationError(
            "A row is a dict of columns, and a series is one column without a name in the rows: write "
            '`series.to_frame("instruction")`.'
        )
