"""Asking a backend directly, without the engine, each time on an event loop of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import GenerationError
from limbeck.types import GenerationRequest

if TYPE_CHECKING:
    from limbeck.protocols import LLMProtocol
    from limbeck.types import ChatType, GenerationResponse

CHAT: ChatType = [{"role": "user", "content": "hi"}]


def request(chat: str | ChatType = CHAT, **options: Any) -> GenerationRequest:
    """A request with a chat, or one user message."""
    messages: ChatType = [{"role": "user", "content": chat}] if isinstance(chat, str) else chat
    return GenerationRequest(messages=messages, **options)


def ask(llm: LLMProtocol, chat: str | ChatType = CHAT, **options: Any) -> GenerationResponse:
    """The response to one request; a backend that can be closed is closed after it."""

    async def once() -> GenerationResponse:
        try:
            return await llm.agenerate(request(chat, **options))
        finally:
            if (close := getattr(llm, "aclose", None)) is not None:
                await close()

    return asyncio.run(once())


def text_of(llm: LLMProtocol, chat: str | ChatType = CHAT, **options: Any) -> str | None:
    """The text of the one generation."""
    (generation,) = ask(llm, chat, **options).generations
    return generation.text


def failure(llm: LLMProtocol, chat: str | ChatType = CHAT, **options: Any) -> GenerationError:
    """The typed error that one request fails with."""
    with pytest.raises(GenerationError) as caught:
        ask(llm, chat, **options)
    return caught.value
