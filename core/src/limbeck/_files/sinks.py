"""Sinks: rows into files, published whole when the run ends, or to standard output as they come."""

from __future__ import annotations

import csv
import re
import sys
from abc import abstractmethod
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from pydantic import Field, PrivateAttr, field_validator

from .._engine.rows.copies import odd_name
from .._step import Sink
from ..errors import ConfigurationError, described
from ..types import Row  # noqa: TC001 - pydantic reads it
from .csv_rows import LARGEST_CELL, check_delimiter, encode_records
from .drafts import Draft, check_target, mark_of
from .json_rows import encode_row
from .places import compression_of, is_url, shown, suffix_of
from .sources import LoadDataFromCsv, LoadDataFromJson, LoadDataFromJsonl, step_for, unattached
from .texts import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class FileSink(Sink):
    """The base of every sink of one file; a format defines `append`, and `finish` where it ends with something.

    Rows go to a draft beside the target (`.name.part`), which takes the target's place when the
    run ends, also one that did not finish: it then holds the rows that were done. Without any,
    an old file is left as it was.

    Attributes:
        path: where to: a path, or a URL that fsspec opens. A name that ends in .gz, .bz2, .xz or
            .zst is compressed, or refused by a format that cannot be.
    """

    path: str | Path

    # The class of the source that reads the format back; whether a compression suffix is obeyed, or refused.
    reader: ClassVar[Any] = None
    packed: ClassVar[bool] = True

    _draft: Draft | None = PrivateAttr(default=None)
    _found: str | None = PrivateAttr(default=None)  # the mark of what was there when the run began
    _replaces: bool = PrivateAttr(default=True)  # whatever is there by then
    _note: Any = PrivateAttr(default=None)
    _written: int = PrivateAttr(default=0)
    _failed: bool = PrivateAttr(default=False)

    @abstractmethod
    def append(self, draft: Draft, rows: list[Row]) -> None:
        """Add rows to the draft.

        Raises:
            OSError: they cannot be written.
            ConfigurationError: the format cannot hold one. Those before it are in the draft.
        """

    def finish(self, draft: Draft) -> ConfigurationError | None:  # noqa: ARG002 - a format that ends with something uses it
        """Make the draft a whole file of the format.

        Returns:
            What kept the last rows out of it: the others are published, then it is raised.
        """
        return None

    def begin(self, draft: Draft) -> None:
        """Get ready for the first rows of a run."""

    def holds_rows(self) -> bool:
        """Tell whether the draft has rows, or will have them when it is finished."""
        return self._written > 0

    def targets(self) -> list[str]:
        target = str(self.path)
        return [shown(target) if is_url(target) else str(Path(target).absolute())]

    def open(self, *, replace: bool) -> None:
        compression = None if self.packed else compression_of(str(self.path))
        if compression is not None:
            raise ConfigurationError(
                f"The output {shown(str(self.path))!r} would not be compressed as its name says: what "
                f"`{type(self).__name__}` writes is never compressed as a whole. Leave out the {compression!r}."
            )
        check_target(str(self.path), replace=replace or self.overwrite)
        self._replaces = replace or self.overwrite
        self._found = None if self._replaces else self.mark()

    def guard(self, note: Callable[[str], object], *, replace: bool) -> None:
        """Have what is published noted by its mark, and replace nothing but what was there when the sink was opened.

        Args:
            note: called with the mark just before the file is in its place. replace: whether anything is replaced.
        """
        self._note, self._replaces = note, replace
        self._found = None if replace else self.mark()

    def mark(self) -> str | None:
        """The mark of the file that is there now, or None."""
        return mark_of(str(self.path))

    def write(self, rows: list[Row]) -> None:
        if not rows:
            return
        for number, row in enumerate(rows, self._written + 1):
            for column in row:
                if not isinstance(column, str):
                    raise ConfigurationError(f"{shown(str(self.path))}: row {number}: {odd_name(column)}")
        try:
            self.append(self._open_draft(), rows)
        except OSError as exc:
            self._failed = True
            raise self._unwritable(exc) from exc
        self._written += len(rows)

    def _open_draft(self) -> Draft:
        if self._draft is None:
            self._written, self._failed = 0, False
            self._draft = Draft(str(self.path), packed=self.packed)
            self.begin(self._draft)
        return self._draft

    def _unwritable(self, exc: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"The output {shown(str(self.path))!r} cannot be written any further: {exc.strerror or exc}. "
            "Mend that and run again with the same run directory: what was answered is there."
        )

    def close(self, *, finished: bool) -> None:
        if not finished and (self._draft is None or not self.holds_rows()):
            self._forget()
            return
        try:
            fault = self._publish(self._open_draft())
        except OSError as exc:
            if not self._failed:  # else it was told already
                raise self._unwritable(exc) from exc
            fault = None
        finally:
            self._forget()
        if fault is not None and finished:
            raise fault

    def _forget(self) -> None:
        """Leave nothing of a draft that was not published, nor of the run that is to note it."""
        self._note = None
        if self._draft is not None:
            self._draft.discard()
            self._draft = None

    def _publish(self, draft: Draft) -> ConfigurationError | None:
        fault = self.finish(draft)
        now = None if self._replaces else self.mark()
        try:
            if now not in (None, self._found):
                raise FileExistsError
            draft.publish(replace=self._replaces or now is not None, note=self._note)
        except FileExistsError as exc:
            raise ConfigurationError(
                f"The output {shown(str(self.path))!r} is another file than when the run began, and is not replaced. "
                "Move it away, or say `overwrite`, and run again with the same run directory: the answers are there."
            ) from exc
        return fault

    def rows(self) -> Iterator[Row]:
        if not self._written:
            return iter(())
        source = unattached(self.reader, **self.read_with())
        return (row for chunk in source.process() for row in chunk)

    def read_with(self) -> dict[str, Any]:
        """The fields of the source that reads back what was written."""
        return {"paths": self.path, "on_error": "raise"}


