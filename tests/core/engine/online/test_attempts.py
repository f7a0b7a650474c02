"""Backends that do not let go when they are cancelled: their attempt is over for the run, and nobody waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.children import interrupted, said_by

if TYPE_CHECKING:
    from pathlib import Path

# One row in ten goes wrong, as `wrong` says; the others are answered. What became of them is printed.
SCENE = """
import asyncio, threading, time
from limbeck.errors import GenerationError
from support.questions import METADATA, Ask, prompt_of, questions, response

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
    assert said_by(scene(wrong), tmp_path).split()[0] == "30"


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
