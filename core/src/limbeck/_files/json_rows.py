"""Rows as JSON: one object a line, or one list of objects."""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO

from .._engine.rows.plain import finite, unwritable
from .._engine.rows.plain import plain as form_of
from .._found_json import KeyTwiceError, once_each, refuse_deep
from ..errors import ConfigurationError, RowError
from .texts import not_utf8, utf8_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..types import Row


def rows_of_lines(file: Iterable[bytes], name: str, encoding: str = "utf-8") -> Iterator[Row | RowError]:
    """A row for each line that is not blank; in its place, an error for one that holds no row.

    A file that is one JSON list is read as that.

    Raises:
        ConfigurationError: it is JSON whose objects go over several lines.
    """
    lines = _numbered(file, name, encoding)
    taken = list(islice(lines, 1))
    if not _is_whole(taken) and _is_one_value(taken, lines):
        text = _text(taken)
        if text.startswith("{"):
            raise ConfigurationError(
                f"{name}:{taken[0][0]}: this is JSON whose objects go over several lines, and in JSON Lines each "
                "stands on one. Write them so, as `jq -c . FILE` does."
            )
        yield from _items(_list(text, name), name)
        return
    for number, line in chain(taken, lines):
        try:
            yield _row(line.decode("utf-8").rstrip("\r\n"), f"{name}:{number}")
        except UnicodeDecodeError as exc:
            message = (
                f"{name}:{number}: this line is {not_utf8(exc)}. If the file is in another encoding, say `encoding`."
            )
            yield RowError(message, raw=line.decode("utf-8", "backslashreplace").rstrip("\r\n"))
        except RowError as exc:
            yield exc


