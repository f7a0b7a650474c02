"""A backend with provider batches in memory."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from limbeck import LLM
from limbeck.errors import BackendError, BadRequestError, TransientError
from limbeck.types import (
    BatchIntent,
    BatchLimits,
    BatchSearch,
    BatchStatus,
    Capabilities,
    Generation,
    GenerationRequest,
    GenerationResponse,
    Usage,
)

from .batch_desk import BatchDesk, Filed, prompt_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from limbeck.errors import GenerationError

_FATES: dict[str, GenerationError] = {
    "faulty": TransientError("It was faulty."),
    "refused": BadRequestError("It was refused."),
    "expired": TransientError("It has expired."),
    "cancelled": BackendError("It was cancelled."),
}


@dataclass
class Script:
    """What a `BatchLLM` meets, and what it was asked.

    Attributes:
        trouble: what the next calls of a method raise, one each; None for nothing.
        searches: what the next searches come to, instead of the truth.
        failing: batches that fail as a whole, and why.
        online: prompts that were asked one by one. polled: the times of the looks at batches.
        readings: of results, begun. most_open: batches that were in progress at once, at most.
    """

    desk: BatchDesk = field(default_factory=BatchDesk)
    trouble: dict[str, deque[Exception | None]] = field(default_factory=dict)
    searches: deque[BatchSearch] = field(default_factory=deque)
    failing: dict[str, GenerationError] = field(default_factory=dict)
    online: Counter[str] = field(default_factory=Counter)
    polled: list[float] = field(default_factory=list)
    readings: int = 0
    most_open: int = 0

    def raise_trouble(self, method: str) -> None:
        waiting = self.trouble.get(method)
        exception = waiting.popleft() if waiting else None
        if exception is not None:
            raise exception


class BatchLLM(LLM):
    """Answers `echo: <prompt>`, in batches kept by a `BatchDesk`, which outlives it.

    What it meets besides is in its `script`.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(native_n=True, batches=True)
    batch_limits: ClassVar[BatchLimits] = BatchLimits(requests=1000, bytes=200_000)

    model: str = "m"

    _script: Script = PrivateAttr(default_factory=Script)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def script(self) -> Script:
        return self._script

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        self._script.online[prompt_of({"messages": request.messages})] += 1
        return _answer(prompt_of({"messages": request.messages}), request.num_generations)

    def encode_batch_entry(self, custom_id: str, request: GenerationRequest) -> bytes:
        if "unsendable" in prompt_of({"messages": request.messages}):
            raise BadRequestError("It cannot be written.")
        body = {"messages": request.messages, "n": request.num_generations}
        return json.dumps({"id": custom_id, "body": body}).encode()

    async def submit_batch(self, entries: Sequence[bytes], intent: BatchIntent) -> str:
        self._script.raise_trouble("submit")
        desk, read = self._script.desk, [json.loads(entry) for entry in entries]
        filed = Filed(desk.new_id("batch"), {entry["id"]: entry["body"] for entry in read}, intent.at)
        filed.mark = {"token": intent.token}
        assert len(entries) == intent.requests
        desk.file(filed)
        self._script.most_open = max(self._script.most_open, sum(each.results is None for each in desk.filed))
        self._script.raise_trouble("accepted")
        return filed.id

    async def find_batch(self, intent: BatchIntent) -> BatchSearch:
        self._script.raise_trouble("find")
        if self._script.searches:
            return self._script.searches.popleft()
        found = [filed.id for filed in self._script.desk.filed if filed.mark["token"] == intent.token]
        return BatchSearch(id=found[0] if found else None)

    async def poll_batch(self, id: str) -> BatchStatus:
        self._script.polled.append(asyncio.get_running_loop().time())
        self._script.raise_trouble("poll")
        filed = self._script.desk.by_id(id)
        if filed is None:
            raise BadRequestError(f"There is no batch {id!r}.")
        if filed.id in self._script.failing:
            filed.results = {}
            return BatchStatus(state="failed", error=self._script.failing[filed.id])
        if self._script.desk.ends_now(filed):
            await self._script.desk.end(filed, _no_body)
        return BatchStatus(state="running" if filed.results is None else "ended")

    async def fetch_batch(self, id: str) -> AsyncGenerator[tuple[str, GenerationResponse | GenerationError]]:
        filed = self._script.desk.by_id(id)
        assert filed is not None
        self._script.readings += 1
        for custom_id, fate, _ in self._script.desk.shuffled(filed):
            self._script.raise_trouble("line")
            body = filed.entries[custom_id]
            yield custom_id, _FATES[fate] if fate in _FATES else _answer(prompt_of(body), body["n"])

    async def cancel_batch(self, id: str) -> None:
        raise NotImplementedError


async def _no_body(_body: dict[str, Any]) -> dict[str, Any]:
    return {}


def _answer(prompt: str, n: int) -> GenerationResponse:
    texts = [f"echo: {prompt}" if place == 0 else f"echo: {prompt} #{place}" for place in range(n)]
    return GenerationResponse(generations=[Generation(text=text) for text in texts], usage=Usage(input_tokens=1))
