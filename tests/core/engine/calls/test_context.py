"""The context variables of a caller: they reach all that authors wrote, and nobody else's do."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import LLM, GlobalStep, Pipeline, Step, Task, hookimpl, register_plugin
from limbeck.testing import registry
from limbeck.types import Capabilities, Generation, GenerationRequest, GenerationResponse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.types import Row

CALLERS = ("red", "green", "blue")
ROWS = 9

tenant = contextvars.ContextVar("tenant", default="nobody")
seen: dict[str, set[tuple[str, str]]] = defaultdict(set)


def note(where: str, of: str) -> None:
    """Note whose value is seen for whose row."""
    seen[where].add((of, tenant.get()))


def answer(request: GenerationRequest) -> GenerationResponse:
    note("backend", str(request.messages[0]["content"]))
    return GenerationResponse(generations=[Generation(text="ok")])


class Async(LLM):
    capabilities = Capabilities()

    @property
    def model_name(self) -> str:
        return "async"

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        await asyncio.sleep(0.001)
        return answer(request)


class Blocking:
    model_name = "blocking"
    max_concurrency = 4

    def generate(self, request: GenerationRequest) -> GenerationResponse:
        return answer(request)


class Together:
    model_name = "together"
    batch_size = 4

    def generate_batch(self, requests: list[GenerationRequest]) -> list[GenerationResponse]:
        return [answer(request) for request in requests]


class Watched(Task):
    @property
    def inputs(self) -> list[str]:
        return ["of"]

    @property
    def outputs(self) -> list[str]:
        return ["text"]

    def format_input(self, input: Row) -> Any:
        note("format_input", input["of"])
        tenant.set("an author's own")
        return [{"role": "user", "content": input["of"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        note("format_output", input["of"])
        return {"text": output}


class Observer:
    @hookimpl
    def limbeck_request_started(self, run: Any, request: Any) -> None:
        note("request_started", request.messages[0]["content"])

    @hookimpl
    def limbeck_request_finished(self, run: Any, request: Any, response: Any, latency: float) -> None:
        note("request_finished", request.messages[0]["content"])

    @hookimpl
    def limbeck_rows_written(self, run: Any, rows: Any) -> None:
        for row in rows:
            note("rows_written", row["of"])


@pytest.fixture(autouse=True)
def observed() -> Iterator[None]:
    seen.clear()
    with registry():
        register_plugin(Observer())
        yield


def rows(of: str) -> Iterator[Row]:
    for _ in range(ROWS):
        note("source", of)
        yield {"of": of}


EVERYWHERE = {"format_input", "backend", "format_output", "request_started", "request_finished", "rows_written"}


def assert_each_saw_its_own(places: set[str]) -> None:
    expected = {(name, name) for name in CALLERS}
    assert {place: seen[place] for place in places} == dict.fromkeys(places, expected)


def in_threads(call: Any) -> None:
    """Call from three threads at once, each with its own value."""
    barrier = threading.Barrier(len(CALLERS))

    def caller(name: str) -> None:
        tenant.set(name)
        barrier.wait()
        call(name)

    with ThreadPoolExecutor(len(CALLERS)) as pool:
        inside = [contextvars.copy_context() for _ in CALLERS]  # where the test's registry is
        list(pool.map(lambda context, name: context.run(caller, name), inside, CALLERS))


@pytest.mark.parametrize("llm", [Async, Blocking, Together])
def test_three_threads_that_call_process_at_once_see_their_own(llm: Any) -> None:
    task = Watched(llm=llm())
    in_threads(lambda name: next(task.process([{"of": name}] * ROWS)))
    assert_each_saw_its_own(EVERYWHERE)


@pytest.mark.parametrize("llm", [Async, Blocking, Together])
def test_three_runs_at_once_see_their_own_and_so_do_their_sources(llm: Any, tmp_path: Path) -> None:
    task = Watched(llm=llm())
    in_threads(lambda name: list(task.run(rows(name), run_dir=tmp_path / name)))
    assert_each_saw_its_own({*EVERYWHERE, "source"})


def on_one_loop(call: Any) -> None:
    async def caller(name: str) -> None:
        tenant.set(name)
        await call(name)

    async def together() -> None:
        await asyncio.gather(*map(caller, CALLERS))

    asyncio.run(together())


def test_three_callers_of_one_loop_see_their_own_through_aprocess() -> None:
    task = Watched(llm=Async())
    on_one_loop(lambda name: task.aprocess([{"of": name}] * ROWS))
    assert_each_saw_its_own(EVERYWHERE)


def test_three_callers_of_one_loop_see_their_own_through_arun() -> None:
    task = Watched(llm=Async(max_concurrency=2))

    async def call(name: str) -> None:
        async with task.arun(rows(name)) as stream:
            assert len([row async for row in stream]) == ROWS

    on_one_loop(call)
    assert_each_saw_its_own({*EVERYWHERE, "source"})


class Plain(Step):
    @property
    def inputs(self) -> list[str]:
        return ["of"]

    @property
    def outputs(self) -> list[str]:
        return []

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        note("step", inputs[0]["of"])
        yield inputs


class All(GlobalStep):
    @property
    def inputs(self) -> list[str]:
        return ["of"]

    @property
    def outputs(self) -> list[str]:
        return []

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        note("global step", inputs[0]["of"])
        yield inputs


def test_three_pipelines_at_once_see_their_own_in_every_step(tmp_path: Path) -> None:
    llm = Async()
    in_threads(lambda name: Pipeline(rows(name), Plain(), Watched(llm=llm), All()).run(run_dir=tmp_path / name))
    assert_each_saw_its_own({*EVERYWHERE, "source", "step", "global step"})


def test_what_is_set_inside_is_not_seen_by_the_caller() -> None:
    tenant.set("red")
    next(Watched(llm=Async()).process([{"of": "red"}]))
    assert tenant.get() == "red"
