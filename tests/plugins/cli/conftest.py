"""Every test in a folder of its own, and a model that counts what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr, SecretStr

from limbeck import LLM, register_llm
from limbeck.errors import AuthenticationError, BadRequestError
from limbeck.testing import registry
from limbeck.types import Generation, GenerationRequest, GenerationResponse


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass
class Asked:
    """What the model `paid/NAME` has been asked.

    Attributes:
        prompts: in the order they were sent. built: the LLM objects. loads: how often one was loaded.
    """

    prompts: list[str] = field(default_factory=list)
    built: list[PaidLLM] = field(default_factory=list)
    loads: int = 0


class PaidLLM(LLM):
    """Echoes; refuses what begins with `bad`, and the key at `who?`; answers `slow` once it has answered `fast`."""

    asked: ClassVar[Asked]

    model: str
    api_key: SecretStr | None = None
    base_url: str = ""

    _fast: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.asked.built.append(self)

    @property
    def model_name(self) -> str:
        return self.model

    def load(self) -> None:
        self.asked.loads += 1

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = str(request.messages[-1].get("content"))
        self.asked.prompts.append(prompt)
        if prompt.startswith("bad"):
            raise BadRequestError("It is bad.")
        if prompt == "who?":
            raise AuthenticationError("The key is refused.")
        if prompt == "slow":
            await asyncio.wait_for(self._fast.wait(), 20)
        if prompt == "fast":
            self._fast.set()
        return GenerationResponse(generations=[Generation(text=f"echo: {prompt}")])


@pytest.fixture
def asked() -> Iterator[Asked]:
    """The backend `paid`, in a registry of the test's own, and what it is asked."""
    PaidLLM.asked = Asked()
    with registry():
        register_llm("paid", PaidLLM)
        yield PaidLLM.asked
