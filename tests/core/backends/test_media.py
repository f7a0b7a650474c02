"""The kit's part for images, audio and documents (`backends._media`)."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from limbeck.backends import Media, check_capabilities, media_of, sendable
from limbeck.errors import BadRequestError, ConfigurationError
from limbeck.types import Capabilities, GenerationRequest, audio, document, image
from support.media import PDF, PNG, WAV, BlindLLM, chat_about, parts_of, seeing


def request(*parts: Any) -> GenerationRequest:
    return GenerationRequest(messages=chat_about(*parts), parameters={"seed": 1})


@pytest.mark.parametrize(
    ("part", "media"),
    [
        (image(PNG).sent(), ("image", "image/png", None)),
        (audio(WAV).sent(), ("audio", "audio/wav", None)),
        (document(PDF, name="a.pdf").sent(), ("document", "application/pdf", "a.pdf")),
    ],
)
def test_a_part_is_taken_apart_as_data(part: Any, media: tuple[str, str, str | None]) -> None:
    found = media_of(part)
    assert found is not None
    assert (found.kind, found.media_type, found.name, found.url) == (*media, None)
    assert found.data != ""


def test_a_part_is_taken_apart_as_an_address() -> None:
    assert media_of(image("https://example.invalid/a.png", detail="low")) == Media(
        kind="image", url="https://example.invalid/a.png", detail="low"
    )
    assert media_of(document("https://example.invalid/a.pdf")) == Media(
        kind="document", url="https://example.invalid/a.pdf"
    )
    assert media_of({"type": "image_url", "image_url": "https://example.invalid/a.png"}) is not None


@pytest.mark.parametrize(
    "part", [{"type": "text", "text": "x"}, {"type": "file", "file": {"file_id": "1"}}, {"type": "thinking"}, "x", None]
)
def test_any_other_part_is_none(part: Any) -> None:
    assert media_of(part) is None


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "/home/me/cat.png"}},
        {"type": "image_url"},
        {"type": "input_audio", "input_audio": {}},
        {"type": "file", "file": {"file_data": "AAAA"}},
    ],
)
def test_a_part_of_no_use_is_a_bad_request(part: Any) -> None:
    with pytest.raises(BadRequestError):
        media_of(part)


def test_a_request_without_media_is_the_same_object() -> None:
    asked = GenerationRequest(messages=[{"role": "user", "content": "hi"}])
    assert sendable(asked, BlindLLM()) is asked


def test_a_request_with_media_keeps_everything_else() -> None:
    asked = request(image(PNG))
    sent = sendable(asked, seeing())
    assert parts_of(sent)[1] == image(PNG).sent()
    assert (sent.parameters, sent.output_schema) == (asked.parameters, None)
    assert parts_of(asked)[1] == image(PNG)


@pytest.mark.parametrize(
    ("part", "what"), [(image(PNG), "images"), (audio(WAV), "audio"), (document(PDF), "documents")]
)
def test_what_an_llm_does_not_declare_is_refused(part: Any, what: str) -> None:
    with pytest.raises(BadRequestError, match=f"`BlindLLM` takes no {what}"):
        sendable(request(part), BlindLLM())


def test_an_llm_that_declares_nothing_at_all_takes_nothing() -> None:
    class Acme:
        model_name = "acme"

    with pytest.raises(BadRequestError, match=r"declare `capabilities = Capabilities\(vision=True\)`"):
        sendable(request(image(PNG)), Acme())


def test_capabilities_are_checked_by_name() -> None:
    class Tools:
        capabilities: ClassVar[Capabilities] = Capabilities(tools=True)

    check_capabilities(Tools(), ["tools"], needed_by="a test")
    with pytest.raises(ConfigurationError, match=r"`Tools` has no logprobs, .* a test needs it"):
        check_capabilities(Tools(), ["tools", "logprobs"], needed_by="a test")
