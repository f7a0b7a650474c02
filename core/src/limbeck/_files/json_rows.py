"""Rows as JSON: one object a line, or one list of objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from .._engine.rows.plain import finite, unwritable
from .._engine.rows.plain import plain as form_of
from .._found_json import refuse_deep
from ..errors import ConfigurationError, RowError
from .texts import not_utf8, utf8_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..types import Row


def rows_of_lines(file: Iterable[bytes], name: str, encoding: str = "utf-8") -> Iterator[Row | RowError]:
    """A row for each line that is not blank; in its place, an error for one that holds no row."""
    for number, line in enumerate(utf8_lines(file, name, encoding), 1):
        if line.isspace() or not line:
            continue
        try:
            yield _row(line.decode("utf-8").rstrip("\r\n"), f"{name}:{number}")
        except UnicodeDecodeError as exc:
            message = (
                f"{name}:{number}: this line is {not_utf8(exc)}. If the file is in another encoding, say `encoding`."
            )
            yield RowError(message, raw=line.decode("utf-8", "backslashreplace").rstrip("\r\n"))
        except RowError as exc:
            yield exc


def _row(text: str, where: str) -> Row:
    try:
        refuse_deep(text)
        row = json.loads(text)
    except json.JSONDecodeError as exc:
        raise RowError(f"{where}:{exc.colno}: this line is not JSON: {exc.msg}.", raw=text) from exc
    except (ValueError, RecursionError) as exc:  # a number of too many digits; brackets without end
        raise RowError(f"{where}: this line cannot be read as JSON: {exc}.", raw=text) from exc
    if not isinstance(row, dict):
        raise RowError(f"{where}: a row must be a JSON object of columns, not {type(row).__name__}.", raw=text)
    return row


def rows_of_list(file: BinaryIO, name: str) -> Iterator[Row | RowError]:
    """The rows of a JSON list of objects, which is read whole."""
    for place, row in enumerate(_list(file, name), 1):
        if isinstance(row, dict):
            yield row
        else:
            what = f"{name}: item {place}: a row must be a JSON object of columns, not {type(row).__name__}."
            yield RowError(what, raw=json.dumps(row))


def _list(file: BinaryIO, name: str) -> list[Any]:
    try:
        text = file.read().decode("utf-8-sig")
        refuse_deep(text)
        rows = json.loads(text)
    except json.JSONDecodeError as exc:
        hint = " If each line is an object, name the file .jsonl." if exc.msg == "Extra data" else ""
        raise ConfigurationError(f"{name}:{exc.lineno}:{exc.colno}: this is not JSON: {exc.msg}.{hint}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{name}: this is {not_utf8(exc)}.") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{name}: this cannot be read as JSON: {exc}.") from exc
    if not isinstance(rows, list):
        raise ConfigurationError(f"{name}: expected a list of objects, not {type(rows).__name__}.")
    return rows


def encode_row(row: Row, *, end: str = "\n") -> bytes:
    """A row as a line of JSON in UTF-8.

    Half a surrogate pair has no UTF-8, so a row that holds one is written with escapes. NaN and
    the infinities are written as null, another value that JSON does not have as its text: an
    answer that was paid for is not lost for its type.

    Raises:
        ConfigurationError: JSON cannot hold the row at all; the column is named.
    """
    try:
        return (as_json(row) + end).encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(finite(row, plain)) + end).encode("ascii")
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigurationError(
            f"A row cannot be written as JSON: {_fault(row)} ({exc}). Turn it into text, numbers, lists or dicts "
            "with texts as keys, or drop the column, before the row is written."
        ) from exc


def _fault(row: Mapping[Any, Any]) -> str:
    """Find what it is in a row that JSON cannot hold."""
    for column, value in row.items():
        if not isinstance(column, str | int | float | None):
            return f"a column is named {column!r}, which is no text"
        try:
            as_json(value)
        except (TypeError, ValueError, RecursionError):
            return f"the column {column!r} holds {unwritable(value) or 'a value that has no form in it'}"
    return "one of its values has no form in it"


def as_json(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON, whatever it holds; what is no number in JSON (NaN, the infinities) is null."""
    encoder = _AS_IT_IS if indent is None else json.JSONEncoder(**_SETTINGS, indent=indent)
    try:
        return encoder.encode(value)
    except ValueError:
        return encoder.encode(finite(value, plain))


def plain(value: Any) -> Any:
    """The stand-in in JSON for a value that it does not have."""
    try:
        return form_of(value)
    except TypeError:
        return str(value)


_SETTINGS: dict[str, Any] = {"ensure_ascii": False, "default": plain, "allow_nan": False}
_AS_IT_IS = json.JSONEncoder(**_SETTINGS)
