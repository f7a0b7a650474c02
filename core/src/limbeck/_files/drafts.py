"""Files in the making: written beside their target under another name, and published whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ConfigurationError
from .places import compressed, compression_of, decompressed, filesystem, is_url, named_faults, shown

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    import fcntl
except ImportError:  # Windows refuses a second writer by itself
    fcntl = None  # type: ignore[assignment]


_PART = ".part"


def check_target(target: str, *, replace: bool) -> None:
    """Raise unless a file may be made at `target`. Nothing is touched.

    Raises:
        ConfigurationError: it exists and may not be replaced, or cannot be written.
    """
    if is_url(target):
        with named_faults(target):
            if not replace and filesystem(target).exists(target):
                raise _exists(target)
        return
    if "\0" in target:
        raise ConfigurationError(f"The output {target!r} names no file: there is a NUL in it.")
    path = Path(target)
    if is_special(path):
        return
    if path.is_dir():
        raise ConfigurationError(f"The output {target!r} is a folder. Name a file in it.")
    if path.exists() and not replace:
        raise _exists(target)
    parent = next(each for each in path.absolute().parents if each.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        reason = "is not writable" if parent.is_dir() else "is not a folder"
        raise ConfigurationError(f"The output {target!r} cannot be written: {str(parent)!r} {reason}.")


def _exists(target: str) -> ConfigurationError:
    return ConfigurationError(
        f"The output {shown(target)!r} exists. Say `overwrite` to replace it, or write to another file."
    )


def mark_of(target: str) -> str | None:
    """A mark that differs once the file at a target is replaced or changed; None where there is no file."""
    if is_url(target):
        with named_faults(target):
            files = filesystem(target)
            return str(files.checksum(target)) if files.exists(target) else None
    path = Path(target)
    if not path.is_file():
        return None
    found = path.stat()
    return f"{found.st_size}:{found.st_mtime_ns}"


def is_special(path: Path) -> bool:
    """Tell whether it is a device or a named pipe: nothing to be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _is_held(descriptor: int, path: Path) -> bool:
    """Tell whether an open draft is this writer's alone, and still the one at its path: not published meanwhile."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


class Draft:
    """The draft of what is to become the file `target`, a path or a URL.

    Args:
        target: its suffix may ask for compression.
        packed: whether to compress what is appended; a format that compresses by itself says no.

    Attributes:
        path: where the draft is, on this machine.

    Raises:
        OSError: it cannot be made.
        ConfigurationError: the same file is being written already.
    """

    def __init__(self, target: str, *, packed: bool = True) -> None:
        self._target = target
        self._suffix = compression_of(target) if packed else None
        self._folder: Path | None = None
        self._special = not is_url(target) and is_special(Path(target))
        self.path = self._place()
        self._raw = self._opened(self.path)
        self._stream: BinaryIO = compressed(self._raw, self._suffix) if self._suffix else self._raw
        self._good = 0
        self._broken = False
        self._published = False
        self._beside: list[Path] = []

    def _place(self) -> Path:
        if is_url(self._target):
            self._folder = Path(tempfile.mkdtemp(prefix="limbeck-"))
            return self._folder / "draft"
        path = Path(os.path.realpath(self._target))  # a link goes on leading to its file
        if self._special:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f".{path.name}{_PART}")

    def _opened(self, path: Path) -> BinaryIO:
        if self._special:
            return path.open("wb", buffering=0)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _is_held(descriptor, path):
            os.close(descriptor)
            raise ConfigurationError(f"The output {self._target!r} is being written already.")
        os.truncate(descriptor, 0)
        return os.fdopen(descriptor, "wb", buffering=0)

    def append(self, data: bytes) -> None:
        """Write `data` wholly, or not at all and raise OSError."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._stream.write(rest) or len(rest) :]
        except OSError:
            self._mend()
            raise
        self._good += len(data)

    def _mend(self) -> None:
        """Take back the half of a chunk that went into a full disk."""
        if self._suffix or self._special:
            self._broken = True
        else:
            with suppress(OSError):
                self._raw.truncate(self._good)
                self._raw.seek(self._good)

    def beside(self) -> Path:
        """The path of another file for the draft's maker, which goes away with the draft."""
        path = self.path.with_name(f"{self.path.name}{len(self._beside) + 2}")
        self._beside.append(path)
        return path

    def rewrite(self, copy: Callable[[BinaryIO, BinaryIO], object]) -> None:
        """Put in the draft's place what `copy` makes of it: it reads the one stream and writes the other."""
        self._stream.close()
        second = self.beside()
        with self.path.open("rb") as old, second.open("wb") as new:
            source = decompressed(old, self._suffix) if self._suffix else old
            target = compressed(new, self._suffix) if self._suffix else new
            copy(source, target)
            if target is not new:
                target.close()
        second.replace(self.path)

    def publish(self, *, replace: bool = True, note: Callable[[str], object] | None = None) -> None:
        """Put the draft in the target's place, at once and whole.

        Args:
            replace: whether a file that is there is replaced.
            note: called with the mark that the target will have, before it is there, for a kill may come at
                any moment; of a URL, once it is there.

        Raises:
            OSError: it cannot be. The target is as it was.
            FileExistsError: there is a file, which is not to be replaced.
        """
        if self._broken:
            raise OSError("what was written of it is not whole")
        if self._stream is not self._raw:
            self._stream.close()
        if self._special:
            self._raw.close()
            return
        if self._folder is not None:
            self._raw.close()
            filesystem(self._target).put_file(str(self.path), self._target)
            if note is not None:
                note(mark_of(self._target) or "")
            self.discard()
            self._published = True
            return
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        if note is not None:
            note(mark_of(str(self.path)) or "")
        if os.name == "nt":  # which moves no file that is open
            self._raw.close()
        self._move(self.path.with_name(self.path.name[1 : -len(_PART)]), replace=replace)
        self._raw.close()  # last: the lock is on the file until it is in its place
        self._clear()
        self._published = True

    def _move(self, target: Path, *, replace: bool) -> None:
        if not replace:
            try:
                os.link(self.path, target)  # unlike a move, it never replaces
            except FileExistsError:
                raise
            except OSError as exc:  # a file system without links
                if target.exists():
                    raise FileExistsError(str(target)) from exc
            else:
                self.path.unlink()
                return
        self.path.replace(target)

    def discard(self) -> None:
        """Leave nothing of it; a target that was not published is as it was."""
        if self._published:
            return
        for stream in (self._stream, self._raw):
            with suppress(OSError, ValueError):
                stream.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        elif not self._special:
            self._clear()

    def _clear(self) -> None:
        for path in (self.path, *self._beside):
            path.unlink(missing_ok=True)
