"""Images of rows, as servers of Hugging Face get them; and what is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from limbeck.errors import BadRequestError
from limbeck.types import image
from limbeck_huggingface import InferenceEndpointsLLM
from limbeck_huggingface._prompts import render
from support.media import PNG, chat_about, look


def test_an_image_is_sent_as_a_data_url(tgi: Any) -> None:
    (row,) = next(look(llm=InferenceEndpointsLLM(base_url=tgi.url)).process([{"picture": PNG}]))
    assert row["answer"] == "ok"
    assert tgi.refused == []
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert tgi.requests[0].body["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": url}}


def test_an_address_stays_one(tgi: Any) -> None:
    url = "https://example.invalid/a.png"
    next(look(llm=InferenceEndpointsLLM(base_url=tgi.url)).process([{"picture": url}]))
    assert tgi.requests[0].body["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": url}}


def test_a_prompt_that_is_sent_as_text_takes_no_image() -> None:
    class Tokenizer:
        def apply_chat_template(self, messages: Any, **_options: Any) -> str:
            return str(messages)

    with pytest.raises(BadRequestError, match="sent as text takes no images"):
        render(Tokenizer(), chat_about(image(PNG).sent()))
    assert "What is it?" in render(Tokenizer(), chat_about())
