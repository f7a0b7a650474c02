"""A stream in its window under any mix of answers, faults, refusals, fewer answers and a stop: no row is lost.

Covers `_engine.stream.stream` and `_engine.stream.requests`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from limbeck.errors import BadRequestError, GenerationError, RateLimitError, TransientError
from limbeck.types import Capabilities, GenerationRequest, GenerationResponse
from support.questions import prompt_of, response

from ..scene import Line, Supply, backend_on
from ..virtual_time import VirtualHome, VirtualTimeLoop

TURNS = 12  # of the loop, after which everything that can happen at once has happened


class Held:
    """An LLM whose requests wait until the machine answers them."""

    model_name = "held"
    max_attempts = 3
    timeout = 1000.0

    def __init__(self, max_concurrency: int, *, native_n: bool) -> None:
        self.max_concurrency = max_concurrency
        self.capabilities = Capabilities(native_n=native_n)
        self.held: list[tuple[GenerationRequest, asyncio.Future[GenerationResponse]]] = []

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        future: asyncio.Future[GenerationResponse] = asyncio.get_running_loop().create_future()
        self.held.append((request, future))
        try:
            return await future
        finally:
            self.held.remove((request, future))


class StreamMachine(RuleBasedStateMachine):
    """Rows go in, answers of all kinds come back in any order, and what comes out is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.home = VirtualHome(self.loop)
        self.line: Line | None = None
        self.added = 0
        self.given: dict[str, list[str]] = {}
        self.stopped = False

    @initialize(
        max_concurrency=st.integers(1, 6), num_generations=st.integers(1, 3), native_n=st.booleans(), seed=st.integers()
    )
    def begin(self, max_concurrency: int, num_generations: int, *, native_n: bool, seed: int) -> None:
        self.llm = Held(max_concurrency, native_n=native_n)
        self.n = num_generations
        self.supply = Supply(ended=False)

        async def attach() -> None:
            self.backend = backend_on(self.home, self.llm, seed=seed)
            self.line = Line(self.backend, self.supply, num_generations=num_generations)

        self.run(attach())

    def run(self, coroutine: Any) -> None:
        self.loop.run_until_complete(coroutine)

    def settle(self) -> None:
        async def turns() -> None:
            self.backend.online.wake()
            for _ in range(TURNS):
                await asyncio.sleep(0)

        self.run(turns())

    @rule(number=st.integers(1, 5))
    def add_rows(self, number: int) -> None:
        for _ in range(number):
            self.supply.rows.append({"prompt": str(self.added)})
            self.added += 1
        self.settle()

    @rule(seconds=st.floats(0.001, 20))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))
        self.settle()

    def take(self, data: st.DataObject) -> tuple[GenerationRequest, asyncio.Future[GenerationResponse]]:
        return self.llm.held[data.draw(st.integers(0, len(self.llm.held) - 1))]

    def reply(self, request: GenerationRequest, future: asyncio.Future[GenerationResponse], number: int) -> None:
        texts = self.given.setdefault(prompt_of(request), [])
        new = [f"{prompt_of(request)}.{len(texts) + place}" for place in range(number)]
        texts.extend(new)
        future.set_result(response(*new))
        self.settle()

    @precondition(lambda self: self.llm.held)
    @rule(data=st.data())
    def answer_in_full(self, data: st.DataObject) -> None:
        request, future = self.take(data)
        self.reply(request, future, request.num_generations)

    @precondition(lambda self: self.llm.held)
    @rule(data=st.data())
    def answer_with_fewer(self, data: st.DataObject) -> None:
        request, future = self.take(data)
        self.reply(request, future, data.draw(st.integers(0, request.num_generations)))

    @precondition(lambda self: self.llm.held)
    @rule(
        data=st.data(),
        error=st.sampled_from(
            [
                lambda: TransientError("500"),
                lambda: TransientError("503", retry_after=2.0),
                lambda: RateLimitError("429", retry_after=1.0),
                lambda: RateLimitError("429"),
                lambda: BadRequestError("400"),
            ]
        ),
    )
    def fail(self, data: st.DataObject, error: Any) -> None:
        self.take(data)[1].set_exception(error())
        self.settle()

    @precondition(lambda self: self.line is not None and not self.stopped)
    @rule(really=st.integers(0, 9))
    def stop(self, really: int) -> None:
        if really:
            return
        assert self.line is not None
        self.stopped = True
        self.line.stop()
        self.settle()
        assert not self.llm.held

    @precondition(lambda self: self.line is not None)
    @invariant()
    def no_more_are_in_flight_than_the_user_allows(self) -> None:
        assert self.line is not None
        assert len(self.llm.held) <= self.llm.max_concurrency
        assert self.line.stream.stats.in_flight == len(self.llm.held)

    @precondition(lambda self: self.line is not None)
    @invariant()
    def rows_come_out_once_and_in_order(self) -> None:
        assert self.line is not None
        places = [int(prompt) for prompt in self.line.prompts]
        assert places == (sorted(set(places)) if self.stopped else list(range(len(places))))

    @precondition(lambda self: self.line is not None)
    @invariant()
    def samples_are_those_that_were_given_for_the_row(self) -> None:
        assert self.line is not None
        for row in self.line.out:
            assert len(row["texts"]) == self.n
            texts = [text for text in row["texts"] if not isinstance(text, GenerationError)]
            assert len(set(texts)) == len(texts)
            assert set(texts) <= set(self.given.get(row["prompt"], []))

    def teardown(self) -> None:
        """Answer whatever is asked until the stream ends; then nothing may be left."""
        if self.line is None:
            self.loop.close()
            return
        self.supply.ended = True
        self.settle()
        while not self.line.stream.ended:
            for request, future in list(self.llm.held):
                self.reply(request, future, request.num_generations)
            self.run(asyncio.sleep(5.0))
        self.settle()
        if not self.stopped:
            assert self.line.prompts == [str(place) for place in range(self.added)]
            assert self.line.stream.stats.waiting == 0
        assert self.line.error is None
        assert not asyncio.all_tasks(self.loop)
        assert not self.loop.errors
        self.loop.close()


TestStreamMachine = StreamMachine.TestCase
TestStreamMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
