"""Tasks among threads, event loops and processes: in order, and without leaving anything behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import PrivateAttr

from limbeck.errors import AuthenticationError, MissingColumnError
from limbeck.testing import EchoLLM, ScriptedLLM
from support.questions import (
    PATIENCE,
    Ask,
    GatedLLM,
    ShuffledLLM,
    answered,
    processed,
    prompt_of,
    questions,
    response,
    run_in_thread,
)

if TYPE_CHECKING:
    from limbeck.types import GenerationRequest, GenerationResponse, Row


def test_rows_come_in_input_order_whatever_overtakes_what() -> None:
    llm = ShuffledLLM()
    rows = processed(Ask(llm=llm), questions(500))
    assert rows == [answered(str(place), str(place), model="shuffled") for place in range(500)]
    assert llm.finished != [str(place) for place in range(500)]


def test_samples_stay_with_their_row_whatever_overtakes_what() -> None:
    rows = processed(Ask(llm=ShuffledLLM(), num_generations=3, group_generations=True), questions(100))
    assert [(row["question"], row["answer"]) for row in rows] == [(str(n), [str(n)] * 3) for n in range(100)]


def test_a_slow_row_does_not_hold_up_the_requests_of_those_behind_it() -> None:
    last_is_done = asyncio.Event()

    class SlowHead(ShuffledLLM):
        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            if prompt_of(request) == "0":
                await last_is_done.wait()
            result = await super().agenerate(request)
            if prompt_of(request) == "99":
                last_is_done.set()
            return result

    llm = SlowHead(max_concurrency=2)
    rows = processed(Ask(llm=llm), questions(100))
    assert [row["answer"] for row in rows] == [str(place) for place in range(100)]
    assert llm.finished[-1] == "0"


def test_process_works_inside_a_running_event_loop() -> None:
    async def notebook_cell() -> list[Row]:
        return processed(Ask(llm=EchoLLM()), questions(2))

    assert asyncio.run(notebook_cell()) == [answered(q, q, model="echo") for q in "01"]


def test_process_works_in_a_thread() -> None:
    results: list[list[Row]] = []
    run_in_thread(lambda: results.append(processed(Ask(llm=EchoLLM()), questions(2)))).join(PATIENCE)
    assert results == [[answered(q, q, model="echo") for q in "01"]]


def test_one_task_serves_many_threads_at_once_each_with_its_own_rows() -> None:
    task = Ask(llm=ShuffledLLM())
    together = threading.Barrier(16, timeout=PATIENCE)

    def work(thread: int) -> list[Row]:
        together.wait()
        return processed(task, [{"question": f"{thread}-{place}"} for place in range(20)])

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    assert results == [
        [answered(f"{thread}-{place}", f"{thread}-{place}", model="shuffled") for place in range(20)]
        for thread in range(16)
    ]


def test_threads_that_use_a_task_for_the_first_time_at_once_load_it_once_and_share_its_window() -> None:
    class Counting(ShuffledLLM):
        _loads: int = PrivateAttr(default=0)
        _most: int = PrivateAttr(default=0)

        def load(self) -> None:
            self._loads += 1

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            self._most = max(self._most, len(self.requests) - len(self.finished) + 1)
            return await super().agenerate(request)

    for _ in range(10):
        llm = Counting(max_concurrency=2)
        task = Ask(llm=llm)
        together = threading.Barrier(8, timeout=PATIENCE)

        def work(task: Ask = task, together: threading.Barrier = together) -> list[Row]:
            together.wait()
            return processed(task, questions(6))

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(work) for _ in range(8)]:
                assert len(future.result()) == 6
        assert (llm._loads, llm._most) == (1, 2)


def test_tasks_that_share_an_llm_share_its_window() -> None:
    llm = GatedLLM(max_concurrency=4, expect=4)

    def let_go() -> None:
        llm.wait_until_asked()
        llm.release()

    releasing = run_in_thread(let_go)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda name: processed(Ask(name=name, llm=llm), questions(10)), ["a", "b", "c"]))
    releasing.join(PATIENCE)
    assert [len(rows) for rows in results] == [10, 10, 10]
    assert llm.most == 4


def test_the_failure_of_one_run_leaves_the_others_of_the_same_llm_alone() -> None:
    def script(request: GenerationRequest) -> Any:
        return AuthenticationError("bad key") if prompt_of(request) == "stop" else prompt_of(request)

    task = Ask(llm=ScriptedLLM(script=script))
    together = threading.Barrier(2, timeout=PATIENCE)

    def good() -> list[Row]:
        together.wait()
        return processed(task, questions(200))

    def bad() -> None:
        together.wait()
        with pytest.raises(AuthenticationError):
            processed(task, [{"question": "stop"}] * 200)

    with ThreadPoolExecutor(2) as pool:
        rows, failure = pool.submit(good), pool.submit(bad)
        assert [row["answer"] for row in rows.result()] == [str(place) for place in range(200)]
        assert failure.result() is None


def test_aprocess_is_process_for_an_event_loop() -> None:
    async def app() -> list[Row]:
        return await Ask(llm=EchoLLM()).aprocess(questions(2))

    assert asyncio.run(app()) == [answered(q, q, model="echo") for q in "01"]


def test_the_callers_loop_goes_on_while_aprocess_waits() -> None:
    llm = GatedLLM()

    async def app() -> list[Row]:
        waiting = asyncio.create_task(Ask(llm=llm).aprocess([{"question": "q"}]))
        await asyncio.to_thread(llm.wait_until_asked)
        llm.release()  # only a loop that goes on gets here
        return await waiting

    assert asyncio.run(app()) == [answered("q", "q", model="gated")]


def test_many_aprocess_calls_run_side_by_side() -> None:
    llm = GatedLLM(expect=8)

    async def app() -> list[list[Row]]:
        task = Ask(llm=llm)
        waiting = asyncio.gather(*(task.aprocess([{"question": str(call)}]) for call in range(8)))
        await asyncio.to_thread(llm.wait_until_asked)
        llm.release()
        return await waiting

    assert asyncio.run(app()) == [[answered(str(call), str(call), model="gated")] for call in range(8)]


def test_aprocess_raises_what_process_raises() -> None:
    async def without_the_column() -> None:
        await Ask(llm=EchoLLM()).aprocess([{"other": 1}])

    async def with_a_bad_key() -> None:
        await Ask(llm=ScriptedLLM(script=lambda request: AuthenticationError("bad key"))).aprocess(questions(1))

    with pytest.raises(MissingColumnError):
        asyncio.run(without_the_column())
    with pytest.raises(AuthenticationError, match="bad key"):
        asyncio.run(with_a_bad_key())


def test_cancelling_aprocess_ends_its_requests() -> None:
    llm = GatedLLM(expect=3)

    async def app() -> None:
        waiting = asyncio.create_task(Ask(llm=llm).aprocess(questions(3)))
        await asyncio.to_thread(llm.wait_until_asked)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(llm.wait_until_ended)

    asyncio.run(app())
    assert sorted(llm.cancelled) == ["0", "1", "2"]


def test_a_time_out_around_aprocess_ends_its_requests_and_the_task_goes_on_working() -> None:
    llm = GatedLLM()
    task = Ask(llm=llm)

    async def app() -> list[Row]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await task.aprocess([{"question": "never"}])
        await asyncio.to_thread(llm.wait_until_ended)
        llm.release()
        return await task.aprocess([{"question": "now"}])

    assert asyncio.run(app()) == [answered("now", "now", model="gated")]
    assert llm.cancelled == ["never"]


def test_a_loop_after_another_finds_the_backend_on_the_one_loop_where_its_client_lives() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    class Recording:
        model_name = "recording"

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            loops.append(asyncio.get_running_loop())
            return response("x")

    task = Ask(llm=Recording())
    for _ in range(2):
        asyncio.run(task.aprocess(questions(1)))
    processed(task, questions(1))
    assert len(loops) == 3
    assert len(set(map(id, loops))) == 1


def test_a_blocking_call_inside_a_backends_coroutine_is_refused_instead_of_waiting_for_itself() -> None:
    inner = Ask(llm=EchoLLM())

    class Nested:
        model_name = "nested"

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            return response(processed(inner, [{"question": "inner"}])[0]["answer"])

    (row,) = processed(Ask(llm=Nested()), [{"question": "outer"}])
    error = row["distilabel_metadata"]["error_ask"]
    assert error["message"].startswith("ConfigurationError: A blocking call (`process`, `run`) was made inside")
    assert "aprocess" in error["message"]


def test_a_backend_may_use_another_task_through_aprocess() -> None:
    inner = Ask(llm=EchoLLM())

    class Nested:
        model_name = "nested"

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            (row,) = await inner.aprocess([{"question": f"inner {prompt_of(request)}"}])
            return response(row["answer"])

    assert processed(Ask(llm=Nested()), [{"question": "q"}]) == [answered("q", "inner q", model="nested")]


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )


PROGRAM = """
    import os
    from limbeck import task
    from limbeck.testing import EchoLLM

    @task(inputs=["question"], outputs=["answer"])
    def ask(row):
        return row["question"]

    def answers(asker, *questions):
        return [row["answer"] for row in next(asker.process([{"question": question} for question in questions]))]
"""


def test_a_forked_child_can_process_with_the_task_its_parent_used() -> None:
    finished = python(
        PROGRAM
        + """
    asker = ask(llm=EchoLLM())
    print("parent", answers(asker, "a"), flush=True)
    child = os.fork()
    if child == 0:
        print("child", answers(asker, "b", "c"), flush=True)
        os._exit(0)
    print("status", os.waitpid(child, 0)[1])
    print("parent again", answers(asker, "d"))
    """
    )
    assert finished.stdout.splitlines() == [
        "parent ['a']",
        "child ['b', 'c']",
        "status 0",
        "parent again ['d']",
    ], finished.stderr


def test_a_program_that_used_tasks_ends_by_itself_and_without_a_word() -> None:
    finished = python(
        PROGRAM
        + "\n    stream = ask(llm=EchoLLM()).run({'question': str(n)} for n in range(10**6))\n    next(stream)\n"
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
