"""The places of files: paths, globs, URLs; opened for reading whatever they are compressed with.

Local files need the standard library alone. URLs are fsspec's, and zstd is pyarrow's: both
come with limbeck-data, and are imported for the first that needs them.
"""

from __future__ import annotations

import glob
import io
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..errors import ConfigurationError, LimbeckError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_BEGINNINGS = {b"\x1f\x8b\x08": ".gz", b"BZh91AY&SY": ".bz2", b"\xfd7zXZ\x00": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}


def is_url(place: str) -> bool:
    """Tell whether fsspec, and not the file system, knows the place."""
    return bool(_URL.match(place))


def shown(place: str) -> str:
    """The place as messages and files may show it: a URL may hold a password, or be signed."""
    if not is_url(place):
        return place
    scheme, _, rest = _without_query(place).partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _without_query(place: str) -> str:
    return place.partition("?")[0] if is_url(place) else place


def compression_of(place: str) -> str | None:
    """The suffix that says how the file is compressed, or None."""
    suffix = Path(_without_query(place)).suffix.lower()
    return suffix if suffix in _COMPRESSIONS else None


def suffix_of(place: str) -> str:
    """The suffix that says what the file holds, that of a compression left out."""
    path = Path(_without_query(place))
    return (path.with_suffix("") if compression_of(place) else path).suffix.lower()


def is_plain_file(place: str) -> bool:
    """Tell whether it is a local file that can be read twice and is not compressed, whatever its name says."""
    if is_url(place) or compression_of(place) is not None or not Path(place).is_file():
        return False
    with named_faults(place), _raw(place) as file:
        return _compression_in(file) is None


def _compression_in(file: Any) -> str | None:
    """The suffix of what an open file is compressed with, told by its first bytes, or None."""
    begins = file.peek(10)
    return next((suffix for beginning, suffix in _BEGINNINGS.items() if begins.startswith(beginning)), None)


def expanded(paths: Sequence[str | Path]) -> list[str]:
    """The files that paths, globs and URLs name: in the order given, those of a glob sorted.

    Raises:
        ConfigurationError: one names nothing, or a folder.
    """
    return [place for path in paths for place in _named_by(str(path))]


def _named_by(path: str) -> list[str]:
    if is_url(path):
        return _remote(path)
    if Path(path).is_dir():
        raise ConfigurationError(f"{path!r} is a folder. Name its files with a pattern, such as {path + '/*.jsonl'!r}.")
    if Path(path).exists() or not glob.has_magic(path):
        return [path]
    found = sorted(each for each in glob.glob(path, recursive=True) if not Path(each).is_dir())  # noqa: PTH207 - Path's needs a base
    if not found:
        raise ConfigurationError(f"No file matches the pattern {path!r}.")
    return found


def _remote(url: str) -> list[str]:
    if not glob.has_magic(_without_query(url)):
        return [url]
    files = filesystem(url)
    with named_faults(url):
        found = sorted(files.glob(files._strip_protocol(url)))  # noqa: SLF001 - fsspec has no public name for it
    if not found:
        raise ConfigurationError(f"No file matches the pattern {shown(url)!r}.")
    return [files.unstrip_protocol(each) for each in found]


def filesystem(url: str) -> Any:
    """The fsspec file system of a URL.

    Raises:
        MissingDependencyError: fsspec, or its package for this kind of URL, is not installed.
        ConfigurationError: nothing knows this kind of URL.
    """
    try:
        import fsspec
    except ImportError as exc:
        raise MissingDependencyError("fsspec", needed_by=f"Opening {shown(url)!r}", requirement="limbeck-data") from exc
    protocol = url.partition("://")[0]
    try:
        return fsspec.url_to_fs(url)[0]
    except ImportError as exc:  # fsspec's words name the package
        raise ConfigurationError(f"{shown(url)!r} cannot be opened: {exc}.") from exc
    except ValueError as exc:
        raise ConfigurationError(f"{shown(url)!r} cannot be opened: fsspec knows no {protocol!r} ({exc}).") from exc


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    """A file open for reading, decompressed: as its suffix says, else as its first bytes do.

    Raises:
        ConfigurationError: it cannot be opened, or read, or is not compressed as its suffix says.
    """
    with named_faults(place), _raw(place) as raw:
        suffix = compression_of(place) or _compression_in(raw)
        if suffix is None:
            yield raw
        else:
            with decompressed(raw, suffix) as stream:
                yield stream


def _raw(place: str) -> io.BufferedReader:
    if is_url(place):
        return io.BufferedReader(filesystem(place).open(place, "rb"))
    return Path(place).open("rb")


def decompressed(raw: BinaryIO, suffix: str) -> BinaryIO:
    """Decompress `raw` as `suffix` says."""
    if suffix == ".zst":
        stream = _pyarrow(suffix).CompressedInputStream(raw, "zstd")
        return cast("BinaryIO", io.BufferedReader(stream))
    return cast("BinaryIO", _standard(suffix).open(raw, "rb"))


def compressed(raw: BinaryIO, suffix: str) -> BinaryIO:
    """A stream that writes to `raw`, compressed as `suffix` says; closing it leaves `raw` open."""
    if suffix == ".zst":
        return cast("BinaryIO", _pyarrow(suffix).CompressedOutputStream(raw, "zstd"))
    return cast("BinaryIO", _standard(suffix).open(raw, "wb"))


def _standard(suffix: str) -> Any:
    import bz2
    import gzip
    import lzma

    return {".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix]


def _pyarrow(suffix: str) -> Any:
    try:
        import pyarrow as pa
    except ImportError as exc:
        raise MissingDependencyError("pyarrow", needed_by=f"A {suffix} file", requirement="limbeck-data") from exc
    return pa


@contextmanager
def named_faults(place: str) -> Iterator[None]:
    """Faults of reaching `place` as errors that name it."""
    import lzma
    import zlib

    try:
        yield
    except LimbeckError:
        raise
    except Exception as exc:  # the isolation boundary of whatever fsspec has behind a URL
        if not is_url(place) and not isinstance(exc, OSError | EOFError | zlib.error | lzma.LZMAError):
            raise
        missing = "there is no such file" if isinstance(exc, FileNotFoundError) else None
        reason = getattr(exc, "strerror", None) or missing or str(exc) or type(exc).__name__
        raise ConfigurationError(f"{shown(place)!r} cannot be read: {reason.rstrip('.')}.") from exc
