"""Conversations, killed at any moment and started again: no turn is bought twice, no effect done twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from support.anthropic_batches import anthropic_batch_server
from support.loopback import serving
from support.openai_batches import openai_batch_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.workspace

ROWS = 1_000
EVENTS = 4 * ROWS  # three calls and an effect for each
WINDOW = 32
EFFECTS = 8
KILLS = 10
PATIENCE = 120.0  # seconds until what would hang fails instead

PROGRAM = """
import json, sys, urllib.request
from limbeck import ask, do, get_llm
from support.questions import questions
from support.talking import Talk

effects, folder, rows, provider, fields = sys.argv[1:]


def note(question):
    with urllib.request.urlopen(f"{effects}/effects/{question}") as answer:
        return answer.read().decode()


class Four(Talk):
    def converse(self, input):
        question = input["question"]
        first = yield ask(f"1 of {question}")
        noted = yield do(note, question)
        third = yield ask(f"3 of {question}: {first.text}, {noted}")
        last = yield ask(f"4 of {question}: {third.text}")
        return {"out": last.text}


llm = get_llm(provider)(api_key="none", **json.loads(fields))
for row in Four(name="talk", llm=llm).run(questions(int(rows)), run_dir=folder):
    print(json.dumps(row["out"]))
"""


class TurnServer:
    """Answers chats and does effects, counts both, and says when there were as many as were waited for.

    Attributes:
        asked: the prompts, and each effect as `effect N`, since the last `begin`.
        holds_effects: they are begun, and not answered before `release`.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.holds_effects = False
        self._awaited = 0
        self._reached = threading.Event()
        self._gate = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def app(self) -> web.Application:
        """What `serving` serves."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_get("/effects/{number}", self._effect)
        return app

    def begin(self, awaited: int) -> None:
        """Count anew, up to a number."""
        self.asked, self._awaited = Counter(), awaited
        self._reached.clear()

    def wait(self) -> None:
        """Wait until there were as many."""
        assert self._reached.wait(PATIENCE), f"only {self.asked.total()} of {self._awaited} came"

    def release(self) -> None:
        """Hold no effect any more."""
        self.holds_effects = False
        assert self._loop is not None, "nobody has asked yet"
        self._loop.call_soon_threadsafe(self._gate.set)

    def _count(self, what: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked[what] += 1
        if self.asked.total() == self._awaited:
            self._reached.set()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        prompt = body["messages"][-1]["content"]
        self._count(prompt)
        choice = {"index": 0, "message": {"role": "assistant", "content": f"to {prompt}"}, "finish_reason": "stop"}
        whole = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
        return web.json_response(whole)

    async def _effect(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        self._count(f"effect {number}")
        if self.holds_effects:
            await self._gate.wait()
        return web.Response(text=f"noted {number}")


def start(effects: str, folder: Path, rows: int, provider: str, **fields: Any) -> subprocess.Popen[str]:
    """Start the program, in a process of its own; `fields` are the LLM's."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, effects, str(folder), str(rows), provider, json.dumps(fields)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def outs(process: subprocess.Popen[str]) -> list[str]:
    """What a run gives that comes to its end."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a run that goes on."""
    process.kill()
    process.communicate(timeout=PATIENCE)


def committed(folder: Path, scratch: Path) -> set[str]:
    """All that is on disk, as the server counts it; what a killed process left is not touched."""
    if not (folder / "ledger.sqlite").exists():
        return set()
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder, scratch)
    with closing(sqlite3.connect(scratch / "ledger.sqlite")) as ledger:
        prompts = ledger.execute("SELECT json_extract(request, '$.messages[0].content') FROM answers").fetchall()
        effects = ledger.execute("SELECT 'effect ' || json_extract(arguments, '$[0][0]') FROM effects").fetchall()
    return {what for (what,) in [*prompts, *effects]}


def expected(answered: str) -> list[str]:
    """What an undisturbed run gives, of a model that says its prompt again behind a word."""
    return [
        f"{answered}4 of {number}: {answered}3 of {number}: {answered}1 of {number}, noted {number}"
        for number in range(ROWS)
    ]


