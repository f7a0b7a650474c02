"""The plainest task and its rows, and backends that a test holds back and lets go."""

from __future__ import annotations

import asyncio
import threading
from itertools import count
from typing import TYPE_CHECKING, Any
from zlib import crc32

from pydantic import Field, PrivateAttr

from limbeck import Task
from limbeck.testing import ScriptedLLM
from limbeck.types import Generation, GenerationRequest, GenerationResponse

if TYPE_CHECKING:
    from limbeck.types import ChatType, Request, Row

METADATA = "distilabel_metadata"
# Seconds until a test that would hang fails instead.
PATIENCE = 20.0

_numbers = count()


class Ask(Task):
    """Asks each row's question; the answer is the model's text."""

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": str(input["question"])}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": output}


def processed(task: Task, rows: list[Row]) -> list[Row]:
    """All rows that come of `rows`; `process` must give them in one list."""
    (result,) = task.process(rows)
    return result


def questions(number: int) -> list[Row]:
    """Rows whose questions are "0", "1", …"""
    return [{"question": str(place)} for place in range(number)]


def answered(question: str, answer: str | None, *, model: str) -> Row:
    """What comes of one row of `Ask`."""
    metadata = {"raw_output_ask": answer}
    return {"question": question, "answer": answer, METADATA: metadata, "model_name": model}


def failed(question: str, error: str, message: str, *, attempts: int, raw: str | None = None, model: str) -> Row:
    """What comes of one row of `Ask` that failed."""
    facts = {"type": error, "message": message, "attempts": attempts}
    metadata = {"raw_output_ask": raw, "error_ask": facts}
    return {"question": question, "answer": None, METADATA: metadata, "model_name": model}


def new_model() -> str:
    """A model's name that no other test uses: equal names share their limits, and what was learned about them."""
    return f"model-{next(_numbers)}"


def prompt_of(request: Request) -> str:
    """The text of the last message."""
    return str(request.asked[-1].get("content"))


def response(*texts: str | None) -> GenerationResponse:
    """One generation a text."""
    return GenerationResponse(generations=[Generation(text=text) for text in texts])


class GatedLLM:
    """Echoes, but holds back every answer until `release`.

    Attributes:
        asked: the prompts, in the order they came. cancelled: those whose request was cancelled.
        most: the most requests in flight at once.
    """

    def __init__(self, *, max_concurrency: int = 64, expect: int = 1) -> None:
        self.max_concurrency = max_concurrency
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.most = 0
        self._in_flight = 0
        self._expect = expect
        self._full = threading.Event()
        self._ended = threading.Event()
        self._gate = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def model_name(self) -> str:
        return "gated"

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        self._loop = asyncio.get_running_loop()
        self.asked.append(prompt_of(request))
        self._in_flight += 1
        self.most = max(self.most, self._in_flight)
        if self._in_flight == self._expect:
            self._full.set()
        try:
            await self._gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(prompt_of(request))
            raise
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._ended.set()
        return response(prompt_of(request))

    def wait_until_asked(self) -> None:
        """Wait until as many requests as are expected are in flight."""
        assert self._full.wait(PATIENCE), f"only {self.asked} were asked"

    def wait_until_ended(self) -> None:
        """Wait until no request is in flight any more."""
        assert self._ended.wait(PATIENCE), f"{self._in_flight} requests are still in flight"

    def release(self) -> None:
        """Answer everything, from now on at once."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._gate.set)


class ShuffledLLM(ScriptedLLM):
    """A script, by default an echo, whose answers overtake each other: each takes some turns of the loop.

    Attributes:
        seed: of the numbers of turns; None for none at all.
    """

    script: Any = Field(default=prompt_of, exclude=True)
    model: str = "shuffled"
    seed: int | None = Field(default=0, exclude=True)

    _finished: list[str] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """The prompts, in the order they came."""
        return [prompt_of(request) for request in self.requests]

    @property
    def finished(self) -> list[str]:
        """The prompts, in the order they were answered."""
        return self._finished

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        answer = await super().agenerate(request)
        prompt = prompt_of(request)
        if self.seed is not None:
            for _ in range(crc32(f"{prompt} {len(self.requests)} {self.seed}".encode()) % 17):
                await asyncio.sleep(0)
        self._finished.append(prompt)
        return answer


def run_in_thread(function: Any) -> threading.Thread:
    """Start `function` in a thread that does not outlive the process."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread
