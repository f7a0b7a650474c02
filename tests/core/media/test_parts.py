"""Images, audio and documents as parts of messages (`_media.parts`, `_media.reading`)."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from limbeck._engine.rows.copies import own_row, plain_row
from limbeck._engine.rows.plain import check_row, plain
from limbeck._media.parts import data_url, media_in, noted, sent_messages
from limbeck.errors import MediaError
from limbeck.types import MediaPart, audio, document, image
from support.media import GIF, JPEG, MP3, PDF, PNG, WAV, chat_about, png


def url_of(part: MediaPart) -> str:
    return str(part.sent()["image_url"]["url"])


def data_url_of(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def refusal(value: Any, make: Any = image, **options: Any) -> str:
    with pytest.raises(MediaError) as caught:
        make(value, **options)
    return str(caught.value)


# What is stored, and what is sent


def test_a_part_is_stored_as_the_digest_the_type_and_the_size_of_its_content() -> None:
    part = image(PNG)
    expected = {"type": "image", "media_type": "image/png", "sha256": hashlib.sha256(PNG).hexdigest(), "size": len(PNG)}
    assert json.loads(json.dumps(part)) == expected
    assert part.kind == "image"


def test_an_image_is_sent_as_a_data_url() -> None:
    assert image(PNG, detail="low").sent() == {
        "type": "image_url",
        "image_url": {"url": data_url_of(PNG, "image/png"), "detail": "low"},
    }


@pytest.mark.parametrize(("content", "form"), [(WAV, "wav"), (MP3, "mp3"), (b"fLaC\0\0\0\x22", "flac")])
def test_audio_is_sent_with_its_format(content: bytes, form: str) -> None:
    sent = audio(content).sent()
    assert sent == {"type": "input_audio", "input_audio": {"data": base64.b64encode(content).decode(), "format": form}}


def test_a_document_is_sent_as_a_file_with_a_name() -> None:
    file = {"filename": "document.pdf", "file_data": data_url_of(PDF, "application/pdf")}
    assert document(PDF).sent() == {"type": "file", "file": file}
    assert document(PDF, name="bill.pdf").sent()["file"]["filename"] == "bill.pdf"


def test_an_address_stays_one_and_nothing_is_fetched() -> None:
    url = "https://example.invalid/cat.png?size=large"
    assert image(url) == {"type": "image_url", "image_url": {"url": url}}
    assert image(url).sent() == image(url)
    assert document("HTTPS://example.invalid/a.pdf").sent()["file"] == {"file_data": "HTTPS://example.invalid/a.pdf"}


def test_the_same_content_is_the_same_part_wherever_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    same = [
        *(PNG, bytearray(PNG), memoryview(PNG), path, str(path), path.as_uri(), data_url_of(PNG, "image/png")),
        *({"bytes": PNG, "path": "cats/1.png"}, {"bytes": None, "path": str(path)}, {"path": str(path)}),
    ]
    assert [image(value) for value in same] == [image(PNG)] * len(same)
    assert {url_of(image(value)) for value in same} == {data_url_of(PNG, "image/png")}


def test_the_bytes_say_what_it_is_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(PNG)
    assert image(path)["media_type"] == "image/png"
    assert image(data_url_of(GIF, "image/png"))["media_type"] == "image/gif"


def test_a_name_is_asked_about_too_but_a_path_is_not(tmp_path: Path) -> None:
    path = tmp_path / "bill.pdf"
    path.write_bytes(PDF)
    assert document(path) == document(PDF)
    assert document(path, name="bill.pdf") != document(PDF)


def test_a_part_is_taken_as_it_is() -> None:
    part = image(PNG)
    assert image(part) is part
    with pytest.raises(MediaError, match="cannot be sent as audio"):
        audio(part)


def test_the_content_goes_with_every_copy_of_a_part() -> None:
    part = image(PNG)
    row = {"messages": chat_about(part)}
    copies = [copy.copy(part), copy.deepcopy(part), pickle.loads(pickle.dumps(part))]
    copies += [*media_in(own_row(row)["messages"]), *media_in(plain_row(row)["messages"])]
    assert [each.content() for each in copies] == [PNG] * 5
    assert copies == [part] * 5


def test_messages_without_media_are_sent_as_the_same_object() -> None:
    messages = [{"role": "user", "content": "hello"}]
    assert sent_messages(messages) is messages
    assert noted(messages) is messages


def test_messages_are_noted_without_the_contents() -> None:
    messages = chat_about(image(PNG))
    (_, part) = noted(messages)[0]["content"]
    assert part == image(PNG)
    assert type(part) is dict


def test_a_part_in_the_result_of_a_tool_is_sent_and_noted_too() -> None:
    result = {"type": "tool_result", "tool_use_id": "1", "content": [image(PNG), {"type": "text", "text": "x"}]}
    (message,) = sent_messages(chat_about(result))
    assert message["content"][1]["content"] == [image(PNG).sent(), {"type": "text", "text": "x"}]
    assert list(media_in(chat_about(result))) == [image(PNG)]
    assert type(noted(chat_about(result))[0]["content"][1]["content"][0]) is dict


def test_what_was_stored_of_a_part_cannot_be_sent() -> None:
    with pytest.raises(MediaError, match="only the digest is there"):
        sent_messages(json.loads(json.dumps(chat_about(image(PNG)))))


def test_parts_in_the_form_of_a_provider_are_left_alone() -> None:
    given = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}, {"type": "image", "source": {}}]
    assert sent_messages(chat_about(*given)) == chat_about(*given)


# Files, which are read again when they are sent


def test_a_file_that_changes_before_it_is_sent_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for content in (png(color=b"\0\xff\0"), PNG + b"!", b""):
        path.write_bytes(PNG)
        part = image(path)
        path.write_bytes(content)
        with pytest.raises(MediaError, match="has changed since"):
            part.sent()


def test_a_file_that_goes_before_it_is_sent_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    part = image(path)
    path.unlink()
    with pytest.raises(MediaError, match="now is not"):
        part.sent()


def test_a_file_name_that_is_no_text_is_a_path_like_any_other(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png")
    Path(name).write_bytes(PNG)
    assert image(name) == image(PNG)
    assert "\\udcff" in refusal(name + "x")


# What cannot be sent


@pytest.mark.parametrize("value", [b"", bytearray(), "data:image/png;base64,", {"bytes": b"", "path": None}])
def test_nothing_is_no_image(value: Any) -> None:
    assert "it is empty" in refusal(value)


def test_an_empty_file_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert "it is empty" in refusal(tmp_path / "a.png")


def test_a_path_that_leads_to_no_file_is_told(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "a.png")
    assert "it is a directory" in refusal(tmp_path)
    assert "null byte" in refusal("a\0.png")
    assert "it cannot be read" in refusal("x" * 5000)
    assert "data:<media type>;base64" in refusal("iVBORw0KGgo" * 500)
    assert "there is no such file" in refusal("")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe")
    assert "no regular file" in refusal("/dev/zero")


def test_a_content_up_to_the_bound_is_taken_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    for value in (PNG, path, data_url_of(PNG, "image/png")):
        assert image(value, max_bytes=len(PNG))["size"] == len(PNG)
        assert "larger than `max_bytes`" in refusal(value, max_bytes=len(PNG) - 1)


def test_the_bound_is_50_million_bytes_and_a_larger_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.write(PNG)
        file.truncate(50_000_001)  # of which the disk has but a page
    assert "50,000,001 bytes; 50,000,000 are allowed" in refusal(path)
    os.truncate(path, 50_000_000)
    assert image(path)["size"] == 50_000_000


def test_what_is_of_another_kind_is_told_with_the_function_for_it() -> None:
    assert "it is application/pdf. Use `document`" in refusal(PDF)
    assert "it is image/png. Use `image`" in refusal(PNG, document)
    assert "it is image/jpeg. Use `image`" in refusal(JPEG, audio)
    assert refusal(b"\0\0\0\x20ftypisom\0\0\0\0").endswith("it is video/mp4.")


def test_bytes_of_no_known_type_need_one_to_be_said() -> None:
    assert "say `media_type`" in refusal(b"\x01\x02\x03")
    assert image(b"\x01\x02\x03", media_type="image/x-icon")["media_type"] == "image/x-icon"


def test_a_text_is_a_document_by_its_suffix_and_no_other_file_is_sent(tmp_path: Path) -> None:
    for name in ("notes.txt", "id_rsa", ".env"):
        (tmp_path / name).write_text("secret")
    assert document(tmp_path / "notes.txt")["media_type"] == "text/plain"
    assert "say `media_type`" in refusal(tmp_path / "id_rsa", document)
    assert "say `media_type`" in refusal(tmp_path / ".env", document)
    assert "say `media_type`" in refusal(b"text", document)
    assert document("data:text/plain,a%20b").content() == b"a b"


def test_no_other_file_is_sent_as_an_image(tmp_path: Path) -> None:
    (tmp_path / "passwd.png").write_text("root:x:0:0")
    assert "say `media_type`" in refusal(tmp_path / "passwd.png")


def test_addresses_that_nobody_fetches_are_told() -> None:
    assert "only `http`" in refusal("s3://bucket/a.png")
    assert "Download it" in refusal("https://example.invalid/a.mp3", audio)


def test_a_broken_data_url_is_told() -> None:
    assert "no comma" in refusal("data:image/png;base64")
    assert "is damaged" in refusal("data:image/png;base64,iVBOR!!w0KGgo=")


@pytest.mark.parametrize("value", [None, 7, True, [[0, 0], [0, 0]], {}, {"array": [0.0], "sampling_rate": 8000}])
def test_other_values_are_told_with_the_way_in(value: Any) -> None:
    assert "cannot be sent as an image" in refusal(value)


def test_base64_in_the_alphabet_of_urls_and_without_padding_is_read() -> None:
    content = PNG + b"\xfb\xff\xfe"
    text = base64.urlsafe_b64encode(content).decode()
    assert {"-", "_"} & set(text)
    for each in (text, text.rstrip("="), f"{text[:20]}\n {text[20:]}"):
        assert image(f"data:image/png;base64,{each}") == image(content)
    assert "is damaged" in refusal("data:image/png;base64,iVBOR")


def test_bytes_that_are_a_text_are_no_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    assert "taken only as a `data:` URL" in refusal({"bytes": str(tmp_path / "a.png"), "path": None})
    assert image({"bytes": data_url_of(PNG, "image/png"), "path": None}) == image(PNG)


def test_a_container_of_video_may_hold_sound_alone_where_it_is_said() -> None:
    content = b"\0\0\0\x20ftypmp42\0\0\0\0"
    assert "say `media_type='audio/mp4'`" in refusal(content, audio)
    assert audio(content, media_type="audio/mp4").sent()["input_audio"]["format"] == "m4a"


def test_a_file_of_the_system_that_tells_no_size_is_read_no_further_than_the_bound() -> None:
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("there is no /proc")
    assert "larger than `max_bytes`" in refusal(status, max_bytes=10)


def test_a_long_value_is_told_by_its_beginning() -> None:
    assert len(refusal("data:image/png;base64," + "A" * 10_000)) < 300


# Images of Pillow


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
)
def test_an_image_of_pillow_in_any_mode_is_sent_as_png(mode: str) -> None:
    pil = pytest.importorskip("PIL.Image")
    part = image(pil.new(mode, (3, 2)))
    assert part["media_type"] == "image/png"
    assert part.content().startswith(b"\x89PNG")


def test_transparency_is_kept() -> None:
    pil = pytest.importorskip("PIL.Image")
    from io import BytesIO

    part = image(pil.new("RGBa", (1, 1), (0, 0, 0, 0)))
    assert pil.open(BytesIO(part.content())).mode == "RGBA"


def test_an_image_of_pillow_without_a_pixel_is_told() -> None:
    pil = pytest.importorskip("PIL.Image")
    assert "Pillow cannot write it as PNG" in refusal(pil.new("RGB", (0, 4)))


def test_an_image_whose_file_is_cut_off_is_told(tmp_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    whole = png(width=64, height=64, color=b"\x12\x34\x56")
    (tmp_path / "a.png").write_bytes(whole[:60])
    with pil.open(tmp_path / "a.png") as opened:
        assert "Pillow cannot write it as PNG" in refusal(opened)


def test_an_image_of_pillow_is_no_audio() -> None:
    pil = pytest.importorskip("PIL.Image")
    assert "it is image/png. Use `image`" in refusal(pil.new("L", (1, 1)), audio)


# Written down


def test_bytes_and_images_are_written_as_data_urls_that_can_be_read_again() -> None:
    for content in (PNG, WAV, PDF):
        url = data_url(content)
        assert url is not None
        make = {"image": image, "audio": audio}.get(url[5:10], document)
        assert make(url) == make(content)
    assert data_url(b"just a text") is None
    assert data_url("text") is None


def test_they_may_stand_in_a_column_that_is_read_and_are_written_in_that_form() -> None:
    pil = pytest.importorskip("PIL.Image")
    row = {"picture": pil.new("L", (1, 1)), "sound": WAV, "deep": [{"bytes": GIF}]}
    check_row("0", row, list(row))
    written = json.loads(json.dumps(row, default=plain))
    assert image(written["picture"]) == image(row["picture"])
    assert audio(written["sound"]) == audio(WAV)
    assert image(written["deep"][0]) == image(GIF)
