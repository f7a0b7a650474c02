"""The kinds of media, and the media types, which the first bytes of a content tell and no name."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["image", "audio", "document"]

NOUNS: dict[Kind, str] = {"image": "an image", "audio": "audio", "document": "a document"}

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
# What stands at the fourth byte, behind `ftyp`.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "image/heic"),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), "audio/mp4"),
}
_CHUNKED = {  # the container, and what stands at the eighth byte
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"WAVE"): "audio/wav",
    (b"RIFF", b"AVI "): "video/x-msvideo",
    (b"FORM", b"AIFF"): "audio/aiff",
    (b"FORM", b"AIFC"): "audio/aiff",
}
_BMP = re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)
_MP3 = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # a frame of layer III
_AAC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
# Documents that do not show their type, by the suffix of their files. Not `mimetypes`: it knows others in each version
# of Python and on each system, and the type is a part of a request's key.
_SUFFIXES = {
    ".csv": "text/csv",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".html": "text/html",
    ".htm": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".pdf": "application/pdf",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rtf": "application/rtf",
    ".txt": "text/plain",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xml": "application/xml",
}
_PDF_WITHIN = 1024  # readers take a PDF that has something before it
_ALIASES = {
    "audio/mp3": "audio/mpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "image/jpg": "image/jpeg",
    "application/x-pdf": "application/pdf",
}


def media_type_of(content: bytes) -> str | None:
    """The media type that a content shows, or None where it shows none."""
    for beginning, media_type in _BEGINNINGS:
        if content.startswith(beginning):
            return media_type
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], "video/mp4")
    chunked = _CHUNKED.get((content[:4], content[8:12]))
    if chunked is not None:
        return chunked
    if b"%PDF-" in content[:_PDF_WITHIN]:
        return "application/pdf"
    patterns = ((_BMP, "image/bmp"), (_MP3, "audio/mpeg"), (_AAC, "audio/aac"))
    return next((media_type for pattern, media_type in patterns if pattern.match(content)), None)


def named_type(path: str) -> str | None:
    """The media type of a document by the suffix of its file; None of a PDF too, which would have shown it."""
    suffix = PurePath(path).suffix.lower()
    return None if suffix == ".pdf" else _SUFFIXES.get(suffix)


def suffix_of(media_type: str) -> str:
    """The suffix of a document's name; "" for a type that is not known."""
    return next((suffix for suffix, each in _SUFFIXES.items() if each == media_type), "")


def usual(media_type: str) -> str:
    """A media type in lower case, by its usual name, without parameters."""
    plain = media_type.partition(";")[0].strip().lower()
    return _ALIASES.get(plain, plain)


def is_of(media_type: str, kind: Kind) -> bool:
    """Tell whether a media type is of a kind; a document is all that is no image, no audio and no video."""
    family = media_type.partition("/")[0]
    return family == kind if kind != "document" else family not in ("image", "audio", "video")