class SaveToJsonl(FileSink):
    """Rows into JSONL: one JSON object a line, with nested values and nulls as they are."""

    reader: ClassVar[Any] = LoadDataFromJsonl

    def append(self, draft: Draft, rows: list[Row]) -> None:
        draft.append(b"".join(_encoded(rows, self._written)))


class SaveToJson(FileSink):
    """Rows into JSON: one list of objects, one a line."""

    reader: ClassVar[Any] = LoadDataFromJson

    def append(self, draft: Draft, rows: list[Row]) -> None:
        opening = b",\n" if self._written else b"[\n"
        draft.append(opening + b",\n".join(_encoded(rows, self._written, end="")))

    def finish(self, draft: Draft) -> None:
        draft.append(b"\n]\n" if self._written else b"[]\n")


def _encoded(rows: list[Row], before: int, *, end: str = "\n") -> Iterator[bytes]:
    """The rows as JSON; so many came before them."""
    return (encode_row(row, end=end, number=number) for number, row in enumerate(rows, before + 1))


class SaveToCsv(FileSink):
    """Rows into CSV under a header of all columns that any row has.

    A null is an empty cell, and so is a column that the row lacks; lists and dicts are written as JSON.
    Half a surrogate pair, which UTF-8 does not have, is an error that names the row and the column.

    Attributes:
        delimiter: between cells; by default a tab in .tsv files and a comma in others.
    """

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)

    reader: ClassVar[Any] = LoadDataFromCsv

    _parting = field_validator("delimiter")(check_delimiter)

    _columns: dict[str, None] = PrivateAttr(default_factory=dict)
    _bare: int = PrivateAttr(default=0)  # how many of the first rows have no column at all
    _header: int = PrivateAttr(default=0)  # how many columns the header in the draft has

    def _between(self) -> str:
        return self.delimiter or ("\t" if suffix_of(str(self.path)) == ".tsv" else ",")

    def begin(self, draft: Draft) -> None:  # noqa: ARG002 - there is nothing to write yet
        self._columns, self._header, self._bare = {}, 0, 0

    def read_with(self) -> dict[str, Any]:
        return {**super().read_with(), "delimiter": self.delimiter}

    def append(self, draft: Draft, rows: list[Row]) -> None:
        columns = {**self._columns, **dict.fromkeys(column for row in rows for column in row)}
        if not columns:
            self._bare += len(rows)
            return
        records: list[list[Any]] = [[row.get(column) for column in columns] for row in rows]
        if not self._header:
            records[:0] = [list(columns), *([None] * len(columns) for _ in range(self._bare))]
        try:
            data = encode_records(records, self._between())
        except Exception as exc:  # of a value's own methods, too
            raise self._misfit(draft, rows, columns) from exc
        draft.append(data)
        self._columns, self._header = columns, self._header or len(columns)

    def _misfit(self, draft: Draft, rows: list[Row], columns: Iterable[str]) -> ConfigurationError:
        """The error that names the row that cannot be encoded; those before it are written."""
        place, column, fault = next(
            (place, column, fault)
            for place, row in enumerate(rows)
            for column in columns
            if (fault := _fault(column) or _fault(row.get(column))) is not None
        )
        number = self._written + place + 1
        if place:
            self.append(draft, rows[:place])
            self._written += place
        return ConfigurationError(
            f"{shown(str(self.path))}: row {number}: the column {column!r} {fault}. The rows before it are kept."
        )

    def finish(self, draft: Draft) -> ConfigurationError | None:
        """Columns that came later make the first records too short; then the draft is written once more."""
        if self._bare and not self._header:
            return ConfigurationError(
                f"{shown(str(self.path))}: the rows have no columns, so a CSV file has no place for them."
            )
        if self._header < len(self._columns):
            draft.rewrite(self._widened)
        return None

    def _widened(self, old: BinaryIO, new: BinaryIO) -> None:
        csv.field_size_limit(LARGEST_CELL)
        new.write(encode_records([list(self._columns)], self._between()))
        with decoded(old, "utf-8") as text:
            for cells in islice(csv.reader(text, delimiter=self._between()), 1, None):
                missing = [""] * (len(self._columns) - len(cells))
                new.write(encode_records([[*cells, *missing]], self._between()))


