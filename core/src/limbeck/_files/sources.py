"""Sources: rows from files, whatever the format, one file after another and a few rows at a time."""

from __future__ import annotations

import codecs
import os
import sys
import warnings
from abc import abstractmethod
from collections.abc import Iterable  # noqa: TC003 - pydantic reads it
from contextlib import contextmanager
from contextvars import copy_context
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from pydantic import Field, PrivateAttr, field_validator

from .._step import GeneratorStep, open_pipeline
from ..errors import ConfigurationError, LimbeckWarning, RowError
from ..types import Row  # noqa: TC001 - pydantic reads it
from .csv_rows import CsvReader, check_delimiter
from .json_rows import rows_of_lines, rows_of_list
from .places import expanded, is_plain_file, is_url, opened, shown, suffix_of
from .texts import check_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator

_DECLARING_ROWS = 256  # as many as a stream is looked into
_FILES_LOOKED_INTO = 16
_BLOCK = 1 << 20
_LARGEST_BLANK = 4 << 10  # bytes; a file of more blank lines has no rows, and is not told of
_LARGEST_COUNTED_CSV = 64 << 20  # bytes; counting its records means parsing it


class FileSource(GeneratorStep):
    """The base of every source of files; a format defines `read`, and better forms of the rest where it can.

    Files are read as a stream, in the order given. A record that is no row comes out as a
    `RowError` in its place, which says file and line, and the others go on; with
    `on_error="raise"` it is raised.

    Attributes:
        paths: a path, a pattern (`data/*.jsonl`, `data/**/*.jsonl`) or a URL that fsspec opens, or
            a list of those. Files compressed with gzip, bzip2, xz or zstd are decompressed,
            whatever they are called.
        batch_size: rows in each list that `process` yields.
    """

    paths: str | Path | list[str | Path]
    batch_size: int = Field(default=256, ge=1)

    # Whether a file of no bytes holds what the format expects (a text may be empty).
    empty_files: ClassVar[bool] = False

    _columns: list[str] | None = PrivateAttr(default=None)

    @field_validator("paths")
    @classmethod
    def _some(cls, paths: Any) -> Any:
        if not paths:
            raise ConfigurationError("`paths` names no file: give a path, a pattern, a URL or a list of them.")
        return paths

    def _check_columns(self) -> None:
        """Check nothing when it is made: its columns stand in the files."""

    def _check_mappings(self) -> None:
        if self.input_mappings:
            raise ConfigurationError(f"{self.name!r} is a source: it has no columns for `input_mappings` to rename.")

    @abstractmethod
    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        """The rows of one open file, which messages call `name`."""

    def columns_of(self, place: str) -> list[str]:
        """The columns of one file, found without reading all of it."""
        with opened(place) as file:
            rows = (
                row for row in islice(self.read(file, shown(place)), _DECLARING_ROWS) if not isinstance(row, RowError)
            )
            return list(dict.fromkeys(column for row in rows for column in row))

    def count_of(self, place: str) -> int | None:  # noqa: ARG002 - a format that can tell uses it
        """The number of rows of one file, or None where finding out means reading it."""
        return None

    def places(self) -> list[str]:
        """The files, as paths and URLs.

        Raises:
            ConfigurationError: there is none, one cannot be read, or they are empty.
        """
        paths = self.paths if isinstance(self.paths, list) else [self.paths]
        places = expanded(paths)
        empty = [] if self.empty_files else [place for place in places if _is_blank(place)]
        if len(empty) == len(places) > 0:
            raise ConfigurationError(f"{empty[0]!r} is empty: it has no rows.")
        for place in empty:
            warnings.warn(f"{place!r} is empty, and is passed over.", LimbeckWarning, stacklevel=2)
        return [place for place in places if place not in empty]

    @property
    def outputs(self) -> list[str]:
        """The columns of the first rows of the first files; files are looked into when this is first asked for."""
        if self._columns is None:
            places = [place for place in self.places() if is_url(place) or Path(place).is_file()][:_FILES_LOOKED_INTO]
            found = dict.fromkeys(column for place in places for column in self.columns_of(place))
            found.pop(_failed_column(), None)
            self._columns = list(found)
        return self._columns

    def count(self) -> int | None:
        """The number of rows, or None where finding out would cost too much."""
        total = 0
        for place in self.places():
            rows = self.count_of(place) if is_plain_file(place) else None
            if rows is None:
                return None
            total += rows
        return total

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:  # noqa: ARG002 - a source takes none
        return chunks(self._rows(), self.batch_size, strict=self.on_error == "raise")

    def _rows(self) -> Iterator[Row | RowError]:
        for place in self.places():
            yield from self.rows_of(place)

    def rows_of(self, place: str) -> Iterator[Row | RowError]:
        """The rows of one file."""
        with opened(place) as file:
            yield from self.read(file, shown(place))


