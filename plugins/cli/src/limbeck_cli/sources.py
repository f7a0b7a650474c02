"""Where rows come from: JSONL, JSON or CSV files, stdin, or a list.

Every fault names the file and the line; rows are read one at a time, however large the file.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from limbeck._engine.run import FAILED_COLUMN
from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from limbeck.types import Row

_LINES = (".jsonl", ".ndjson")
_LARGEST_CELL = 2**31 - 1  # the csv module's own limit, 128 KiB, is less than a long document
_BLOCK = 1 << 20


@dataclass(slots=True)
class Source:
    """Rows, and what is known of them beforehand.

    Attributes:
        name: what messages call it. rows: the rows, each read when it is asked for.
        count: counts all rows, for the progress line; None where they cannot be counted.
        patient: whether reading ahead keeps nobody waiting (a file, not a pipe).
    """

    name: str
    rows: Iterable[Row]
    count: Callable[[], int] | None = None
    patient: bool = True


def open_source(given: str | list[Row], where: str) -> Source:
    """The source that a path, `-` or a list of rows means.

    Rows that an earlier run wrote to its `failed.jsonl` lose the column with their errors.

    Args:
        given: what was asked for. where: where it was asked for, for errors.

    Raises:
        ConfigurationError: the file cannot be read, or is of a kind that is not known.
    """
    source = _open(given, where)
    source.rows = map(_as_given_first, source.rows)
    return source


def _as_given_first(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != FAILED_COLUMN} if FAILED_COLUMN in row else row


def _open(given: str | list[Row], where: str) -> Source:
    if not isinstance(given, str):
        return Source("the rows given", given, lambda: len(given))
    if given == "-":
        return _stdin()
    path = Path(given)
    suffix = path.suffix.lower()
    if suffix not in (*_LINES, ".json", ".csv"):
        raise ConfigurationError(
            f"{where}: {given!r} cannot be read: "
            "rows come from .jsonl (one JSON object a line), .json (a list of objects) and .csv files."
        )
    _check_readable(path, where)
    if suffix == ".json":
        rows = _json_rows(path)
        return Source(given, rows, lambda: len(rows))
    if suffix == ".csv":
        return Source(given, _csv_rows(path), lambda: sum(1 for _ in _csv_rows(path)), patient=path.is_file())
    if not path.is_file():  # a named pipe
        return Source(given, _file_lines(path), patient=False)
    return Source(given, _file_lines(path), lambda: _count_lines(path))


def _check_readable(path: Path, where: str) -> None:
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        os.close(os.open(path, os.O_RDONLY)) if path.is_file() else path.stat()
    except OSError as exc:
        raise ConfigurationError(f"{where}: the input {str(path)!r} cannot be read: {exc.strerror}.") from exc


def _stdin() -> Source:
    if sys.stdin.isatty():
        raise ConfigurationError("No input: give rows with `--input rows.jsonl`, or pipe them in.")
    try:
        # Its own reader: the interpreter waits at its end for whoever reads `sys.stdin`.
        stream: BinaryIO = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    except (OSError, ValueError):  # a test's stand-in for a file
        stream = sys.stdin.buffer
    return Source("stdin", _rows_of_lines(stream, "stdin"), patient=False)


def _file_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as stream:
        yield from _rows_of_lines(stream, str(path))


def _rows_of_lines(stream: Iterable[bytes], name: str) -> Iterator[Row]:
    for number, line in enumerate(stream, 1):
        text = _decoded(line, name, number).rstrip("\r\n")
        if text and not text.isspace():
            yield _row(text, name, number)


def _decoded(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(
            f"{name}:{number}: this line is not UTF-8: byte {exc.start + 1} is 0x{line[exc.start]:02x}."
        ) from exc


def _row(text: str, name: str, number: int) -> Row:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ConfigurationError(f"{name}:{number}:{exc.colno}: this line is not JSON: {exc.msg}.") from exc
    except (ValueError, RecursionError) as exc:  # a number of too many digits; brackets without end
        raise ConfigurationError(f"{name}:{number}: this line cannot be read as JSON: {exc}.") from exc
    return _checked(row, f"{name}:{number}")


def _checked(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise ConfigurationError(f"{where}: a row must be a JSON object of columns, not {type(row).__name__}.")
    return row


def _json_rows(path: Path) -> list[Row]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as exc:
        hint = " If each line is an object, name the file .jsonl." if exc.msg == "Extra data" else ""
        raise ConfigurationError(f"{path}:{exc.lineno}:{exc.colno}: this is not JSON: {exc.msg}.{hint}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: this is not UTF-8 (byte {exc.start + 1}).") from exc
    if not isinstance(rows, list):
        raise ConfigurationError(f"{path}: expected a list of objects, not {type(rows).__name__}.")
    return [_checked(row, f"{path}: item {place}") for place, row in enumerate(rows, 1)]


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        columns = next(_cells(reader, path), [])
        if len(set(columns)) < len(columns):
            twice = next(column for column in columns if columns.count(column) > 1)
            raise ConfigurationError(f"{path}:1: the column {twice!r} is there twice.")
        for cells in _cells(reader, path):
            if len(cells) != len(columns):
                raise ConfigurationError(
                    f"{path}:{reader.line_num}: {len(cells)} cells, where the header has {len(columns)}."
                )
            yield dict(zip(columns, cells, strict=True))


def _cells(reader: Any, path: Path) -> Iterator[list[str]]:
    try:
        yield from (cells for cells in reader if cells)
    except csv.Error as exc:
        raise ConfigurationError(f"{path}:{reader.line_num}: this is not CSV: {exc}.") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(
            f"{path}:{reader.line_num + 1}: near this line is a byte that is not UTF-8: {exc.reason}."
        ) from exc


def _count_lines(path: Path) -> int:
    """Lines, which are rows but for blank ones."""
    lines, last = 0, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")