def test_conversations_killed_at_ten_moments_end_as_if_undisturbed_and_repeat_nothing_that_was_on_disk(
    tmp_path: Path,
) -> None:
    rng = random.Random(8)
    folder, server = tmp_path / "run", TurnServer()
    events: Counter[str] = Counter()
    on_disk: set[str] = set()
    with serving(server.app()) as url:
        llm: Any = {"model": "any", "base_url": f"{url}/v1", "max_concurrency": WINDOW}
        for kills in range(1, KILLS + 1):
            server.begin(rng.randrange(1, EVENTS // KILLS))
            process = start(url, folder, ROWS, "openai", **llm)
            server.wait()
            kill(process)
            assert on_disk.isdisjoint(server.asked)
            events += server.asked
            on_disk = committed(folder, tmp_path / "copy")
            assert events.total() - len(on_disk) <= kills * (WINDOW + EFFECTS)
        server.begin(0)
        assert outs(start(url, folder, ROWS, "openai", **llm)) == expected("to ")
    assert on_disk.isdisjoint(server.asked)
    events += server.asked
    assert len(events) == EVENTS
    assert events.total() <= EVENTS + KILLS * (WINDOW + EFFECTS)
    assert sum(event.startswith("effect") for event in events) == ROWS


def test_a_run_killed_inside_its_effects_does_only_those_again(tmp_path: Path) -> None:
    folder, server = tmp_path / "run", TurnServer()
    server.holds_effects = True
    with serving(server.app()) as url:
        llm: Any = {"model": "any", "base_url": f"{url}/v1", "max_concurrency": WINDOW}
        server.begin(100 + EFFECTS)
        process = start(url, folder, 100, "openai", **llm)
        server.wait()
        kill(process)
        begun = {event for event in server.asked if event.startswith("effect")}
        on_disk = committed(folder, tmp_path / "copy")
        server.release()
        server.begin(0)
        assert outs(start(url, folder, 100, "openai", **llm)) == expected("to ")[:100]
    assert len(begun) == EFFECTS
    assert (begun.isdisjoint(on_disk), on_disk.isdisjoint(server.asked)) == (True, True)
    assert begun <= set(server.asked)
    assert max(server.asked.values()) == 1


@contextmanager
def batches_of(provider: str) -> Iterator[tuple[str, Any]]:
    """A stand-in for the batch API of a provider: its address and its desk."""
    serve: Any = openai_batch_server if provider == "openai" else anthropic_batch_server
    with serve() as (server, desk):
        yield server.url, desk


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_conversations_in_provider_batches_killed_in_and_between_turns_submit_no_batch_twice(
    provider: str, tmp_path: Path
) -> None:
    folder, effects, rows = tmp_path / "run", TurnServer(), 200
    with serving(effects.app()) as url, batches_of(provider) as (address, desk):
        llm: Any = {"model": "m", "base_url": address, "mode": "batch", "batch_poll_seconds": 0.02}
        done: Counter[str] = Counter()
        for turn in range(1, 4):
            desk.holds_reply = True
            effects.begin(0)
            process = start(url, folder, rows, provider, **llm)  # killed before it hears of its batch
            desk.wait_until(lambda turn=turn: len(desk.filed) == turn)
            kill(process)
            done += effects.asked
            desk.holds_reply, desk.polls_needed, seen = False, 1_000_000, desk.polls
            process = start(url, folder, rows, provider, **llm)  # and while it waits for it
            desk.wait_until(lambda seen=seen: desk.polls >= seen + 2)
            kill(process)
            desk.polls_needed = 0
            if turn == 1:  # and between the turns, in an effect
                effects.holds_effects = True
                effects.begin(EFFECTS)
                process = start(url, folder, rows, provider, **llm)
                effects.wait()
                kill(process)
                effects.release()
        effects.begin(0)
        assert outs(start(url, folder, rows, provider, **llm)) == expected("echo: ")[:rows]
        done += effects.asked
    assert len(desk.filed) == 3
    assert set(desk.submitted.values()) == {1}
    assert done == {f"effect {number}": 1 for number in range(rows)}
