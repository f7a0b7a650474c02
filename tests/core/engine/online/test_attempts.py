"""Backends that do not let go when they are cancelled: their attempt is over for the run, and nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from limbeck._engine.online import backend
from limbeck._engine.threads import blocking
from support.children import interrupted, said_by
from support.questions import METADATA, PATIENCE, Ask, prompt_of, questions, response

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from limbeck.types import GenerationRequest, GenerationResponse

# One row in ten goes wrong, as `wrong` says; the others are answered. What became of them is printed.
SCENE = """
import asyncio, threading, time
from limbeck.errors import GenerationError
from support.questions import METADATA, PATIENCE, Ask, prompt_of, questions, response

class Odd:
    model_name, timeout, deadline, max_attempts, max_concurrency = "odd", 0.1, 3, 1, 4

    async def agenerate(self, request):
        if prompt_of(request).endswith("3"):
            return await self.wrong(request)
        return response("ok")

{definition}

llm = Odd()
{act}
rows = list(Ask(llm=llm).run(questions(30), run_dir="run"))
errors = sorted(row[METADATA]["error_ask"]["type"] for row in rows if row["answer"] is None)
print(len(rows), *errors)
"""
WRONG = {
    "swallows": """
        while True:
            try:
                await asyncio.shield(asyncio.sleep(1000))
            except asyncio.CancelledError:
                pass
    """,
    "shields": """
        await asyncio.shield(asyncio.sleep(1000))
    """,
    "waits in its cleanup": """
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1000)
    """,
    "has a longer time-out of its own": """
        while True:
            try:
                async with asyncio.timeout(1000):
                    await asyncio.sleep(1000)
            except (asyncio.CancelledError, TimeoutError):
                pass
    """,
    "shields a scope of anyio": """
        import anyio
        with anyio.CancelScope(shield=True):
            while True:
                try:
                    await anyio.sleep(1000)
                except asyncio.CancelledError:
                    pass
    """,
}


def scene(wrong: str, act: str = "") -> str:
    lines = [f"    {line}" for line in wrong.strip("\n").splitlines()]
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip()) - 8
    body = "\n".join(line[indent:] for line in lines)
    definition = (
        f"    async def wrong(self, request):\n{body}\n    async def forever(self):\n        await asyncio.sleep(1000)"
    )
    return SCENE.format(definition=definition, act=act)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_attempt_that_does_not_heed_that_it_is_cancelled_fails_its_row_alone(wrong: str, tmp_path: Path) -> None:
    if "anyio" in wrong:
        pytest.importorskip("anyio")
    assert said_by(scene(wrong), tmp_path).split() == ["30", *["TransientError"] * 3]


def test_a_backend_that_cancels_its_own_task_later_spoils_no_other_request(tmp_path: Path) -> None:
    wrong = """
        asyncio.get_running_loop().call_later(0.02, asyncio.current_task().cancel)
        return response("before its timer")
    """
    assert said_by(scene(wrong), tmp_path).split() == ["30"]


def test_a_time_out_after_a_backend_cancelled_itself_is_data(tmp_path: Path) -> None:
    wrong = """
        if prompt_of(request) != "3":
            await asyncio.sleep(1000)
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
    """
    assert said_by(scene(wrong, "Odd.max_concurrency = 1"), tmp_path).split() == [
        "30",
        "BackendError",
        *["TransientError"] * 2,
    ]


def test_what_a_cancelled_attempt_still_brings_is_its_answer(tmp_path: Path) -> None:
    wrong = """
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return response("so far")
    """
    assert said_by(scene(wrong), tmp_path).split() == ["30"]


@pytest.mark.parametrize("method", ["generate", "generate_batch"])
def test_a_blocking_call_that_never_returns_fails_its_rows(method: str, tmp_path: Path) -> None:
    act = f"""
class Blocking:
    model_name, timeout, max_attempts, max_concurrency, batch_size = "blocking", 0.1, 1, 2, 2
    def {method}(self, request):
        threading.Event().wait()
