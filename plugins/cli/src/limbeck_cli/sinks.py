"""Where rows go: a JSONL file or stdout, a line at a time, each on its way before the next is made."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from limbeck.types import Row


def encode_row(row: Row) -> bytes:
    """A row as a line of JSON in UTF-8.

    Half a surrogate pair has no UTF-8, so a row that holds one is written with escapes. A
    value that JSON does not have is written as its text: an answer that was paid for is not
    lost for its type.
    """
    try:
        return _dumps(row, escaped=False).encode("utf-8")
    except UnicodeEncodeError:
        return _dumps(row, escaped=True).encode("ascii")


def _dumps(row: Row, *, escaped: bool) -> str:
    return json.dumps(row, ensure_ascii=escaped, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if callable(getattr(value, "model_dump", None)):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if callable(getattr(value, "isoformat", None)) else str(value)


class Sink:
    """Writes rows to stdout.

    Attributes:
        name: what messages call it. rows: how many were written.
    """

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name = name
        self.rows = 0
        self._stream = stream

    def write(self, row: Row) -> None:
        """Write a row; it has left this process when the call returns."""
        self._stream.write(encode_row(row))
        self._stream.flush()
        self.rows += 1

    def close(self, *, finished: bool) -> None:
        """End; `finished` says that all rows were written, be they none."""


class FileSink(Sink):
    """Writes rows to a file, which is touched only once there is something to write.

    So a run that fails before its first row leaves an old file as it was, and no empty new one.
    """

    def __init__(self, path: Path, stream: BinaryIO, *, existed: bool) -> None:
        super().__init__(str(path), stream)
        self._path = path
        self._existed = existed
        self._fresh = not existed

    def write(self, row: Row) -> None:
        """Write a row; it has left this process when the call returns."""
        self._empty()
        super().write(row)

    def _empty(self) -> None:
        if not self._fresh and self._path.is_file():
            self._stream.truncate(0)
        self._fresh = True

    def close(self, *, finished: bool) -> None:
        """Close the file; a new one that got no row for a failure is removed."""
        if finished:
            self._empty()
        with nullcontext() if finished else suppress(OSError):  # what could not be written was told already
            self._stream.close()
        if not finished and not self.rows and not self._existed:
            self._path.unlink()


def open_sink(target: str) -> Sink:
    """The sink that a path or `-` means, open; a file is replaced.

    Raises:
        ConfigurationError: it cannot be written.
    """
    if target == "-":
        return Sink("stdout", sys.stdout.buffer)
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        stream = path.open("wb" if is_special(path) or not existed else "r+b")
    except OSError as exc:
        raise ConfigurationError(f"The output {target!r} cannot be written: {exc.strerror}.") from exc
    return FileSink(path, stream, existed=existed)


def is_special(path: Path) -> bool:
    """Whether it is a device or a named pipe."""
    return path.exists() and not path.is_file()


def check_output(target: str, *, replace: Callable[[], bool], source: str | None, run_dir: Path | None = None) -> None:
    """Raise unless rows may be written to a path, or to `-`. Nothing is touched.

    Args:
        target: what was asked for. replace: whether an existing file may be replaced.
        source: the input's path, which cannot be written to while it is read.
        run_dir: the directory that the user named, for the message.

    Raises:
        ConfigurationError: it exists, is the input, or is not a .jsonl file.
    """
    path = Path(target)
    if target == "-" or is_special(path):
        return
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        raise ConfigurationError(f"The output {str(path)!r} must be a .jsonl file: rows are written one a line.")
    if not path.exists():
        return
    if source is not None and Path(source).exists() and path.samefile(source):
        raise ConfigurationError(f"The output {str(path)!r} is the input. Write to another file.")
    if not replace():
        other = f", and was not made from the run directory {str(run_dir)!r}" if run_dir else ""
        raise ConfigurationError(
            f"The output {str(path)!r} exists{other}. Give --overwrite to replace it, or write to another file."
        )
