"""Images and documents of rows, as Anthropic's Messages API gets them, online and in batches."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import task
from limbeck.types import ChatType, Row, audio, document, image
from support.anthropic_batches import anthropic_batch_server
from support.anthropic_server import anthropic_server
from support.media import GIF, JPEG, PDF, PNG, WAV, WEBP, chat_about, look, stored_parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from limbeck_anthropic import AnthropicLLM


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def base64_of(media_type: str, content: bytes) -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": encoded(content)}


@task(inputs=["parts"], outputs=["answer"])
def ask(input: Row) -> ChatType:
    return chat_about(*input["parts"])


def sent_for(make_llm: Callable[..., AnthropicLLM], *parts: Any) -> list[dict[str, Any]]:
    with anthropic_server() as server:
        (row,) = next(ask(llm=make_llm(server)).process([{"parts": list(parts)}]))
        assert row["answer"] is not None, row
        blocks: list[dict[str, Any]] = server.requests[0].body["messages"][0]["content"][1:]
    return blocks


def refusal(make_llm: Callable[..., AnthropicLLM], part: Any) -> str:
    with anthropic_server() as server:
        (row,) = next(ask(llm=make_llm(server)).process([{"parts": [part]}]))
        assert server.requests == []
    return str(row["distilabel_metadata"]["error_ask"]["message"])


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
def test_an_image_is_a_block_in_base64(make_llm: Callable[..., AnthropicLLM], content: bytes, media_type: str) -> None:
    assert sent_for(make_llm, image(content)) == [{"type": "image", "source": base64_of(media_type, content)}]


def test_a_pdf_is_a_document_block_with_a_title(make_llm: Callable[..., AnthropicLLM]) -> None:
    assert sent_for(make_llm, document(PDF, name="bill.pdf")) == [
        {"type": "document", "source": base64_of("application/pdf", PDF), "title": "bill.pdf"}
    ]


def test_a_text_is_a_document_block_of_text(make_llm: Callable[..., AnthropicLLM], tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("# Größe", encoding="utf-8")
    (block,) = sent_for(make_llm, document(path))
    assert block["source"] == {"type": "text", "media_type": "text/plain", "data": "# Größe"}


def test_addresses_stay_addresses(make_llm: Callable[..., AnthropicLLM]) -> None:
    assert sent_for(make_llm, image("https://example.invalid/a.png"), document("https://example.invalid/a.pdf")) == [
        {"type": "image", "source": {"type": "url", "url": "https://example.invalid/a.png"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.invalid/a.pdf"}},
    ]


def test_what_anthropic_does_not_take_is_refused_before_anything_is_sent(
    make_llm: Callable[..., AnthropicLLM],
) -> None:
    assert "`AnthropicLLM` takes no audio" in refusal(make_llm, audio(WAV))
    assert "not as image/tiff" in refusal(make_llm, image(b"II*\0\x08\0\0\0"))
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    assert "application/pdf and as text" in refusal(make_llm, document(b"PK\3\4", media_type=word))
    assert "is not UTF-8" in refusal(make_llm, document(b"\xff\xfe", media_type="text/plain"))


def test_a_batch_holds_the_contents_and_the_ledger_their_digests(
    make_llm: Callable[..., AnthropicLLM], tmp_path: Path
) -> None:
    rows: list[Row] = [{"picture": PNG}, {"picture": JPEG}]
    with anthropic_batch_server() as (server, desk):
        llm = make_llm(server, mode="batch", batch_poll_seconds=0.01, batch_gather_seconds=0.01)
        results = list(look(llm=llm).run(rows, run_dir=tmp_path))
        assert [len(filed.prompts) for filed in desk.filed] == [2]
    assert None not in [row["answer"] for row in results]
    assert len(list((tmp_path / "blobs").iterdir())) == 2
    assert [part in (image(PNG), image(JPEG)) for part in stored_parts(tmp_path)] == [True] * len(rows)
