"""A model that counts tokens, and what they cost."""

from __future__ import annotations

import random
from typing import Any
from zlib import crc32

from pydantic import Field

from limbeck.types import Generation, GenerationRequest, GenerationResponse, Usage

from .questions import ShuffledLLM, prompt_of

# US dollars for a million tokens.
INPUT, OUTPUT = 3.0, 15.0


class CountingLLM(ShuffledLLM):
    """Echoes, with a length drawn from the prompt.

    Attributes:
        longest: tokens of an answer at most. shape: of the distribution of lengths; small is skewed.
        finish: a function of the prompt and of the request's parameters, for the finish reason.
    """

    model: str = "counting"
    longest: int = 400
    shape: float = 2.0
    finish: Any = Field(default=None, exclude=True)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.script = self._counted

    @property
    def identity(self) -> dict[str, Any]:
        return {"provider": "counting", "model_name": self.model}

    def usage(self, prompt: str) -> Usage:
        """What the answer to `prompt` takes."""
        drawn = random.Random(crc32(prompt.encode())).betavariate(self.shape, 6.0)
        return Usage(input_tokens=len(prompt) // 4 + 8, output_tokens=1 + int(drawn * (self.longest - 1)))

    def _counted(self, request: GenerationRequest) -> GenerationResponse:
        prompt = prompt_of(request)
        reason = self.finish(prompt, request.parameters) if self.finish else "stop"
        generation = Generation(text=f"echo: {prompt}", finish_reason=reason)
        return GenerationResponse(generations=[generation], usage=self.usage(prompt), model=self.model)


def cost_of(usage: Usage) -> float:
    """US dollars, at this module's prices."""
    return (usage.input_tokens * INPUT + usage.output_tokens * OUTPUT) / 1_000_000


def prices_of(*models: str) -> dict[str, dict[str, float]]:
    """A price table of these models."""
    return {model: {"input": INPUT, "output": OUTPUT} for model in models}