llm = Blocking()
"""
    said = said_by(scene("        pass", act).replace("questions(30)", "questions(4)"), tmp_path)
    assert said.split() == ["4", *["TransientError"] * 4]


def test_a_task_of_a_backends_own_that_exits_ends_no_run(tmp_path: Path) -> None:
    wrong = """
        async def leave():
            raise SystemExit(3)
        task = asyncio.ensure_future(leave())
        await asyncio.wait([task])
        return response("left")
    """
    assert "30" in said_by(scene(wrong), tmp_path).splitlines()


def test_an_interrupt_ends_a_program_whose_backend_swallows_its_cancellation(tmp_path: Path) -> None:
    wrong = """
        print("asked", flush=True)
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass
    """
    said = interrupted(scene(wrong, "Odd.timeout = 1000"), tmp_path)
    assert said.startswith("asked")
    assert "KeyboardInterrupt" in said


def test_an_interrupt_ends_a_program_whose_backend_blocks_the_loop(tmp_path: Path) -> None:
    wrong = """
        print("asked", flush=True)
        time.sleep(1000)
    """
    said = interrupted(scene(wrong), tmp_path)
    assert "KeyboardInterrupt" in said
    assert "Cannot close a running event loop" not in said


class Odd:
    """Answers each prompt with itself, and does something odd before it answers "3".

    Attributes:
        asked: how often each prompt was.
    """

    model_name, timeout, deadline, max_attempts, max_concurrency = "odd", 0.1, 3.0, 1, 1

    def __init__(self, odd: Callable[[], None]) -> None:
        self.asked: Counter[str] = Counter()
        self._odd = odd

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = prompt_of(request)
        self.asked[prompt] += 1
        if prompt == "3":
            self._odd()
        return response(prompt)


def cancel_at_once() -> None:
    task = asyncio.current_task()
    assert task is not None  # it is called by a coroutine
    task.cancel()


def cancel_soon() -> None:
    task = asyncio.current_task()
    assert task is not None  # as above
    asyncio.get_running_loop().call_soon(task.cancel)


def stored(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        return sorted(text for (text,) in ledger.execute("SELECT text FROM answers"))


@pytest.mark.parametrize("odd", [cancel_at_once, cancel_soon])
def test_an_answer_behind_which_the_backend_cancels_its_task_is_stored_once(
    odd: Callable[[], None], tmp_path: Path
) -> None:
    llm = Odd(odd)
    run = Ask(llm=llm).run(questions(6), run_dir=tmp_path)
    assert [row["answer"] for row in run] == list("012345")
    assert stored(tmp_path) == list("012345")
    assert set(llm.asked.values()) == {1}
    assert run.stats.in_flight == 0


@pytest.mark.parametrize("odd", [cancel_at_once, cancel_soon])
def test_without_a_ledger_a_cancellation_costs_no_row_either(odd: Callable[[], None]) -> None:
    run = Ask(llm=Odd(odd)).run(questions(6))
    assert [row["answer"] for row in run] == list("012345")
    assert (run.stats.in_flight, run.stats.rows_failed) == (0, 0)


class Late(Odd):
    """Answers "3" only when another request has come, whatever cancels it meanwhile.

    Args:
        other: the prompt of that request, which is answered after it.
    """

    def __init__(self, other: str) -> None:
        super().__init__(lambda: None)
        self._other = other
        self._other_came = asyncio.Event()
        self._answers = asyncio.Event()

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        prompt = prompt_of(request)
        self.asked[prompt] += 1
        if prompt == "3" and self.asked["3"] == 1:
            while not self._other_came.is_set():
                with suppress(asyncio.CancelledError):
                    await self._other_came.wait()
            self._answers.set()
            return response("late")
        if prompt == self._other:
            self._other_came.set()
            await self._answers.wait()
        return response(prompt)


def test_what_an_abandoned_attempt_brings_is_dropped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backend, "_GRACE", 0.0)
    llm = Late("5")
    run = Ask(llm=llm).run(questions(6), run_dir=tmp_path)
    rows = list(run)
    assert [row["answer"] for row in rows] == ["0", "1", "2", None, "4", "5"]
    assert rows[3][METADATA]["error_ask"]["type"] == "TransientError"
    assert stored(tmp_path) == list("01245")
    assert (run.stats.in_flight, run.stats.requests, run.stats.rows_failed) == (0, 6, 1)


def test_an_abandoned_attempt_is_made_again_as_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backend, "_GRACE", 0.0)
    llm = Late("3")
    llm.max_attempts = 2
    run = Ask(llm=llm).run(questions(6), run_dir=tmp_path)
    assert [row["answer"] for row in run] == list("012345")
    assert (run.stats.in_flight, run.stats.retries) == (0, 1)


def test_calls_that_never_return_take_no_place_from_later_ones_and_are_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on = threading.Event()

    class Blocking:
        model_name, timeout, max_attempts, max_concurrency = "blocking", 0.2, 1, 2

        def generate(self, request: GenerationRequest) -> GenerationResponse:
            if prompt_of(request) in ("0", "1", "2"):
                go_on.wait(PATIENCE)
            return response("ok")

    with caplog.at_level(logging.WARNING, logger="limbeck"):
        rows = list(Ask(llm=Blocking()).run(questions(12)))
    go_on.set()
    assert [row["answer"] for row in rows] == [None] * 3 + ["ok"] * 9
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("A call of `generate` of Blocking has not returned within its `timeout`, 0.2 s.")
    assert "its thread is left behind" in told


def test_a_backend_that_blocks_the_loop_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "LONG_SECONDS", 0.0)

    class Blocks:
        model_name, max_concurrency = "blocks", 2

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            return response("ok")

    with caplog.at_level(logging.WARNING, logger="limbeck"):
        rows = list(Ask(llm=Blocks()).run(questions(5)))
    assert [row["answer"] for row in rows] == ["ok"] * 5
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("`agenerate` of Blocks kept the event loop to itself")
    assert "name the method `generate`" in told
