"""Backends that need no provider."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

from pydantic import Field, PrivateAttr

from .._llm.llm import LLM
from ..types import Capabilities, Generation, GenerationRequest, GenerationResponse, Usage

Answer: TypeAlias = str | Generation | GenerationResponse | BaseException | None
"""What a script may say: a text, a whole generation or response, or an error to raise."""

Script: TypeAlias = Sequence[Answer] | Callable[[GenerationRequest], Answer]


_TAKES_ALL_MEDIA = Capabilities(vision=True, audio=True, documents=True)


class EchoLLM(LLM):
    """Answers with the text of the last message.

    Attributes:
        model: what it calls itself. latency: seconds each answer takes.
    """

    capabilities: ClassVar[Capabilities] = replace(_TAKES_ALL_MEDIA, completions=True, prefill=True)

    model: str = "echo"
    latency: float = Field(default=0.0, ge=0)

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        if self.latency:
            await asyncio.sleep(self.latency)
        return respond(_text_of(request.asked[-1].get("content")))


def _text_of(content: str | list[dict[str, Any]] | None) -> str | None:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content


class ScriptedLLM(LLM):
    """Answers as told: texts, tool calls, refusals, faults, malformed JSON, fewer generations, after a given time.

        ScriptedLLM(script=["first", RateLimitError(retry_after=1), "second"])
        ScriptedLLM(script=lambda request: "yes" if "?" in str(request.messages) else "no")

    Attributes:
        script: answers in the order of the requests, or a function of the request.
        latencies: seconds for the first, second … request; then none.
        model: what it calls itself.
    """

    capabilities: ClassVar[Capabilities] = replace(_TAKES_ALL_MEDIA, tools=True, completions=True, prefill=True)

    script: Any = Field(exclude=True)
    latencies: list[float] = Field(default_factory=list)
    model: str = "scripted"

    _requests: list[GenerationRequest] = PrivateAttr(default_factory=list)
    _left: deque[Answer] | None = PrivateAttr(default=None)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def requests(self) -> list[GenerationRequest]:
        """Every request so far, in the order they were sent."""
        return self._requests

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        self._requests.append(request)
        answer = self._next(request)
        if len(self._requests) <= len(self.latencies):
            await asyncio.sleep(self.latencies[len(self._requests) - 1])
        if isinstance(answer, BaseException):
            raise answer
        return respond(answer)

    def _next(self, request: GenerationRequest) -> Answer:
        if callable(self.script):
            return self.script(request)  # type: ignore[no-any-return]  # the author's own function
        if self._left is None:
            self._left = deque(self.script)
        if not self._left:
            raise AssertionError(f"The script has {len(self.script)} answers, and a further request came: {request!r}")
        return self._left.popleft()


def respond(answer: Any) -> GenerationResponse:
    """A response of a text, a generation or a response; its usage counts the text's words."""
    if isinstance(answer, GenerationResponse):
        return answer
    generation = answer if isinstance(answer, Generation) else Generation(text=answer, finish_reason="stop")
    usage = Usage(output_tokens=len((generation.text or "").split()))
    return GenerationResponse(generations=[generation], usage=usage)
