"""Asking a backend directly, without the engine, each time on an event loop of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import GenerationError
from limbeck.types import GenerationRequest

if TYPE_CHECKING:
    from limbeck.protocols import LLMProtocol
    from limbeck.types import GenerationResponse


def request(text: str = "hi", **options: Any) -> GenerationRequest:
    """A request with one user message."""
    return GenerationRequest(messages=[{"role": "user", "content": text}], **options)


def ask(llm: LLMProtocol, text: str = "hi", **options: Any) -> GenerationResponse:
    """The response to one request."""
    return asyncio.run(llm.agenerate(request(text, **options)))


def failure(llm: LLMProtocol, text: str = "hi", **options: Any) -> GenerationError:
    """The typed error that one request fails with."""
    with pytest.raises(GenerationError) as caught:
        ask(llm, text, **options)
    return caught.value