def _numbered(file: Iterable[bytes], name: str, encoding: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; a mark stands where files were put together, too."""
    for number, line in enumerate(utf8_lines(file, name, encoding), 1):
        unmarked = line.removeprefix(codecs.BOM_UTF8)
        if unmarked and not unmarked.isspace():
            yield number, unmarked


def _text(lines: Iterable[tuple[int, bytes]]) -> str:
    return b"".join(line for _, line in lines).decode("utf-8", "backslashreplace").strip()


def _is_whole(line: Iterable[tuple[int, bytes]]) -> bool:
    """Tell whether a line holds a value that ends on it, or none at all, but no list of objects, of none either."""
    text = _text(line)
    if not text.startswith(("[", "{")):
        return True
    try:
        refuse_deep(text)
        value = json.loads(text)
    except json.JSONDecodeError as exc:
        return exc.pos < len(text)
    except (ValueError, RecursionError):
        return True
    return not (isinstance(value, list) and all(isinstance(item, dict) for item in value))


def _is_json(line: tuple[int, bytes]) -> bool:
    try:
        read_json(line[1].decode())
    except (ValueError, RecursionError):
        return False
    return True


def _is_one_value(taken: list[tuple[int, bytes]], lines: Iterator[tuple[int, bytes]]) -> bool:
    """Tell whether the lines are one list, or begin with one object, of several lines.

    It is tried with twice as many lines each time. What is read is added to `taken`.
    """
    while True:
        more = list(islice(lines, len(taken)))
        taken += more
        text = _text(taken)
        try:
            refuse_deep(text)
            _, end = json.JSONDecoder().raw_decode(text)
        except json.JSONDecodeError as exc:
            if exc.pos < len(text) or not more:
                return text.startswith("[") and not any(map(_is_json, taken[1:3]))  # else a line is broken
        except (ValueError, RecursionError):
            return False
        else:
            if text.startswith("{"):
                return "\n" in text[:end]
            if end < len(text) or not more:
                return end == len(text)


def read_json(text: str) -> Any:
    """The value of JSON that is not nested beyond reason, and gives no key twice.

    Raises:
        ValueError: it is none. RecursionError: it is nested too deeply.
    """
    refuse_deep(text)
    return _DECODER.decode(text)


def _row(text: str, where: str) -> Row:
    try:
        row = read_json(text)
    except json.JSONDecodeError as exc:
        raise RowError(f"{where}:{exc.colno}: this line is not JSON: {exc.msg}.", raw=text) from exc
    except (ValueError, RecursionError) as exc:  # a number of too many digits; brackets without end
        raise RowError(f"{where}: this line cannot be read as JSON: {exc}.", raw=text) from exc
    if not isinstance(row, dict):
        raise RowError(f"{where}: a row must be a JSON object of columns, not {type(row).__name__}.", raw=text)
    return row


def rows_of_list(file: BinaryIO, name: str) -> Iterator[Row | RowError]:
    """The rows of a JSON list of objects, which is read whole."""
    data = file.read()
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{name}: this is {not_utf8(exc)}.") from exc
    return _items(_list(text, name), name)


def _items(rows: list[Any], name: str) -> Iterator[Row | RowError]:
    for place, row in enumerate(rows, 1):
        if isinstance(row, dict):
            yield row
        elif isinstance(row, _Torn):
            yield RowError(f"{name}: item {place}: this cannot be read as JSON: {row.fault}.", raw=row.text)
        else:
            what = f"{name}: item {place}: a row must be a JSON object of columns, not {type(row).__name__}."
            yield RowError(what, raw=json.dumps(row))


@dataclass(frozen=True, slots=True)
class _Torn:
    """An item of a list that gives a key twice."""

    text: str
    fault: KeyTwiceError


def _list(text: str, name: str) -> list[Any]:
    try:
        rows = _with_torn(text)
    except json.JSONDecodeError as exc:
        hint = " If each line is an object, name the file .jsonl." if exc.msg == "Extra data" else ""
        raise ConfigurationError(f"{name}:{exc.lineno}:{exc.colno}: this is not JSON: {exc.msg}.{hint}") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{name}: this cannot be read as JSON: {exc}.") from exc
    if not isinstance(rows, list):
        raise ConfigurationError(f"{name}: expected a list of objects, not {type(rows).__name__}.")
    return rows


def _with_torn(text: str) -> Any:
    """The value of JSON; in a list, what gives a key twice is torn, and costs no other item."""
    try:
        return read_json(text)
    except KeyTwiceError:
        if not isinstance(_ANY.decode(text), list):
            raise
        return list(_each(text))


def _each(text: str) -> Iterator[Any]:
    """The items of a list, each read by itself."""
    place = text.index("[") + 1
    while (found := _BEFORE_ITEM.match(text, place)) is not None:
        _, place = _ANY.raw_decode(text, found.end())
        item = text[found.end() : place]
        try:
            yield read_json(item)
        except KeyTwiceError as exc:
            yield _Torn(item, exc)


def encode_row(row: Row, *, end: str = "\n", number: int | None = None) -> bytes:
    """A row as a line of JSON in UTF-8; its number is for messages.

    Half a surrogate pair has no UTF-8, so it is written as an escape. NaN and the infinities are
    written as null, another value that JSON does not have as its text: an answer that was paid
    for is not lost for its type.

    Raises:
        ConfigurationError: JSON cannot hold the row at all; the column is named.
    """
    try:
        if not all(isinstance(column, str) for column in row):
            raise TypeError("JSON would make a text of it")
        text = as_json(row)
        if _twice(row) is not None:
            raise ValueError("JSON has texts as keys")
        return (text + end).encode("utf-8", "backslashreplace")  # which are JSON's escapes too
    except Exception as exc:  # of a value's own methods, too
        raise ConfigurationError(
            f"{_called(number)} cannot be written as JSON: {_fault(row)} ({exc}). Turn it into text, numbers, lists "
            "or dicts with texts as keys, or drop the column, before the row is written."
        ) from exc


def _called(number: int | None) -> str:
    return "A row" if number is None else f"Row {number}"


def _fault(row: Mapping[Any, Any]) -> str:
    """Find what it is in a row that JSON cannot hold."""
    for column, value in row.items():
        if not isinstance(column, str):
            return f"a column is named {column!r}, which is no text"
        try:
            as_json(value)
        except Exception:  # noqa: BLE001 - as in `encode_row`, which tells it
            return f"the column {column!r} holds {unwritable(value) or 'a value that has no form in it'}"
        if (key := _twice(value)) is not None:
            return f"the column {column!r} holds a dict with two keys that are the same as texts, {key!r}"
    return "one of its values has no form in it"


def _twice(value: Any) -> str | None:
    """A key that a dict in `value` would have twice in JSON, such as 1 beside "1", or None."""
    try:
        return _key_twice(value)
    except RecursionError:
        return None


def _key_twice(value: Any) -> str | None:
    if type(value) in _SCALARS:
        return None
    if not isinstance(value, dict | list | tuple):
        form = plain(value)
        return None if form is value else _key_twice(form)
    if isinstance(value, dict):
        if not _TEXT.issuperset(map(type, value)):
            keys = [key if isinstance(key, str) else json.dumps(key) for key in value]
            if len(set(keys)) < len(keys):
                return next(key for key in keys if keys.count(key) > 1)
        value = value.values()
    if _SCALARS.issuperset(map(type, value)):
        return None
    return next((key for part in value if (key := _key_twice(part)) is not None), None)


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


_TEXT = frozenset({str})
_SCALARS = frozenset({str, int, float, bool, type(None)})
_SETTINGS: dict[str, Any] = {"ensure_ascii": False, "default": plain, "allow_nan": False}
_AS_IT_IS = json.JSONEncoder(**_SETTINGS)
_BEFORE_ITEM = re.compile(r"[\s,]*(?=[^\s,\]])")
_ANY = json.JSONDecoder()
_DECODER = json.JSONDecoder(object_pairs_hook=once_each)
