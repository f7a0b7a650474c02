"""Images, audio and documents of prompts in the page: small pictures, links, nothing of a stranger's file."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import limbeck
from limbeck import task
from limbeck.runs import Run
from limbeck.types import ChatType, Row, audio, document, image
from limbeck_report.media import Shown, shown_of
from limbeck_report.page import write_page
from support.media import JPEG, PDF, PNG, WAV, chat_about, look, png, seeing

if TYPE_CHECKING:
    from pathlib import Path


@task(inputs=["parts"], outputs=["answer"])
def ask(input: Row) -> ChatType:
    return chat_about(*input["parts"])


def run_with(folder: Path, *parts: Any, **options: Any) -> Run:
    list(ask(llm=seeing()).run([{"parts": list(parts)}], run_dir=folder, **options))
    return Run(folder)


def page_of(run: Run) -> str:
    target = run.path.parent / "report.html"
    write_page(str(run.path), target, count=3, seed=0)
    return target.read_text(encoding="utf-8")


def picture_of(shown: Shown | None) -> Image.Image:
    assert shown is not None
    assert shown.picture is not None
    return Image.open(io.BytesIO(base64.b64decode(shown.picture.partition(",")[2])))


def test_an_image_is_shown_small_with_a_link_to_the_file(tmp_path: Path) -> None:
    part = image(png(width=1000, height=500))
    run = run_with(tmp_path / "run", part)
    shown = shown_of(dict(part), run)
    assert picture_of(shown).size == (320, 160)
    assert shown is not None
    assert shown.caption == f"image/png, {part['size']:,} bytes"
    assert shown.file == run.path_of(part).as_uri()
    page = page_of(run)
    assert page.count("<img ") == 1
    assert f'<a href="{shown.file}">{shown.caption}</a>' in page


def test_an_image_in_a_conversation_is_shown_at_its_turn_and_not_again(tmp_path: Path) -> None:
    @task(inputs=["parts"], outputs=["answer"])
    def look_twice(row: Row) -> Any:
        chat = chat_about(*row["parts"])
        said = yield limbeck.ask(chat)
        said = yield limbeck.ask(
            [*chat, {"role": "assistant", "content": said.text}, {"role": "user", "content": "And?"}]
        )
        return {"answer": said.text}

    list(look_twice(llm=seeing()).run([{"parts": [image(PNG)]}], run_dir=tmp_path / "run"))
    page = page_of(Run(tmp_path / "run"))
    assert page.count("<img ") == 1
    assert page.index("<img ") < page.index("It goes on from the chat of turn 1")


def test_the_picture_is_made_anew_and_holds_nothing_else_of_the_file(tmp_path: Path) -> None:
    part = image(PNG + b"<script>alert(1)</script>")
    shown = shown_of(part, run_with(tmp_path / "run", part))
    assert picture_of(shown).size == (1, 1)
    assert shown is not None
    assert shown.picture is not None
    assert b"script" not in base64.b64decode(shown.picture.partition(",")[2])


def test_an_image_that_an_author_wrote_as_base64_is_shown_too(tmp_path: Path) -> None:
    content = png(width=400, height=400) + bytes(2_000)
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    page = page_of(run_with(tmp_path / "run", {"type": "image_url", "image_url": {"url": url}}))
    assert page.count("<img ") == 1
    assert f"image/png, {len(content):,} bytes" in page


def test_audio_and_documents_are_links_with_type_and_size(tmp_path: Path) -> None:
    parts = [audio(WAV), document(PDF, name="bill.pdf")]
    run = run_with(tmp_path / "run", *parts)
    sound, bill = (shown_of(part, run) for part in parts)
    assert sound == Shown(f"audio/wav, {len(WAV)} bytes", None, run.path_of(parts[0]).as_uri())
    assert bill == Shown(f"application/pdf, {len(PDF)} bytes, bill.pdf", None, run.path_of(parts[1]).as_uri())
    page = page_of(run)
    assert "<img " not in page
    assert page.count('<figure class="medium">') == 2


def test_what_pillow_cannot_read_is_a_link(tmp_path: Path) -> None:
    part = image(JPEG)
    shown = shown_of(part, run_with(tmp_path / "run", part))
    assert shown is not None
    assert (shown.picture, shown.file is None) == (None, False)


def test_an_image_of_too_many_pixels_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck_report.media.MOST_PIXELS", 99)
    part = image(png(width=10, height=10))
    shown = shown_of(part, run_with(tmp_path / "run", part))
    assert shown is not None
    assert shown.picture is None


def test_a_file_that_is_gone_or_damaged_is_told(tmp_path: Path) -> None:
    part = image(PNG)
    run = run_with(tmp_path / "run", part)
    run.path_of(part).write_bytes(b"?")
    assert shown_of(part, run) == Shown(f"image/png, {len(PNG)} bytes; the run does not have it")
    run.path_of(part).unlink()
    assert "the run does not have it" in page_of(run)


def test_an_address_is_told_and_not_loaded(tmp_path: Path) -> None:
    page = page_of(run_with(tmp_path / "run", image("https://example.invalid/a.png")))
    assert "<img " not in page
    assert "https://example.invalid/a.png" in page
    assert "img-src data:;" in page


def test_prompts_that_are_not_stored_have_no_pictures(tmp_path: Path) -> None:
    assert "<img " not in page_of(run_with(tmp_path / "run", image(PNG), ledger_requests="hash"))


def test_a_digest_that_a_stranger_wrote_leads_nowhere(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", image(PNG))
    for digest in ("../../secret", "/etc/passwd", "", "A" * 64):
        shown = shown_of({"type": "image", "media_type": "image/png", "sha256": digest, "size": 1}, run)
        assert shown is not None
        assert (shown.picture, shown.file) == (None, None)


def test_only_the_first_of_many_images_are_shown(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", *(image(png(color=bytes([number, 0, 0]))) for number in range(20)))
    assert page_of(run).count("<img ") == 8


def test_pictures_of_any_mode_are_shown(tmp_path: Path) -> None:
    for mode in ("1", "P", "LA", "I;16", "RGBA", "CMYK"):
        file = io.BytesIO()
        Image.new(mode, (4, 4)).save(file, format="TIFF" if mode == "CMYK" else "PNG")
        part = image(file.getvalue())
        run = Run(tmp_path / re.sub(r"\W", "", mode))
        list(look(llm=seeing()).run([{"picture": file.getvalue()}], run_dir=run.path))
        assert picture_of(shown_of(part, run)).size == (4, 4)