def _fault(value: Any) -> str | None:
    """The reason why a value cannot stand in a cell, and the remedy; or None."""
    try:
        encode_records([[value]])
    except UnicodeEncodeError:
        return (
            "holds half a surrogate pair, which UTF-8 does not have: mend the text, or write JSON Lines, which holds it"
        )
    except Exception as exc:  # noqa: BLE001 - as in `append`, which tells it
        return (
            f"holds a value that cannot be written ({described(exc).rstrip('.')}): make it a text, or drop the column"
        )
    return None


class SaveToStdout(Sink):
    """Rows to standard output: one JSON object a line, each on its way before the next is made.

    On a terminal the control characters that JSON may hold as they are (U+007F to U+009F) are escaped.
    """

    def write(self, rows: list[Row]) -> None:
        lines = b"".join(map(encode_row, rows))
        sys.stdout.buffer.write(_CONTROL.sub(_escaped, lines) if sys.stdout.isatty() else lines)
        sys.stdout.buffer.flush()


_CONTROL = re.compile(rb"\x7f|\xc2[\x80-\x9f]")  # in UTF-8


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


class SaveToFiles(Sink):
    """Rows into a file of any installed format, told by its suffix; `-` is standard output.

    The file is written by the step `save-to-<format>`. In the core: .jsonl, .ndjson, .json, .csv
    and .tsv; with limbeck-data also .parquet, .arrow and .feather.

    Attributes:
        path: where to: a path, a URL that fsspec opens, or `-`.
        options: further fields of the format's step.
    """

    path: str | Path
    options: dict[str, Any] = Field(default_factory=dict)

    _inner: Any = PrivateAttr(default=None)

    def _sink(self) -> Any:
        if self._inner is None:
            if str(self.path) == "-":
                self._inner = unattached(SaveToStdout)
            else:
                fields = {"path": self.path, "overwrite": self.overwrite, **self.options}
                self._inner = unattached(step_for("save-to", str(self.path)), **fields)
        return self._inner

    def targets(self) -> list[str]:
        return list(self._sink().targets())

    def open(self, *, replace: bool) -> None:
        self._sink().open(replace=replace)

    def guard(self, note: Callable[[str], object], *, replace: bool) -> None:
        """See `FileSink.guard`; of a sink that has it."""
        if hasattr(self._sink(), "guard"):
            self._sink().guard(note, replace=replace)

    def mark(self) -> str | None:
        """See `FileSink.mark`."""
        return self._sink().mark() if hasattr(self._sink(), "mark") else None

    def write(self, rows: list[Row]) -> None:
        self._sink().write(rows)

    def close(self, *, finished: bool) -> None:
        self._sink().close(finished=finished)

    def rows(self) -> Iterator[Row]:
        rows: Iterator[Row] = self._sink().rows()
        return rows
