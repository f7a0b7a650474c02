"""From what a column holds to content or an address: paths, bytes, PIL images, URLs, values of `datasets`.

Nothing is downloaded, and nothing is read but regular files.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import MediaError
from .kinds import NOUNS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 80  # characters of a value in a message
_LONGEST_NAME = 255  # of a file, in most systems
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
_INSTEAD = {"I": "I;16", "PA": "RGBA", "RGBa": "RGBA", "La": "LA"}  # of a mode that PNG lacks; of the others RGB


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The content of a value, or its address.

    Attributes:
        content: the bytes, None of a URL. url: where the provider fetches it.
        path: the file that has the content. media_type: what the value itself says, where it does.
    """

    content: bytes | None = None
    url: str | None = None
    path: str | None = None
    media_type: str | None = None


def found_in(value: Any, kind: Kind, *, max_bytes: int) -> Found:
    """The content of a value, or its address.

    Raises:
        MediaError: there is none, or more than `max_bytes`.
    """
    found = _found(value, kind, max_bytes)
    if found.content is not None:
        if not found.content:
            refuse(value, kind, "it is empty, 0 bytes long")
        if len(found.content) > max_bytes:
            refuse(value, kind, _too_large(len(found.content), max_bytes))
    return found


def is_pil(value: Any) -> bool:
    """Tell whether a value is an image of Pillow; nothing is imported for it."""
    return any(cls.__module__ == "PIL.Image" and cls.__name__ == "Image" for cls in type(value).__mro__)


def image_bytes(value: Any) -> bytes | None:
    """An image of Pillow as PNG; None of anything else.

    A mode that PNG lacks becomes RGB, or the one nearest to it; transparency is kept.

    Raises:
        ValueError: Pillow cannot write it: it is empty, or its file cannot be read.
    """
    if not is_pil(value):
        return None
    from io import BytesIO

    file = BytesIO()
    try:
        if value.mode not in _PNG_MODES:
            value = value.convert(_INSTEAD.get(value.mode, "RGB"))
        value.save(file, format="PNG")
    except Exception as exc:  # the boundary of Pillow, which raises anything
        raise ValueError(f"Pillow cannot write it as PNG ({type(exc).__name__}: {exc})") from exc
    return file.getvalue()


