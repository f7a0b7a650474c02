"""Asking a backend one question, on an event loop of its own, and closing its connections again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import GenerationError
from limbeck.types import GenerationRequest

if TYPE_CHECKING:
    from limbeck.types import ChatType, GenerationResponse
    from limbeck_huggingface import InferenceEndpointsLLM

CHAT: ChatType = [{"role": "user", "content": "What is the capital of Spain?"}]


def ask(llm: InferenceEndpointsLLM, messages: ChatType = CHAT, **request: Any) -> GenerationResponse:
    """The response of `llm`."""

    async def once() -> GenerationResponse:
        try:
            return await llm.agenerate(GenerationRequest(messages=messages, **request))
        finally:
            await llm.aclose()

    return asyncio.run(once())


def text_of(llm: InferenceEndpointsLLM, messages: ChatType = CHAT, **request: Any) -> str | None:
    """The text of the one generation."""
    (generation,) = ask(llm, messages, **request).generations
    return generation.text


def failure_of(llm: InferenceEndpointsLLM, messages: ChatType = CHAT, **request: Any) -> GenerationError:
    """The error that `llm` raises."""
    with pytest.raises(GenerationError) as caught:
        ask(llm, messages, **request)
    return caught.value
