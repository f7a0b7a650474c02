"""Models that count tokens, and what they cost."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from zlib import crc32

from pydantic import Field, PrivateAttr

from limbeck import LLM
from limbeck.types import Generation, GenerationRequest, GenerationResponse, Usage
from support.questions import prompt_of

# US dollars for a million tokens.
INPUT, OUTPUT = 3.0, 15.0


class CountingLLM(LLM):
    """Echoes, with a length drawn from the prompt: `longest` tokens at most, or the request's own maximum.

    Attributes:
        model: its name. longest: tokens of an answer at most. shape: of the distribution of lengths; small is skewed.
        seconds: that an answer takes.
        finish: a function of the prompt and of the request's maximum, for the finish reason.
    """

    model: str = "counting"
    longest: int = 400
    shape: float = 2.0
    seconds: float = 0.0
    finish: Any = Field(default=None, exclude=True)
    _asked: list[str] = PrivateAttr(default_factory=list)
    _in_flight: int = PrivateAttr(default=0)
    _most: int = PrivateAttr(default=0)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def identity(self) -> dict[str, Any]:
        return {"provider": "counting", "model_name": self.model}

    @property
    def asked(self) -> list[str]:
        """The prompts, in the order they were asked."""
        return self._asked

    @property
    def most(self) -> int:
        """The most requests in flight at once."""
        return self._most

    def usage(self, prompt: str) -> Usage:
        """What the answer to `prompt` takes."""
        drawn = random.Random(crc32(prompt.encode())).betavariate(self.shape, 6.0)
        return Usage(input_tokens=len(prompt) // 4 + 8, output_tokens=1 + int(drawn * (self.longest - 1)))

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = prompt_of(request)
        self._asked.append(prompt)
        self._in_flight += 1
        self._most = max(self._most, self._in_flight)
        await asyncio.sleep(self.seconds)
        for _ in range(crc32(prompt.encode()) % 7):
            await asyncio.sleep(0)
        self._in_flight -= 1
        reason = self.finish(prompt, request.parameters) if self.finish else "stop"
        generation = Generation(text=f"echo: {prompt}", finish_reason=reason)
        return GenerationResponse(generations=[generation], usage=self.usage(prompt), model=self.model)


def cost_of(usage: Usage) -> float:
    """US dollars, at this module's prices."""
    return (usage.input_tokens * INPUT + usage.output_tokens * OUTPUT) / 1_000_000


def prices_of(*models: str) -> dict[str, dict[str, float]]:
    """A price table of these models."""
    return {model: {"input": INPUT, "output": OUTPUT} for model in models}
