"""The bytes of a body as text can be read from them: unpacked, by what they are, and in UTF-8."""

from __future__ import annotations

import codecs
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP = b"\x1f\x8b\x08"
_MOST_TIMES = 3  # packed in what is packed
_PIECE = 2**20
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:\-]+)[\"']?", re.IGNORECASE)
_WIDE = ("utf-16", "utf-32")  # their bytes may well be valid UTF-8


def gunzipped(packed: bytes, limit: int) -> bytes:
    """What bytes of gzip hold, as often as they are packed; what cannot be unpacked of it is left out.

    Args:
        packed: the bytes; others than gzip's come back as they are. limit: of the result; it may be one piece longer.
    """
    for _ in range(_MOST_TIMES):
        whole = b"".join(_members(packed, limit))
        if not whole:
            break
        packed = whole
    return packed


def _members(packed: bytes, limit: int) -> Iterator[bytes]:
    left = limit
    while packed.startswith(_GZIP) and left >= 0:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            while left >= 0 and (piece := member.decompress(packed, _PIECE)):
                yield piece
                left -= len(piece)
                packed = member.unconsumed_tail
        except zlib.error:
            return
        packed = member.unused_data


def is_text(body: bytes) -> bool:
    """Tell whether the bytes are valid UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def as_utf8(body: bytes, content_type: str) -> bytes:
    """A body whose content type names another charset in UTF-8, unless it is valid UTF-8 already."""
    named = _CHARSET.search(content_type)
    try:
        charset = codecs.lookup(named[1]).name if named else "utf-8"
        keeps = not charset.startswith(_WIDE) and is_text(body)
        return body if keeps else body.decode(charset).encode()
    except (LookupError, ValueError):
        return body


def without_charset(content_type: bytes) -> bytes:
    """The content type of a body that is in UTF-8 now."""
    return _CHARSET.sub("", content_type.decode("latin-1")).encode("latin-1")
