"""Base64 that an author has written into messages is taken out of them and put back (`_media.inline`)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from limbeck._media.inline import put_back, reference_in, taken_out
from limbeck.types import image
from support.media import PDF, PNG, WAV, chat_about

BIG_PNG, BIG_WAV, BIG_PDF = PNG + bytes(2_000), WAV + bytes(2_000), PDF + bytes(2_000)


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def kept(contents: list[tuple[bytes, str]]) -> Any:
    """A reader of contents by digest."""
    by_digest = {hashlib.sha256(content).hexdigest(): content for content, _ in contents}
    return lambda reference: by_digest[reference["sha256"]]


PARTS: list[tuple[dict[str, Any], bytes, str]] = [
    (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(BIG_PNG)}", "detail": "low"}},
        BIG_PNG,
        "image/png",
    ),
    ({"type": "image_url", "image_url": f"data:image/png;base64,{encoded(BIG_PNG)}"}, BIG_PNG, "image/png"),
    ({"type": "input_audio", "input_audio": {"data": encoded(BIG_WAV), "format": "wav"}}, BIG_WAV, "audio/wav"),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{encoded(BIG_PDF)}"}},
        BIG_PDF,
        "application/pdf",
    ),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded(BIG_PNG)}},
        BIG_PNG,
        "image/png",
    ),
]


@pytest.mark.parametrize(("part", "content", "media_type"), PARTS)
def test_a_content_is_taken_out_and_put_back_to_the_letter(part: Any, content: bytes, media_type: str) -> None:
    messages = chat_about(part)
    stored, contents = taken_out(messages)
    assert contents == [(content, media_type)]
    assert len(json.dumps(stored)) < 500
    assert put_back(json.loads(json.dumps(stored)), kept(contents)) == messages
    reference = reference_in(stored[0]["content"][1])
    assert reference is not None
    assert reference["size"] == len(content)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "a" * 4_000},  # base64, of nothing that is known
        {"type": "text", "text": encoded(b"\0" * 4_000)},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(BIG_PNG)}\n"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(BIG_PNG)[:-2]}"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(PNG)}"}},  # short
        {"type": "image_url", "image_url": {"url": "https://example.invalid/" + "a" * 2_000}},
        image(BIG_PNG),
    ],
)
def test_everything_else_stays(part: Any) -> None:
    assert taken_out(chat_about(part)) == (chat_about(part), [])


def test_a_content_that_is_gone_leaves_its_reference() -> None:
    stored, _ = taken_out(chat_about(PARTS[0][0]))
    assert put_back(stored, kept([])) == stored


def test_messages_of_text_are_the_same_object() -> None:
    messages = [{"role": "user", "content": "hello"}]
    assert taken_out(messages)[0] is messages


def test_a_text_that_looks_like_a_png_is_put_back_as_it_was() -> None:
    part = {"type": "text", "text": encoded(BIG_PNG)}
    stored, contents = taken_out(chat_about(part))
    assert put_back(stored, kept(contents)) == chat_about(part)


def test_no_reference_is_found_where_there_is_none() -> None:
    assert reference_in("text") is None
    assert reference_in({"type": "text", "text": "x"}) is None
    assert reference_in({"type": "image", "sha256": "0"}) is None
