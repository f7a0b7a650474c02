"""A backend with batches in memory, and the engine around it in virtual time, with a ledger that commits at once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from limbeck import LLM
from limbeck._engine.batch.choice import window_of
from limbeck._engine.calls.policy import Policy
from limbeck._engine.ledger.ledger import Ledger
from limbeck._engine.online.backend import Backend
from limbeck._engine.stream.parts import Asking, Receiver, Terms
from limbeck._engine.stream.stream import Stream
from limbeck._engine.threads.handoff import EMPTY, END
from limbeck._registry.registry import default_registry
from limbeck.errors import BackendError, BadRequestError, RateLimitError, TransientError
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
from .virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from limbeck._engine.calls.jobs import Job
    from limbeck._engine.ledger.step_ledger import StepLedger
    from limbeck.errors import GenerationError
    from limbeck.types import Row

    from .virtual_time import VirtualHome

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


class Echoing:
    """The work of a plain task: a row's `q` is the prompt, the answers become `a`; failures become `error`."""

    name = "ask"
    reads = ("q",)

    def __init__(self, num_generations: int = 1) -> None:
        self.num_generations = num_generations

    def prepare(self, row: Row) -> GenerationRequest:
        return GenerationRequest(messages=[{"role": "user", "content": row["q"]}])

    def finish(self, job: Job) -> list[Row]:
        return [
            {"q": job.row["q"], "a": outcome.generation.text}
            if outcome.generation is not None
            else {"q": job.row["q"], "error": f"{type(outcome.error).__name__}: {outcome.error}"}
            for outcome in job.outcomes
        ]


class _InstantLedger(Ledger):
    """Commits on the caller's thread, since a clock that jumps waits for no other thread."""

    def submit(self, statement: str, records: Any = None, done: Any = None) -> None:
        error = self._commit([(statement, records, done)])
        if done is not None:
            done.set_exception(error) if error is not None else done.set_result(None)

    def flush(self) -> None:
        """Nothing is left to commit."""


@dataclass
class _Prompts:
    """Rows of prompts; a number among them is a pause of so many seconds."""

    waiting: deque[str | float]
    backend: Backend
    paused: bool = False

    def take(self) -> Any:
        if self.paused or not self.waiting:
            return EMPTY if self.paused else END
        first = self.waiting.popleft()
        if isinstance(first, str):
            return {"q": first}
        self.paused = True
        self.backend.home.loop.call_later(first, self._go_on)
        return EMPTY

    def _go_on(self) -> None:
        self.paused = False
        window_of(self.backend).wake()


@dataclass
class Run:
    """What a run in virtual time came to.

    Attributes:
        rows: what came of the rows. error: what stopped it. seconds: how long it took.
        stream: the stream itself.
    """

    rows: list[Row]
    error: BaseException | None
    seconds: float
    stream: Stream

    @property
    def answers(self) -> dict[str, str]:
        """The answer of each prompt that has one."""
        return {row["q"]: row["a"] for row in self.rows if "a" in row}


def run_batches(
    llm: LLM,
    prompts: Sequence[str | float],
    folder: Path | None,
    *,
    n: int = 1,
    kill_at: float | None = None,
    ask: bool = True,
) -> Run:
    """Run prompts through `llm`, in virtual time.

    Args:
        prompts: one a row; a number is a pause of so many seconds in their source.
        folder: the run directory; None for no ledger.
        n: answers for each row. kill_at: the second at which the run ends with nothing put in order.
        ask: False to take stored answers only.
    """

    async def scene(home: VirtualHome) -> Run:
        backend = Backend(llm, home)  # type: ignore[arg-type]  # all that a backend needs of the portal
        ledger = _InstantLedger(folder) if folder is not None else None
        try:
            return await _run(backend, ledger.step("ask", {}) if ledger else None)
        finally:
            if ledger is not None:
                ledger.close()

    async def _run(backend: Backend, ledger: StepLedger | None) -> Run:
        rows: list[Row] = []
        done: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        stream = Stream(
            Asking(Echoing(n), backend, default_registry()),
            _Prompts(deque(prompts), backend),
            Receiver(lambda _id, made: rows.extend(made), done.set_result),
            Policy(ask=ask),
            Terms(ledger),
        )
        window_of(backend).attach(stream)
        if kill_at is not None:
            asyncio.get_running_loop().call_later(kill_at, stream.stop)
        error = await done
        seconds = asyncio.get_running_loop().time()
        window_of(backend).wake()  # which lets go of the stream
        for _ in range(3):  # cancelled tasks come to their end
            await asyncio.sleep(0)
        return Run(rows, error, seconds, stream)

    return run_virtually(scene)


def queue_is_full() -> RateLimitError:
    """Why a batch fails as a whole when the account has too many."""
    return RateLimitError("Too much in the queue.")