def chunks(rows: Iterator[Row | RowError], size: int, *, strict: bool) -> Iterator[list[Any]]:
    """Lists of `size` rows. What was read before a fault goes out before the fault is raised.

    Rows that an earlier run wrote to its `failed.jsonl` lose the column with their errors.
    """
    failed = _failed_column()
    chunk: list[Any] = []
    try:
        for row in rows:
            if isinstance(row, RowError):
                if strict:
                    raise row
            else:
                row.pop(failed, None)
            chunk.append(row)
            if len(chunk) >= size:
                yield chunk
                chunk = []
    except (ConfigurationError, RowError):
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _failed_column() -> str:
    from .._engine.ledger.failed_rows import FAILED_COLUMN

    return FAILED_COLUMN


def _is_blank(place: str) -> bool:
    """Tell whether it is a file of nothing, or of a few blank lines, or of those compressed."""
    if is_url(place):
        return False
    try:
        path = Path(place)
        if path.stat().st_size > _LARGEST_BLANK or not path.is_file():
            return False
    except OSError as exc:
        raise ConfigurationError(f"{place!r} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:  # a NUL in the path
        raise ConfigurationError(f"{place!r} names no file: {exc}.") from exc
    with opened(place) as file:
        return not file.read(_LARGEST_BLANK).removeprefix(codecs.BOM_UTF8).strip()


class LoadDataFromJsonl(FileSource):
    """Rows from JSONL: one JSON object a line. Blank lines are passed over. One JSON list of objects is read too.

    Attributes:
        encoding: of the files.
    """

    encoding: str = "utf-8"

    _known = field_validator("encoding")(check_encoding)

    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        return rows_of_lines(file, name, self.encoding)

    def count_of(self, place: str) -> int | None:
        """Lines, which are rows but for blank ones."""
        lines, last = 0, b"\n"
        with Path(place).open("rb") as file:
            if file.peek(64).removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"[":  # a list
                return None
            while block := file.read(_BLOCK):
                lines += block.count(b"\n")
                last = block[-1:]
        return lines + (last != b"\n")


class LoadDataFromJson(FileSource):
    """Rows from JSON: a list of objects, which is read whole."""

    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        return rows_of_list(file, name)


class LoadDataFromCsv(FileSource):
    """Rows from CSV whose first record names the columns. Every value is text; an empty cell is an empty text.

    Attributes:
        delimiter: between cells; by default a tab in .tsv files and a comma in others.
        encoding: of the files.
    """

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str = "utf-8"

    _known = field_validator("encoding")(check_encoding)
    _parting = field_validator("delimiter")(check_delimiter)

    def _reader(self, file: Iterable[bytes], name: str) -> CsvReader:
        delimiter = self.delimiter or ("\t" if suffix_of(name) == ".tsv" else ",")
        return CsvReader(file, name, delimiter=delimiter, encoding=self.encoding)

    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        return iter(self._reader(file, name))

    def columns_of(self, place: str) -> list[str]:
        with opened(place) as file:
            return self._reader(file, shown(place)).columns

    def count_of(self, place: str) -> int | None:
        if Path(place).stat().st_size > _LARGEST_COUNTED_CSV:
            return None
        return sum(1 for _ in self.rows_of(place))


class LoadDataFromStdin(GeneratorStep):
    """Rows from standard input: one JSON object a line, each on its way as soon as it is there."""

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:  # noqa: ARG002 - a source takes none
        if sys.stdin.isatty():
            raise ConfigurationError("Standard input is a terminal: pipe rows in, or name a file.")
        return self._chunks()

    def _chunks(self) -> Iterator[list[Row]]:
        with _stdin() as stream:
            yield from chunks(rows_of_lines(stream, "stdin"), 1, strict=self.on_error == "raise")


@contextmanager
def _stdin() -> Iterator[BinaryIO]:
    """A reader of its own: the interpreter waits at its end for whoever reads `sys.stdin`."""
    try:
        stream: BinaryIO = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    except (OSError, ValueError):  # a test's stand-in for a file
        yield sys.stdin.buffer
        return
    with stream:
        yield stream


_FORMATS = {
    ".ndjson": "jsonl",
    ".tsv": "csv",
    ".pq": "parquet",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".txt": "text-files",
    ".text": "text-files",
    ".md": "text-files",
    ".markdown": "text-files",
}


def format_of(place: str) -> str:
    """The format that a file's name says: the last part of a step's name, as in `load-data-from-parquet`.

    Raises:
        ConfigurationError: it has no suffix.
    """
    suffix = suffix_of(place)
    if not suffix:
        raise ConfigurationError(
            f"{shown(place)!r} has no suffix that says what it holds, such as .jsonl, .csv or .parquet."
        )
    return _FORMATS.get(suffix, suffix[1:])


def step_for(prefix: str, place: str) -> Any:
    """The class of the step whose name is `prefix` and the format of `place`, whoever provides it.

    Raises:
        ConfigurationError: nothing installed reads, or writes, such files.
    """
    from .._registry.registry import default_registry
    from ..errors import UnknownNameError

    name = f"{prefix}-{format_of(place)}"
    try:
        return default_registry().get("step", name)
    except UnknownNameError as exc:
        names = [each for each in default_registry().names("step") if each.startswith(f"{prefix}-")]
        known = {each.removeprefix(f"{prefix}-") for each in names} - {"dicts", "files", "stdin", "stdout"}
        formats = ", ".join(sorted(known))
        install = " Run: pip install limbeck-data." if "pip install limbeck-data" in str(exc) else ""
        raise ConfigurationError(
            f"{shown(place)!r}: nothing installed handles {suffix_of(place)} files.{install} "
            f"The known formats are {formats}."
        ) from exc


def unattached(cls: Any, **fields: Any) -> Any:
    """A step for another's own use, which does not join the open pipeline."""

    def make() -> Any:
        open_pipeline.set(None)
        return cls(**fields)

    return copy_context().run(make)


class LoadDataFromFiles(FileSource):
    """Rows from files of any installed format, told by their suffixes; `-` is standard input.

    Each file is read by the step `load-data-from-<format>`. In the core: .jsonl, .ndjson, .json,
    .csv and .tsv; with limbeck-data also .parquet, .arrow, .feather, .txt and .md.

    Attributes:
        options: further fields of the formats' steps, such as `{"encoding": "latin-1"}`.
    """

    options: dict[str, Any] = Field(default_factory=dict)

    empty_files: ClassVar[bool] = True  # each format's step says

    _sources: dict[Any, Any] = PrivateAttr(default_factory=dict)

    def places(self) -> list[str]:
        if self.paths == "-":
            return []
        places = super().places()
        return [each for place in places for each in self._source(place).model_copy(update={"paths": place}).places()]

    def _source(self, place: str) -> Any:
        cls = step_for("load-data-from", place)
        if cls not in self._sources:
            fields = {"batch_size": self.batch_size, "on_error": self.on_error, **self.options}
            self._sources[cls] = unattached(cls, paths=place, **fields)
        return self._sources[cls]

    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        rows: Iterator[Row | RowError] = self._source(name).read(file, name)
        return rows

    def columns_of(self, place: str) -> list[str]:
        return list(self._source(place).columns_of(place))

    def count_of(self, place: str) -> int | None:
        rows: int | None = self._source(place).count_of(place)
        return rows

    def count(self) -> int | None:
        return None if self.paths == "-" else super().count()

    def rows_of(self, place: str) -> Iterator[Row | RowError]:
        rows: Iterator[Row | RowError] = self._source(place).rows_of(place)
        return rows

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:
        if self.paths == "-":
            rows: Iterator[list[Row]] = unattached(LoadDataFromStdin, on_error=self.on_error).process()
            return rows
        return super().process(inputs)
