"""The type of an image, told by its first bytes."""

from __future__ import annotations

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)


def media_type_of(content: bytes) -> str:
    """The type of an image by its first bytes; `application/octet-stream` where they are of none that is known."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content[4:12] == b"ftypavif":
        return "image/avif"
    if content.lstrip()[:5] in (b"<?xml", b"<svg "):
        return "image/svg+xml"
    return next((kind for start, kind in _BEGINNINGS if content.startswith(start)), "application/octet-stream")
