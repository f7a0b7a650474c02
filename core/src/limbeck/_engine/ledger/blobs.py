"""The files of a run: images, audio and documents, each kept once, under a name made of its content's digest.

They lie in `blobs/` beside the ledger, which holds their names only.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

    from ...types import Durability

FOLDER = "blobs"
_DRAFT = ".blob-*.part"  # beside the folder, so that those that a kill left are found among few files
# A browser or a viewer goes by the suffix. None is here that would run what is in the file.
_SUFFIXES = {
    "application/pdf": ".pdf",
    "audio/aac": ".aac",
    "audio/aiff": ".aiff",
    "audio/flac": ".flac",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "audio/webm": ".weba",
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/heic": ".heic",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tiff",
    "image/webp": ".webp",
    "text/plain": ".txt",
}
_NAME = re.compile(r"([0-9a-f]{64})\.[a-z0-9]+", re.ASCII)


def blob_name(digest: str, media_type: str) -> str:
    """The name of a file: the SHA-256 of its content, in hexadecimal, and the suffix of its type."""
    return digest + _SUFFIXES.get(media_type, ".bin")


class Blobs:
    """The files beside one ledger. Several threads and processes may put the same one.

    Args:
        run_dir: the run directory; `blobs/` is made there with the first file.
        durability: "full" has a file on disk, whatever happens to the machine, before `put` returns.
    """

    def __init__(self, run_dir: Path, *, durability: Durability = "normal") -> None:
        self.folder = run_dir / FOLDER
        self._synced = durability == "full"

    def put(self, content: bytes, media_type: str) -> str:
        """Keep `content`, where it is not there already, and return its name.

        Raises:
            LedgerError: it cannot be written.
        """
        name = blob_name(hashlib.sha256(content).hexdigest(), media_type)
        path = self.folder / name
        try:
            if not _holds(path, content):
                self._write(path, content)
        except OSError as exc:
            raise LedgerError(
                f"{str(path)!r} cannot be written: {exc}. What was committed before is safe; mend the cause (free some "
                "space, say) and run again with the same directory."
            ) from exc
        return name

    def has(self, name: str, size: int) -> bool:
        """Tell whether a file is there, with as many bytes."""
        try:
            return self.path(name).stat().st_size == size
        except OSError:
            return False

    def get(self, name: str) -> bytes:
        """The content of a file, once its digest is the one in its name.

        Raises:
            LedgerError: it is not there, or damaged.
        """
        path = self.path(name)
        try:
            content = path.read_bytes()
        except OSError as exc:
            raise LedgerError(f"The file {name!r} of the run directory cannot be read: {exc}.") from exc
        if hashlib.sha256(content).hexdigest() != name.partition(".")[0]:
            raise LedgerError(
                f"{str(path)!r} is damaged: its content is not the one that was kept. Look after the disk."
            )
        return content

    def path(self, name: str) -> Path:
        """The place of a file.

        Raises:
            LedgerError: the name is none that `put` gave.
        """
        if _NAME.fullmatch(name) is None:
            raise LedgerError(f"{name!r} is no name of a file in `{FOLDER}/`: those are digests with a suffix.")
        return self.folder / name

    def forget_drafts(self) -> None:
        """Delete what a killed process left half written; for who holds the run directory."""
        for draft in self.folder.parent.glob(_DRAFT):
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        """Write a whole file or none: a name never stands for a part of its content."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder.parent / _DRAFT.replace("*", uuid.uuid4().hex)
        try:
            with draft.open("xb") as file:
                file.write(content)
                if self._synced:
                    file.flush()
                    os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        if self._synced:
            _sync_folder(self.folder)
            _sync_folder(self.folder.parent)  # which holds the name of this one


def _holds(path: Path, content: bytes) -> bool:
    """Tell whether a file has this content; one that a power cut left torn has not, and is written anew."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Have a folder's names on disk, where the system lets a folder be opened."""
    with suppress(PermissionError):  # of Windows
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