def read_file(path: str, max_bytes: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it cannot be read. ValueError: it is no file, or too large.
    """
    found = os.stat(path)  # noqa: PTH116 - `Path` would take apart what is not UTF-8 no better
    if stat.S_ISDIR(found.st_mode):
        raise ValueError("it is a directory")
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device would never end
        raise ValueError("it is no regular file")
    if found.st_size > max_bytes:
        raise ValueError(_too_large(found.st_size, max_bytes))
    with Path(path).open("rb") as file:
        content = file.read(max_bytes + 1)  # what is no file on a disk may say nothing of its size
    if len(content) > max_bytes:
        raise ValueError(_too_large(len(content), max_bytes))
    return content


def refuse(value: Any, kind: Kind, reason: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the error for a value that cannot be sent."""
    raise MediaError(f"{_subject(value)} cannot be sent as {NOUNS[kind]}: {reason}.", value=value) from cause


def _found(value: Any, kind: Kind, max_bytes: int) -> Found:
    if isinstance(value, bytes | bytearray | memoryview):
        return Found(content=bytes(value))
    if isinstance(value, str | os.PathLike):
        return _of_text(value, kind, max_bytes)
    if isinstance(value, dict):
        return _of_datasets(value, kind, max_bytes)
    if is_pil(value):
        try:
            return Found(content=image_bytes(value))
        except ValueError as exc:
            refuse(value, kind, str(exc), exc)
    if value is None:
        refuse(value, kind, "there is nothing in it. Fill it, or take such rows out first")
    refuse(value, kind, f"it is neither a path, bytes, a PIL image nor a URL{_way_in(value)}")


def _of_datasets(value: Mapping[Any, Any], kind: Kind, max_bytes: int) -> Found:
    """A value of the features `Image` and `Audio` of `datasets`: the bytes, else the path."""
    content = value.get("bytes")
    if isinstance(content, str) and content[:5].lower() != "data:":
        refuse(value, kind, "its `bytes` are a text, which is taken only as a `data:` URL")
    if content is not None:
        return _found(content, kind, max_bytes)
    if value.get("path") is not None:
        return _found(value["path"], kind, max_bytes)
    if "array" in value:
        refuse(value, kind, "it is decoded. Read it undecoded: `dataset.cast_column(…, Audio(decode=False))`")
    refuse(value, kind, "a dict must have `bytes` or `path`, as the features of `datasets` have")


def _of_text(value: str | os.PathLike[Any], kind: Kind, max_bytes: int) -> Found:
    text = os.fsdecode(value)
    if isinstance(value, str):
        scheme = text[:16].lower()
        if scheme.startswith(("http://", "https://")):
            return Found(url=text)
        if scheme.startswith("data:"):
            return _of_data_url(text, kind, max_bytes)
        if scheme.startswith("file://"):
            text = _path_of(text)
        elif "://" in scheme:
            refuse(value, kind, "only `http`, `https`, `data` and `file` URLs are taken. Give the bytes")
    try:
        return Found(content=read_file(text, max_bytes), path=text)
    except FileNotFoundError as exc:
        refuse(value, kind, "there is no such file", exc)
    except OSError as exc:
        base64 = ". Base64 is taken as bytes, or as `data:<media type>;base64,…`" if len(text) > _LONGEST_NAME else ""
        refuse(value, kind, f"it cannot be read: {exc.strerror or exc}{base64}", exc)
    except ValueError as exc:  # of ours, or a NUL in the path
        refuse(value, kind, str(exc), exc)


def _path_of(url: str) -> str:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return url2pathname(urlsplit(url).path)


def _of_data_url(url: str, kind: Kind, max_bytes: int) -> Found:
    """The content of a `data:` URL (RFC 2397)."""
    from base64 import b64decode
    from urllib.parse import unquote_to_bytes

    head, comma, data = url[len("data:") :].partition(",")
    if not comma:
        refuse(url, kind, "this `data:` URL has no comma before its content")
    if len(data) > 4 * max_bytes:  # before it is taken apart; percent signs make three characters of a byte
        refuse(url, kind, _too_large(len(data), max_bytes))
    media_type, *options = head.split(";")
    content = unquote_to_bytes(data)
    if any(option.strip().lower() == "base64" for option in options):
        content = b"".join(content.split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")  # URLs' alphabet too
        try:
            content = b64decode(content + b"=" * (-len(content) % 4), validate=True)
        except ValueError as exc:
            refuse(url, kind, f"the base64 of this `data:` URL is damaged: {exc}", exc)
    return Found(content=content, media_type=media_type or None)


def _too_large(size: int, max_bytes: int) -> str:
    return f"it is larger than `max_bytes` ({size:,} bytes; {max_bytes:,} are allowed)"


def _subject(value: Any) -> str:
    """The words for a value in a message."""
    if isinstance(value, str | os.PathLike):
        text = os.fsdecode(value)
        return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
    if isinstance(value, dict):
        return f"A dict with the keys {', '.join(map(repr, value)) or 'none'}"[:_SHOWN]
    if is_pil(value):
        return f"An image of the mode {value.mode!r} and the size {value.size}"
    return "Null" if value is None else f"A value of the type `{type(value).__name__}`"


def _way_in(value: Any) -> str:
    if isinstance(value, list):
        return ". Of an array, make an image: `PIL.Image.fromarray(array)`. Of several, send each by itself"
    if hasattr(value, "get_all_samples"):  # what `datasets` decodes sounds to
        return ". Read the column undecoded: `dataset.cast_column(…, Audio(decode=False))`"
    return ""
