"""The engine around a backend with batches, in virtual time, with a ledger that commits at once."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck._engine.batch.choice import attach, wake, window_of
from limbeck._engine.calls.policy import Policy
from limbeck._engine.ledger.ledger import Ledger
from limbeck._engine.online.backend import Backend
from limbeck._engine.stream.parts import Asking, Receiver, Terms
from limbeck._engine.stream.stream import Stream
from limbeck._engine.threads.handoff import EMPTY, END
from limbeck._registry.registry import default_registry
from limbeck.types import GenerationRequest

from .virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from limbeck import LLM
    from limbeck._engine.calls.jobs import Job
    from limbeck._engine.ledger.step_ledger import StepLedger
    from limbeck.types import Row

    from .virtual_time import VirtualHome


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
        attach(stream)
        if kill_at is not None:
            asyncio.get_running_loop().call_later(kill_at, stream.stop)
        error = await done
        seconds = asyncio.get_running_loop().time()
        wake(stream)  # which lets go of the stream
        for _ in range(3):  # cancelled tasks come to their end
            await asyncio.sleep(0)
        return Run(rows, error, seconds, stream)

    return run_virtually(scene)
