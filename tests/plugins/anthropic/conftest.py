"""What the tests of limbeck-anthropic share: an environment of their own, and one way to ask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from limbeck_anthropic import AnthropicLLM
from support.asking import ask as ask_llm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from limbeck.types import GenerationResponse
    from support.anthropic_server import AnthropicServer

KEY = "test-key-0123456789"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, server or profile of this machine reaches a test."""
    for name in os.environ:
        if name.startswith("ANTHROPIC_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def key() -> str:
    return KEY


@pytest.fixture
def make_llm() -> Callable[..., AnthropicLLM]:
    def make(server: AnthropicServer, **fields: Any) -> AnthropicLLM:
        return AnthropicLLM(**{"model": "claude-sonnet-5", "base_url": server.url, "api_key": KEY, **fields})

    return make


@pytest.fixture
def ask(make_llm: Callable[..., AnthropicLLM]) -> Callable[..., GenerationResponse]:
    """Ask a server one chat (a text is a user's message), on an event loop of its own."""

    def ask_once(
        server: AnthropicServer,
        chat: Any = "What is the capital of Spain?",
        *,
        parameters: dict[str, Any] | None = None,
        output_schema: dict[str, Any] | None = None,
        **fields: Any,
    ) -> GenerationResponse:
        return ask_llm(make_llm(server, **fields), chat, parameters=parameters or {}, output_schema=output_schema)

    return ask_once
