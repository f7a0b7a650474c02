"""The command against a server that goes away in the middle of a run: no row is lost, and none is bought twice."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

import pytest
from aiohttp import web

from support.command import read_rows, start, write_rows
from support.provider_server import Asked, Reply

from .counting_server import PATIENCE, CountingServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Kind: TypeAlias = Literal["503", "529", "drop", "refuse", "mixed"]

# `LIMBECK_OUTAGES=5,30,120` for a run that takes three minutes.
SECONDS = [float(seconds) for seconds in os.environ.get("LIMBECK_OUTAGES", "1,3,6").split(",")]
ROWS = 2_000


class AwayServer(CountingServer):
    """Answers, and is away for some seconds after as many answers, once each.

    Args:
        spells: after how many answers, and for how many seconds. kind: what a request meets then.

    Attributes:
        bought: the answers that were given, by prompt, for good.
    """

    def __init__(self, spells: list[tuple[int, float]], kind: Kind) -> None:
        super().__init__()
        self._spells = list(spells)
        self._kind = kind
        self._met = 0
        self.bought: Counter[str] = Counter()
        self.gone = threading.Event()
        self.away, self.back = asyncio.Event(), asyncio.Event()  # the one or the other is set, once it was away

    async def counted(self, asked: Asked) -> Reply:
        if not self.away.is_set() and self._spells and self.bought.total() >= self._spells[0][0]:
            _, seconds = self._spells.pop(0)
            self.back.clear()
            self.away.set()
            self.gone.set()
            asyncio.get_running_loop().call_later(seconds, self._come_back)
        if self.away.is_set():
            return self._refusal()
        reply = await super().counted(asked)
        self.bought[asked.body["messages"][-1]["content"]] += 1
        return reply

    def _come_back(self) -> None:
        self.away.clear()
        self.back.set()

    def _refusal(self) -> Reply:
        self._met += 1
        if self._kind in ("drop", "refuse") or (self._kind == "mixed" and self._met % 2):
            return Reply(drop="before")
        return Reply(status=529 if self._kind == "529" else 503, body="restarting", content_type="text/plain")


@contextmanager
def standing(server: AwayServer, *, refuses: bool) -> Iterator[str]:
    """The server on a loop of its own; with `refuses`, nobody listens at its port while it is away."""
    ready = threading.Event()
    address: list[str] = []
    loop = asyncio.new_event_loop()

    async def stand() -> None:
        runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            address.append(f"http://127.0.0.1:{port}")
            ready.set()
            while True:
                await server.away.wait()
                if refuses:
                    await site.stop()
                await server.back.wait()
                if refuses:
                    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
                    await site.start()
        finally:
            await runner.cleanup()

    standing = loop.create_task(stand())

    def serve() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(standing)

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(standing.cancel)
        thread.join()
        loop.close()


def command(folder: Path, rows: str, output: Path) -> list[str]:
    return [
        *("generate", "-t", "text-generation", "-m", "openai/any", "-i", rows, "-o", str(output), "--quiet"),
        *("--run-dir", str(folder)),
    ]


@pytest.mark.parametrize("kind", ["503", "529", "drop", "refuse", "mixed"])
@pytest.mark.timeout(600)
def test_three_absences_in_a_run_cost_no_row_and_buy_nothing_twice(kind: Kind, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ({"instruction": f"Row {place}"} for place in range(ROWS)))
    output = tmp_path / "out.jsonl"
    server = AwayServer([(400 * (place + 1), seconds) for place, seconds in enumerate(SECONDS)], kind)
    with standing(server, refuses=kind == "refuse") as url, (tmp_path / "log.txt").open("wb") as log:
        variables = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
        process = start(*command(tmp_path / "run", rows, output), env=variables, stdout=log, stderr=log)
        assert process.wait(PATIENCE + 2 * sum(SECONDS)) == 0, (tmp_path / "log.txt").read_text()
    assert [row["generation"] for row in read_rows(output)] == [f"to Row {place}" for place in range(ROWS)]
    assert server.bought == dict.fromkeys((f"Row {place}" for place in range(ROWS)), 1)


@pytest.mark.timeout(600)
def test_a_run_that_is_killed_while_it_is_away_and_resumed_buys_only_the_rest(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ({"instruction": f"Row {place}"} for place in range(ROWS)))
    output, window = tmp_path / "out.jsonl", 64
    server = AwayServer([(800, SECONDS[-1])], "503")
    with standing(server, refuses=False) as url, (tmp_path / "log.txt").open("wb") as log:
        variables = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
        process = start(*command(tmp_path / "run", rows, output), env=variables, stdout=log, stderr=log)
        assert server.gone.wait(PATIENCE)
        process.kill()
        process.wait()
        again = start(*command(tmp_path / "run", rows, output), env=variables, stdout=log, stderr=log)
        assert again.wait(PATIENCE + 2 * SECONDS[-1]) == 0, (tmp_path / "log.txt").read_text()
    assert [row["generation"] for row in read_rows(output)] == [f"to Row {place}" for place in range(ROWS)]
    assert server.bought.total() <= ROWS + window
