"""Rows as CSV: a header that names the columns, then a record a row. Every value is text."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, RowError
from .json_rows import as_json, plain
from .texts import utf8_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..types import Row

_END_IN_QUOTES = "unexpected end of data"
_BETWEEN_NOTHING = ('"', "\r", "\n")
LARGEST_CELL = 2**31 - 1  # the csv module's own limit, 128 KiB, is less than a long document


def check_delimiter(delimiter: str | None) -> str | None:
    """`delimiter`, which can stand between cells.

    Raises:
        ConfigurationError: it cannot.
    """
    if delimiter in _BETWEEN_NOTHING:
        raise ConfigurationError(
            f"{delimiter!r} cannot stand between the cells of a CSV file. Common ones are , ; and tab."
        )
    return delimiter


class CsvReader:
    """Reads one file of CSV.

    Args:
        file: its lines. name: what messages call it. delimiter, encoding: of the file.

    Attributes:
        columns: what the header says.

    Raises:
        ConfigurationError: the header cannot be read, or names a column twice.
    """

    def __init__(self, file: Iterable[bytes], name: str, *, delimiter: str = ",", encoding: str = "utf-8") -> None:
        csv.field_size_limit(LARGEST_CELL)
        self._name = name
        self._record_lines: list[str] = []
        self._reader = csv.reader(self._lines(utf8_lines(file, name, encoding)), delimiter=delimiter, strict=True)
        self._start = 1
        self.columns = self._header()

    def _lines(self, lines: Iterable[bytes]) -> Iterator[str]:
        for line in lines:
            self._record_lines.append(line.decode("utf-8", "surrogateescape"))
            yield self._record_lines[-1]

    def _header(self) -> list[str]:
        try:
            columns = self._next()
        except csv.Error as exc:
            raise ConfigurationError(f"{self._name}:{self._start}: this header is not CSV: {exc}.") from exc
        if columns is None:
            raise ConfigurationError(f"{self._name} is empty: a CSV file begins with a header of column names.")
        escaped = _escaped(columns)
        if escaped is not None:
            raise ConfigurationError(
                f"{self._name}:{self._start}: the header has bytes that are not UTF-8, in {escaped}. "
                "If the file is in another encoding, say `encoding`."
            )
        for column in columns:
            if columns.count(column) > 1:
                raise ConfigurationError(f"{self._name}:{self._start}: the column {column!r} is there twice.")
        return columns

    def _next(self) -> list[str] | None:
        """The cells of the next record that is not blank; its first line is then `_start`."""
        while True:
            self._start = self._reader.line_num + 1
            self._record_lines.clear()
            cells = next(self._reader, None)
            if cells is None or cells:
                return cells

    def __iter__(self) -> Iterator[Row | RowError]:
        while True:
            try:
                cells = self._next()
            except csv.Error as exc:  # the reader begins anew with the next line
                fault = "a quote is opened and never closed" if str(exc) == _END_IN_QUOTES else str(exc)
                yield RowError(f"{self._place()}: this is not CSV: {fault}.", raw=self._raw())
                continue
            if cells is None:
                return
            yield self._row(cells)

    def _row(self, cells: list[str]) -> Row | RowError:
        row = dict(zip(self.columns, cells, strict=False))
        if len(cells) != len(self.columns):
            found, wanted = len(cells), len(self.columns)
            message = f"{self._place()}: {found} cell{'s'[: found != 1]}, where the header has {wanted}."
            return RowError(message, row=_legible(row), raw=self._raw())
        escaped = _escaped(cells)
        if escaped is not None:
            message = (
                f"{self._place()}: there are bytes that are not UTF-8, in {escaped}. "
                "If the file is in another encoding, say `encoding`."
            )
            return RowError(message, row=_legible(row), raw=self._raw())
        return row

    def _raw(self) -> str:
        return _readable("".join(self._record_lines)).rstrip("\r\n")

    def _place(self) -> str:
        end = self._reader.line_num
        return f"{self._name}:{self._start}" + (f"-{end}" if end > self._start else "")


def _escaped(cells: Sequence[str]) -> str | None:
    """The first cell with a byte that could not be decoded, legibly, or None."""
    for cell in cells:
        if not cell.isascii() and any("\udc80" <= character <= "\udcff" for character in cell):
            return repr(_readable(cell)[:80])
    return None


def _readable(cell: str) -> str:
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _legible(row: Row) -> Row:
    return {column: _readable(cell) for column, cell in row.items()}


def encode_records(records: Iterable[Sequence[Any]], delimiter: str = ",") -> bytes:
    """Records as CSV in UTF-8. Null is an empty cell; lists and dicts are JSON.

    Raises:
        UnicodeEncodeError: half a surrogate pair, which UTF-8 does not have.
    """
    text = io.StringIO()
    sparing = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    quoting = csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for record in records:
        cells = [_cell(value) for value in record]
        (quoting if _needs_quotes(cells) else sparing).writerow(cells)
    return text.getvalue().encode("utf-8")


def _needs_quotes(cells: Sequence[str]) -> bool:
    """Tell whether a reader would take something in the cells for an end of the line, or for a mark of the encoding."""
    return any("\r" in cell for cell in cells) or (bool(cells) and cells[0].startswith("\ufeff"))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | tuple | set | frozenset | bool):
        return as_json(value)
    if isinstance(value, int | float):  # the number, of an enumeration too
        return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)
    return _cell(plain(value))
