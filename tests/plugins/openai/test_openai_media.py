"""Images, audio and documents of rows, as OpenAI's chat completions get them, online and in batches."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from pydantic import SecretStr

from limbeck import task
from limbeck.backends import sendable
from limbeck.types import Capabilities, ChatType, Row, audio, document, image
from limbeck_openai import AzureOpenAILLM, OpenAILLM
from support.asking import failure, request
from support.media import JPEG, MP3, PDF, PNG, WAV, chat_about, look, stored_parts
from support.openai_batches import openai_batch_server
from support.openai_server import openai_server

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck import LLM
    from support.openai_server import OpenAIServer

KEY = "key-1234567890"


def llm_of(server: OpenAIServer, **fields: Any) -> OpenAILLM:
    return OpenAILLM(**{"model": "m", "base_url": server.url, "api_key": KEY, **fields})


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@task(inputs=["parts"], outputs=["answer"])
def ask(input: Row) -> ChatType:
    return chat_about(*input["parts"])


def test_each_kind_is_sent_in_the_form_of_the_sdks_own_request_types(tmp_path: Path) -> None:
    parts = [image(PNG, detail="low"), audio(WAV), audio(MP3), document(PDF, name="bill.pdf")]
    with openai_server() as server:
        (row,) = ask(llm=llm_of(server)).run([{"parts": parts}], run_dir=tmp_path)
        body = server.requests[0].body
    assert row["answer"] is not None
    assert body["messages"][0]["content"][1:] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(PNG)}", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": encoded(WAV), "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": encoded(MP3), "format": "mp3"}},
        {"type": "file", "file": {"filename": "bill.pdf", "file_data": f"data:application/pdf;base64,{encoded(PDF)}"}},
    ]


def test_an_address_of_an_image_is_sent_as_it_is() -> None:
    with openai_server() as server:
        next(look(llm=llm_of(server)).process([{"picture": "https://example.invalid/cat.png"}]))
        (_, part) = server.requests[0].body["messages"][0]["content"]
    assert part == {"type": "image_url", "image_url": {"url": "https://example.invalid/cat.png"}}


def test_a_batch_holds_the_contents_and_the_ledger_their_digests(tmp_path: Path) -> None:
    rows: list[Row] = [{"picture": PNG}, {"picture": JPEG}, {"picture": PNG}]
    with openai_batch_server() as (server, _):
        llm = llm_of(server, mode="batch", batch_poll_seconds=0.01, batch_gather_seconds=0.01)
        results = list(look(llm=llm).run(rows, run_dir=tmp_path))
        again = list(look(llm=llm).run(rows, run_dir=tmp_path))
    assert [row["answer"] for row in results] == ["echo: What is it? "] * 3
    assert again == results
    assert len(list((tmp_path / "blobs").iterdir())) == 2
    assert [part in (image(PNG), image(JPEG)) for part in stored_parts(tmp_path)] == [True] * len(rows)


def test_a_batch_that_a_run_left_is_picked_up_for_the_same_images_wherever_they_are(tmp_path: Path) -> None:
    rows: list[Row] = [{"picture": PNG}, {"picture": JPEG}]
    moved = [{"picture": str(tmp_path / "a.png")}, {"picture": str(tmp_path / "b.jpg")}]
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.jpg").write_bytes(JPEG)
    with openai_batch_server() as (server, desk):
        desk.polls_needed = 1_000_000
        llm = llm_of(server, mode="batch", batch_poll_seconds=0.01, batch_gather_seconds=0.01)
        with look(llm=llm).run(rows, run_dir=tmp_path / "run"):
            desk.wait_until(lambda: desk.polls > 0)
        desk.polls_needed = 0
        results = list(look(llm=llm).run(moved, run_dir=tmp_path / "run"))
        assert len(desk.filed) == 1
    assert [row["answer"] for row in results] == ["echo: What is it? "] * 2


def test_the_bytes_of_contents_count_for_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = len(OpenAILLM(model="m", api_key=SecretStr(KEY)).encode_batch_entry("t-0", request("hi"))) + 6_000
    monkeypatch.setattr(OpenAILLM, "batch_limits", OpenAILLM.batch_limits.__class__(requests=9, bytes=2 * entry))
    rows: list[Row] = [{"picture": PNG + bytes([number]) * 3_000} for number in range(4)]
    rows.append({"picture": PNG + bytes(20_000)})
    with openai_batch_server() as (server, desk):
        llm = llm_of(server, mode="batch", batch_poll_seconds=0.01, batch_gather_seconds=0.01)
        results = list(look(llm=llm).run(rows, run_dir=tmp_path))
        assert len(desk.filed) == 2
    assert [row["answer"] is None for row in results] == [False] * 4 + [True]
    assert "larger than a whole batch" in results[4]["distilabel_metadata"]["error_look"]["message"]


def test_a_batch_leaves_out_what_the_llm_does_not_take_and_sends_the_rest(tmp_path: Path) -> None:
    class BlindOpenAILLM(OpenAILLM):
        capabilities: ClassVar[Capabilities] = Capabilities(batches=True)

    rows: list[Row] = [{"parts": [image(PNG)]}, {"parts": []}]
    with openai_batch_server() as (server, desk):
        settings: Any = {"mode": "batch", "batch_poll_seconds": 0.01, "batch_gather_seconds": 0.01}
        llm = BlindOpenAILLM(model="m", base_url=server.url, api_key=SecretStr(KEY), **settings)
        refused, answered = ask(llm=llm).run(rows, run_dir=tmp_path)
        assert [len(filed.prompts) for filed in desk.filed] == [1]
    assert "takes no images" in refused["distilabel_metadata"]["error_ask"]["message"]
    assert answered["answer"] is not None


# What OpenAI's own models do not take


def own(**fields: Any) -> OpenAILLM:
    return OpenAILLM(model="gpt-5-mini", api_key=SecretStr(KEY), **fields)


def azure() -> AzureOpenAILLM:
    return AzureOpenAILLM(
        model="m", azure_endpoint="https://acme.invalid", api_version="2026-01-01", api_key=SecretStr(KEY)
    )


@pytest.mark.parametrize("llm", [own(), azure()])
@pytest.mark.parametrize(
    ("part", "words"),
    [
        (image(b"II*\0\x08\0\0\0"), "not as image/tiff"),
        (image(b"\0\0\0\x18ftypheic\0\0\0\0"), "not as image/heic"),
        (audio(b"fLaC\0\0\0\x22"), "not as audio/flac"),
        (document("https://example.invalid/a.pdf"), "fetch no documents"),
    ],
)
def test_a_type_that_openai_does_not_take_is_refused_before_anything_is_sent(llm: LLM, part: Any, words: str) -> None:
    messages = sendable(request(chat_about(part)), llm).messages
    assert words in str(failure(llm, messages))  # type: ignore[arg-type]  # it has `agenerate`


def test_another_server_is_asked_about_any_type() -> None:
    with openai_server() as server:
        (row,) = next(look(llm=llm_of(server)).process([{"picture": b"II*\0\x08\0\0\0"}]))
    assert row["answer"] is not None


def test_a_file_that_was_uploaded_before_is_named_by_its_id() -> None:
    part = {"type": "file", "file": {"file_id": "file-1"}}
    with openai_server() as server:
        next(ask(llm=llm_of(server)).process([{"parts": [part]}]))
        assert server.requests[0].body["messages"][0]["content"][1] == part
    assert json.loads(own().encode_batch_entry("t-0", request(chat_about(part))))["custom_id"] == "t-0"
