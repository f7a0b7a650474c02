"""Media types are told by the first bytes (`_media.kinds`)."""

from __future__ import annotations

import pytest

from limbeck._media.kinds import is_of, media_type_of, usual
from support.media import GIF, JPEG, MP3, PDF, PNG, WAV, WEBP


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "image/bmp"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "image/avif"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "image/heic"),
        (WAV, "audio/wav"),
        (MP3, "audio/mpeg"),
        (b"\xff\xfb\x90\x64\0", "audio/mpeg"),
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"OggS\0\x02", "audio/ogg"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "audio/mp4"),
        (b"FORM\0\0\0\0AIFFCOMM", "audio/aiff"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "video/mp4"),
        (PDF, "application/pdf"),
        (b"\xef\xbb\xbf\n" + PDF, "application/pdf"),
    ],
)
def test_the_first_bytes_tell_the_type(content: bytes, media_type: str) -> None:
    assert media_type_of(content) == media_type


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PN",
        b"hello",
        b"BMW is a maker of cars and motorcycles",
        b"RIFFs of a guitar",
        "\ufeffa".encode("utf-16"),
    ],
)
def test_what_shows_no_type_has_none(content: bytes) -> None:
    assert media_type_of(content) is None


def test_a_type_goes_by_its_usual_name() -> None:
    assert usual("Image/JPG; charset=binary") == "image/jpeg"
    assert usual("audio/mp3") == "audio/mpeg"
    assert usual("text/csv") == "text/csv"


def test_a_document_is_what_is_neither_seen_nor_heard() -> None:
    assert is_of("application/pdf", "document")
    assert is_of("text/plain", "document")
    assert not is_of("image/png", "document")
    assert not is_of("video/mp4", "document")
    assert not is_of("video/mp4", "audio")
