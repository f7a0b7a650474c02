"""Lines of text files, each decoded by itself, so that one bad byte costs one line."""

from __future__ import annotations

import codecs
import io
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ZIP = b"PK\x03\x04"
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def check_encoding(encoding: str) -> str:
    """`encoding`, which Python knows as one of texts.

    Raises:
        ConfigurationError: it does not.
    """
    try:
        "a".encode(encoding)  # a look-up finds base64 and gzip too, which are no encodings of texts
    except (LookupError, ValueError) as exc:
        raise ConfigurationError(
            f"There is no encoding {encoding!r} of texts. Common ones are utf-8, latin-1, cp1252."
        ) from exc
    return encoding


def utf8_lines(file: Iterable[bytes], name: str, encoding: str) -> Iterator[bytes]:
    """The lines in UTF-8, without the mark that may stand before the first.

    In a file of UTF-8, bytes that are not UTF-8 are passed on: whose they are is found out later.

    Raises:
        ConfigurationError: the file is marked as being in another encoding, or is not in `encoding`.
    """
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return _unmarked(file, name)
    return _recoded(file, name, encoding)


def _unmarked(file: Iterable[bytes], name: str) -> Iterator[bytes]:
    lines = iter(file)
    first = next(lines, b"")
    for mark, other in _MARKS:
        if first.startswith(mark):
            raise ConfigurationError(f"{name}:1: this file is marked as {other}, not UTF-8. Say `encoding={other!r}`.")
    zeros = [byte == 0 for byte in first[:4]]
    if zeros in ([False, True] * 2, [True, False] * 2):
        other = "utf-16-le" if zeros[1] else "utf-16-be"
        raise ConfigurationError(f"{name}:1: this file looks like {other}, not UTF-8. Say `encoding={other!r}`.")
    if first.startswith(_ZIP):
        raise ConfigurationError(f"{name} is a ZIP archive. Unpack it, and name the files that were in it.")
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from lines


def _recoded(file: Iterable[bytes], name: str, encoding: str) -> Iterator[bytes]:
    done = 0
    with decoded(cast("BinaryIO", file), encoding) as lines:
        try:
            for line in lines:
                yield line.encode("utf-8", "surrogatepass")
                done += 1
        except UnicodeError as exc:
            raise ConfigurationError(f"{name}:{done + 1}: near this line the file is not {encoding}: {exc}.") from exc


@contextmanager
def decoded(file: BinaryIO, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The text of an open file, which stays whoever's it is to close."""
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    try:
        yield text
    finally:
        with suppress(ValueError):  # it is closed already
            text.detach()


def not_utf8(error: UnicodeDecodeError) -> str:
    """The fault of a text that is not UTF-8, and the remedy."""
    byte = error.object[error.start]
    return f"not UTF-8: byte {error.start + 1} is 0x{byte:02x}"
