"""Runs that are left alone: a loop that is closed, a process that ends or is forked, rows that somebody changes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import PrivateAttr

from limbeck import GeneratorStep, Pipeline
from limbeck.errors import ConfigurationError
from limbeck.testing import EchoLLM
from support.questions import PATIENCE, Ask, GatedLLM, processed, questions

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row


async def endless_async(closed: list[str]) -> AsyncIterator[Row]:
    try:
        while True:
            yield {"question": "again"}
    finally:
        closed.append("async")


# A process that ends


def test_a_blocking_backend_that_never_returns_keeps_no_process_from_ending() -> None:
    program = """if True:
        import threading
        from support.questions import Ask, questions

        class Stuck:
            model_name, timeout, max_attempts = "stuck", 0.01, 1

            def generate(self, request):
                threading.Event().wait()

        print(next(Ask(llm=Stuck()).process(questions(1)))[0]["answer"])
    """
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True, env=paths
    )
    assert (ended.stdout, ended.stderr) == ("None\n", "")


def test_blocking_calls_run_side_by_side_and_their_threads_are_used_again() -> None:
    names: set[str] = set()

    class Blocking:
        model_name, max_concurrency = "blocking", 4

        def generate(self, request: Any) -> Any:
            names.add(threading.current_thread().name)
            return asyncio.run(EchoLLM().agenerate(request))

    rows = processed(Ask(llm=Blocking()), questions(40))
    assert [row["answer"] for row in rows] == [str(place) for place in range(40)]
    assert len(names) <= 4


# A process that is forked


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_is_told_that_the_run_is_not_its_own_and_does_not_wait_for_it() -> None:
    program = """if True:
        import os
        from limbeck.errors import ConfigurationError
        from support.questions import Ask, GatedLLM, questions

        llm = GatedLLM()
        stream = Ask(llm=llm).run(questions(1))
        llm.wait_until_asked()
        child = os.fork()
        if not child:
            try:
                next(stream)
            except ConfigurationError as exc:
                print(exc, flush=True)
            stream.close()
            os._exit(0)
        os.waitpid(child, 0)
        llm.release()
        print([row["answer"] for row in stream])
    """
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True, env=paths
    )
    told, rows = ended.stdout.splitlines()
    assert "which was forked" in told
    assert rows == "['0']"


# A loop that is closed


def test_a_run_whose_event_loop_ends_asks_nothing_further() -> None:
    llm = GatedLLM(max_concurrency=2, expect=2)

    async def app() -> Any:
        stream = Ask(llm=llm).arun(questions(100))
        await asyncio.to_thread(llm.wait_until_asked)
        return stream

    stream = asyncio.run(app())
    llm.wait_until_ended()
    assert (len(llm.asked), len(llm.cancelled)) == (2, 2)
    assert stream.stats.rows_out == 0


def test_a_pipeline_whose_event_loop_ends_gives_its_directory_back(tmp_path: Path) -> None:
    async def app() -> Any:
        many_read = asyncio.Event()

        async def rows() -> AsyncIterator[Row]:
            for number in count():
                if number == 1500:  # more than the task takes in: their end has not come when the loop is closed
                    many_read.set()
                yield {"question": str(number)}

        stream = Pipeline(rows(), Ask(llm=GatedLLM(max_concurrency=2))).stream(run_dir=tmp_path)
        await many_read.wait()
        return stream

    stream = asyncio.run(app())
    stream.stop()
    assert stream._closed.wait(PATIENCE)
    (row,) = Pipeline(questions(1), Ask(name="next", llm=EchoLLM())).run(run_dir=tmp_path)
    assert row["answer"] == "0"


def test_a_pipeline_ends_whose_rows_were_awaited_when_the_event_loop_ended(tmp_path: Path) -> None:
    llm = GatedLLM()

    async def app() -> tuple[Any, Any]:
        stream = Pipeline(questions(1), Ask(llm=llm)).stream(run_dir=tmp_path)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(llm.wait_until_asked)
        return stream, waiting

    stream, waiting = asyncio.run(app())
    stream.stop()
    assert stream._closed.wait(PATIENCE)
    assert waiting.cancelled()


def test_arun_without_a_running_loop_says_to_use_run() -> None:
    with pytest.raises(ConfigurationError, match="Without one, use `run`"):
        Ask(llm=EchoLLM()).arun(questions(1))


def test_a_generator_of_rows_is_closed_when_the_run_is() -> None:
    closed: list[str] = []

    async def app() -> None:
        async with Ask(llm=EchoLLM()).arun(endless_async(closed)) as stream:
            await anext(stream)
        assert closed == ["async"]

    asyncio.run(app())


class Endless(GeneratorStep):
    """Says when what makes its rows is closed."""

    _closed: threading.Event = PrivateAttr(default_factory=threading.Event)

    @property
    def closed(self) -> threading.Event:
        return self._closed

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:
        try:
            while True:
                yield [{"question": "again"}] * 10
        finally:
            self._closed.set()


def test_a_source_of_a_pipeline_is_closed_when_the_run_is() -> None:
    source = Endless()
    with Pipeline(source, Ask(llm=EchoLLM())).stream() as stream:
        next(stream)
    assert source.closed.wait(PATIENCE)


def test_a_generator_of_rows_of_a_pipeline_is_closed_when_the_run_is() -> None:
    closed = threading.Event()

    def endless() -> Iterator[Row]:
        try:
            while True:
                yield {"question": "again"}
        finally:
            closed.set()

    with Pipeline(endless(), Ask(llm=EchoLLM())).stream() as stream:
        next(stream)
    assert closed.wait(PATIENCE)


# Rows that somebody changes


def refilled() -> Iterator[Row]:
    row: Row = {}
    for place in range(5):
        row["question"] = str(place)
        yield row


async def refilled_async() -> AsyncIterator[Row]:
    for row in refilled():
        yield row


def test_a_source_may_fill_one_dict_again_and_again() -> None:
    expected = [(str(place), str(place)) for place in range(5)]

    class Refilled(GeneratorStep):
        @property
        def outputs(self) -> list[str]:
            return ["question"]

        def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:
            yield from ([row] for row in refilled())

    async def app() -> list[Row]:
        return [row async for row in Ask(llm=EchoLLM()).arun(refilled_async())]

    task = Ask(llm=EchoLLM())
    for rows in (
        list(task.run(refilled())),
        asyncio.run(app()),
        list(Pipeline(refilled(), Ask(llm=EchoLLM())).run()),
        list(Pipeline(Refilled(), Ask(llm=EchoLLM())).run()),
    ):
        assert [(row["question"], row["answer"]) for row in rows] == expected


def test_rows_that_are_changed_once_they_were_read_come_out_as_they_were_asked() -> None:
    llm = GatedLLM()
    rows = questions(1)
    with Ask(llm=llm).run(rows) as stream:
        llm.wait_until_asked()
        rows[0]["question"] = "another"
        llm.release()
        assert [(row["question"], row["answer"]) for row in stream] == [("0", "0")]
    assert rows == [{"question": "another"}]
