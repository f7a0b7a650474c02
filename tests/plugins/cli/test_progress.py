"""Progress: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import threading
from asyncio import AbstractEventLoop, Event, get_running_loop
from collections import deque
from pathlib import Path

import pytest
from aiohttp import web

from limbeck._engine.stats import RunStats
from limbeck_cli.progress import Progress, duration, shown
from support.command import start, write_rows
from support.openai_server import Exchange, answer, openai_server


class Watched:
    """A chain with these counters."""

    def __init__(self, *stats: RunStats) -> None:
        self.stats = stats


def test_the_line_has_rows_failures_requests_and_tokens() -> None:
    stats = RunStats(rows_done=1234, rows_failed=3, in_flight=64, input_tokens=1000, output_tokens=500)
    line = Progress("judge", Watched(stats), None, limit=None).line()
    assert line.startswith("judge  1,234 rows  ")
    assert line.endswith("/s  3 failed  64 in flight  1,500 tokens")


def test_the_line_tells_apart_what_is_in_flight_waits_for_quota_and_is_retried() -> None:
    stats = [RunStats(in_flight=7, waiting=5, limited=3), RunStats(in_flight=1, waiting=2, limited=2)]
    assert "  8 in flight  5 waiting for quota  2 retrying  " in Progress("x", Watched(*stats), None, limit=None).line()


def test_answers_that_were_there_are_told_as_from_the_ledger() -> None:
    line = Progress("x", Watched(RunStats(rows_done=3, reused=2), RunStats(reused=1)), None, limit=None).line()
    assert "  0 in flight  3 from the ledger  0 tokens" in line


def test_the_speed_is_that_of_the_last_half_minute() -> None:
    now = [0.0]
    stats = RunStats()
    progress = Progress("x", Watched(stats), None, limit=None, clock=lambda: now[0])
    speeds = []
    for now[0], stats.rows_done in ((10.0, 1000), (20.0, 1010), (45.0, 1035), (60.0, 1050)):
        speeds.append(progress.line().split()[3])
    assert speeds == ["100.0/s", "50.5/s", "1.0/s", "1.0/s"]


def counted(total: int, *stats: RunStats, limit: int | None = None) -> Progress:
    """Progress whose total is known."""
    known = threading.Event()

    def count() -> int:
        known.set()
        return total

    progress = Progress("x", Watched(*stats), count, limit=limit)
    assert known.wait(10)
    for thread in threading.enumerate():
        if thread.name == "limbeck-count":
            thread.join()
    return progress


def test_a_known_total_gives_the_time_left() -> None:
    assert "x  50/100 rows  " in counted(100, RunStats(rows_done=50)).line()
    assert "  ETA " in counted(100, RunStats(rows_done=50)).line()
    assert "ETA" not in counted(100, RunStats()).line()


def test_a_limit_bounds_the_total() -> None:
    assert "x  5/10 rows  " in counted(100, RunStats(rows_done=5), limit=10).line()


def test_the_total_of_a_chain_is_what_its_last_task_will_see() -> None:
    first, second = RunStats(rows_done=10, rows_out=30), RunStats(rows_done=15)
    assert "x  15/300 rows  " in counted(100, first, second).line()


def test_a_count_that_fails_leaves_the_total_unknown() -> None:
    def count() -> int:
        raise OSError

    progress = Progress("x", Watched(RunStats(rows_done=2)), count, limit=None)
    for thread in threading.enumerate():
        if thread.name == "limbeck-count":
            thread.join()
    assert "x  2 rows  " in progress.line()


def test_durations_are_short() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.2, 185, 7800)] == ["0s", "59s", "3m05s", "2h10m"]


class Told:
    """Progress that knows when it was asked for its line."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def line(self) -> str:
        self.asked.set()
        return "so far so good"


def test_plain_lines_are_told_now_and_then_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Told()
    with shown(progress, quiet=False, rows_on_screen=False, every=0.001):
        assert progress.asked.wait(10)
    assert "so far so good\n" in capsys.readouterr().err


def test_nothing_is_told_quietly_or_where_the_rows_are_on_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet, on_screen in ((True, False), (False, True)):
        with shown(Told(), every=0.001, quiet=quiet, rows_on_screen=on_screen):
            pass
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_live_line_and_then_the_summary(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.jsonl", [{"instruction": str(number)} for number in range(3)])
    held = threading.Event()
    release: deque[tuple[Event, AbstractEventLoop]] = deque()

    async def held_back(exchange: Exchange) -> web.StreamResponse:
        seen = Event()
        release.append((seen, get_running_loop()))
        held.set()
        await seen.wait()
        return await answer()(exchange)

    ours, terminal = pty.openpty()
    with openai_server(answer(), answer(), held_back) as server:
        arguments = ["-m", "openai/m", "-i", source, "-o", str(tmp_path / "out.jsonl"), "--max-concurrency", "1"]
        process = start(
            "generate", *arguments, "--set", f"llm.base_url={server.url}",
            env={"OPENAI_API_KEY": "sk-x", "TERM": "xterm"}, stderr=terminal, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(terminal)
        shown = read_until(ours, "2/3 rows")
        assert held.wait(60)
        seen, loop = release.pop()
        loop.call_soon_threadsafe(seen.set)
        shown += read_until(ours, "3 rows in, 3 written to")
        assert process.wait(60) == 0
    os.close(ours)
    assert "1 in flight" in shown
    assert "ETA" in shown


def read_until(descriptor: int, text: str) -> str:
    """What a terminal shows up to `text`."""
    shown = b""
    while text.encode() not in shown:
        ready, _, _ = select.select([descriptor], [], [], 60)
        assert ready, f"{text!r} did not come; so far: {shown!r}"
        shown += os.read(descriptor, 65536)
    return shown.decode()
