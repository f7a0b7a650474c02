"""A window with its streams on virtual time: a model that a test answers for, the plainest work, and what comes out."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from limbeck._engine.batch.choice import attach
from limbeck._engine.calls.policy import Policy
from limbeck._engine.limits.retry import Retry
from limbeck._engine.online.backend import Backend
from limbeck._engine.online.window import Window
from limbeck._engine.stream.assembly import assemble
from limbeck._engine.stream.parts import Asking, Receiver
from limbeck._engine.threads.handoff import EMPTY, END
from limbeck._registry.registry import Registry
from limbeck.types import Generation, GenerationRequest
from support.questions import prompt_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from limbeck._engine.calls.jobs import Job
    from limbeck._engine.threads.portal import Portal
    from limbeck.types import GenerationResponse, Row

    from .virtual_time import VirtualHome


_TURNS = 8  # of the loop, after which a cancelled request is over


class Model:
    """An LLM that asks `reply` for each request, with the prompt and how often it was asked before.

    Attributes:
        asked: when each request came, and its prompt. in_flight, most: requests now, and at once at most.
        seconds_in_flight: of all requests together. cancelled: prompts whose request was cancelled.
    """

    model_name = "scene"

    def __init__(self, reply: Callable[[str, int], Awaitable[GenerationResponse]], **settings: Any) -> None:
        self._reply = reply
        self.max_concurrency = 64
        for name, value in settings.items():
            setattr(self, name, value)
        self.asked: list[tuple[float, str]] = []
        self.in_flight = self.most = 0
        self.seconds_in_flight = 0.0
        self.cancelled: list[str] = []

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = prompt_of(request)
        before = sum(asked == prompt for _, asked in self.asked)
        began = asyncio.get_running_loop().time()
        self.asked.append((began, prompt))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            return await self._reply(prompt, before)
        except asyncio.CancelledError:
            self.cancelled.append(prompt)
            raise
        finally:
            self.seconds_in_flight += asyncio.get_running_loop().time() - began
            self.in_flight -= 1


class Prompting:
    """Work whose rows are their own prompts: one row comes of each, with what became of its samples."""

    reads = ("prompt",)

    def __init__(self, num_generations: int = 1) -> None:
        self.name = "asking"
        self.num_generations = num_generations

    def prepare(self, row: Row) -> GenerationRequest:
        return GenerationRequest(messages=[{"role": "user", "content": row["prompt"]}])

    def finish(self, job: Job) -> list[Row]:
        outcomes = [outcome.error or outcome.generation for outcome in job.outcomes]
        texts = [outcome.text if isinstance(outcome, Generation) else outcome for outcome in outcomes]
        return [{"prompt": job.row["prompt"], "texts": texts, "attempts": [o.attempts for o in job.outcomes]}]


class Supply:
    """A source that a test adds rows to."""

    def __init__(self, prompts: Sequence[str] = (), *, ended: bool = True) -> None:
        self.rows = deque({"prompt": prompt} for prompt in prompts)
        self.ended = ended

    def take(self) -> Any:
        if self.rows:
            return self.rows.popleft()
        return END if self.ended else EMPTY


def backend_on(home: VirtualHome, llm: Any, *, seed: int = 0) -> Backend:
    """The LLM with a window of its own, whose chance comes from `seed`."""
    portal: Portal = home  # type: ignore[assignment]  # stands where the portal does
    backend = Backend(llm, portal)
    backend.retry = Retry(backend.max_attempts, random.Random(seed))
    backend.online = Window(portal)
    backend.online.serve(backend)
    return backend


class Line:
    """A stream in the window of a backend, and what came out of it.

    Attributes:
        out: the rows, as they came. times: when. error: what stopped it.
    """

    def __init__(
        self,
        backend: Backend,
        source: Supply,
        *,
        num_generations: int = 1,
        policy: Policy | None = None,
    ) -> None:
        self._loop = backend.home.loop
        self._window = backend.online
        self._done: asyncio.Future[None] = self._loop.create_future()
        self.out: list[Row] = []
        self.times: list[float] = []
        self.error: BaseException | None = None
        self.source = source
        self.stream = assemble(
            Asking(Prompting(num_generations), backend, Registry(path=[])),
            source,
            Receiver(self._emit, self._finish),
            policy or Policy(),
        )
        attach(self.stream)

    def _emit(self, _id: str, rows: list[Row]) -> None:
        self.out.extend(rows)
        self.times.extend(self._loop.time() for _ in rows)

    def _finish(self, error: BaseException | None) -> None:
        self.error = error
        if not self._done.done():
            self._done.set_result(None)

    @property
    def prompts(self) -> list[str]:
        """The prompts of the rows that came out."""
        return [row["prompt"] for row in self.out]

    @property
    def texts(self) -> list[Any]:
        """The one sample's text or error of each row that came out."""
        return [row["texts"][0] for row in self.out]

    def stop(self) -> None:
        """End it as a taker does that goes away."""
        self.stream.stop()
        self._window.wake()

    async def ended(self) -> Line:
        """Wait until the stream has ended and its requests are over."""
        await self._done
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        return self
