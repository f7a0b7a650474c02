"""Progress: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import threading
from asyncio import AbstractEventLoop, Event, get_running_loop
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from limbeck import Pipeline, Step
from limbeck._step import LoadDataFromDicts
from limbeck.tasks import TextGeneration
from limbeck.types import PipelineInfo, Row, RunInfo, RunStats
from limbeck_cli.progress import Progress, duration, shown, state_of
from support.command import start, write_rows
from support.openai_server import answer, openai_server
from support.provider_server import Asked, Reply


def progress_of(*stats: RunStats, total: int | None = None, clock: Callable[[], float] = lambda: 0.0) -> Progress:
    """The progress of a chain of tasks with these counters, behind a source of `total` rows."""
    rows: Any = [{}] * total if total is not None else iter(())
    steps = [TextGeneration(name=f"step-{number}", llm="offline") for number, _ in enumerate(stats, 1)]
    pipeline = Pipeline(rows, *steps, name="x")
    progress = Progress(pipeline, clock=clock)
    for thread in threading.enumerate():
        if thread.name == "limbeck-count":
            thread.join()
    info = PipelineInfo("1", "x", list(pipeline.steps), pipeline.edges)
    for step, counters in zip(steps, stats, strict=True):
        progress.limbeck_run_started(RunInfo("1", step.name, None, "step", counters, info))
    return progress


class Upper(Step):
    """Does nothing."""

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield inputs


def test_the_line_has_rows_failures_requests_and_tokens() -> None:
    stats = RunStats(rows_done=1234, rows_failed=3, in_flight=64, input_tokens=1000, output_tokens=500)
    line = progress_of(stats).line()
    assert line.startswith("x  1,234 rows  ")
    assert line.endswith("/s  3 failed  64 in flight  1,500 tokens")


def test_the_line_tells_apart_what_is_in_flight_waits_for_quota_and_is_retried() -> None:
    stats = [RunStats(in_flight=7, waiting=5, limited=3), RunStats(in_flight=1, waiting=2, limited=2)]
    assert "  8 in flight  5 waiting for quota  2 retrying  " in progress_of(*stats).line()


def test_a_step_s_rows_are_queued_in_flight_waiting_or_retried() -> None:
    stats = RunStats(rows_done=4, in_flight=7, waiting=5, limited=3, rate_limited=9)
    assert state_of(stats, 30) == [
        "14 queued",
        "7 in flight",
        "3 waiting for quota",
        "2 retrying",
        "9 refused for rate",
    ]
    assert state_of(RunStats(rows_done=3), 3) == []


def test_answers_that_were_there_are_told_as_from_the_ledger() -> None:
    line = progress_of(RunStats(rows_done=3, reused=2), RunStats(reused=1)).line()
    assert "  0 in flight  3 from the ledger  0 tokens" in line


def test_the_speed_is_that_of_the_last_half_minute() -> None:
    now = [0.0]
    stats = RunStats()
    progress = progress_of(stats, clock=lambda: now[0])
    speeds = []
    for now[0], stats.rows_done in ((10.0, 1000), (20.0, 1010), (45.0, 1035), (60.0, 1050)):
        speeds.append(progress.line().split()[3])
    assert speeds == ["100.0/s", "50.5/s", "1.0/s", "1.0/s"]


def test_requests_that_nobody_answers_for_a_minute_are_told() -> None:
    now = [0.0]
    stats = RunStats(in_flight=3)
    progress = progress_of(stats, clock=lambda: now[0])
    lines = []
    for now[0] in (0.0, 59.0, 75.0):
        lines.append(progress.line())
    stats.rows_done = 1
    lines.append(progress.line())
    assert ["no answer for" in line for line in lines] == [False, False, True, False]
    assert lines[2].endswith("  no answer for 1m15s")


def test_a_known_total_gives_the_time_left() -> None:
    assert "x  50/100 rows  " in progress_of(RunStats(rows_done=50), total=100).line()
    assert "  ETA " in progress_of(RunStats(rows_done=50), total=100).line()
    assert "ETA" not in progress_of(RunStats(), total=100).line()


def test_the_total_of_a_chain_is_what_its_last_step_will_see() -> None:
    first, second = RunStats(rows_done=10, rows_out=30), RunStats(rows_done=15)
    assert "x  15/300 rows  " in progress_of(first, second, total=100).line()


class Uncountable(LoadDataFromDicts):
    """Cannot be counted."""

    def count(self) -> int:
        raise OSError


def test_a_count_that_fails_leaves_the_total_unknown() -> None:
    progress = Progress(Pipeline(Uncountable(data=[{}]), Upper(name="last"), name="x"))
    for thread in threading.enumerate():
        if thread.name == "limbeck-count":
            thread.join()
    assert progress.line().startswith("x  0 rows  ")


def test_the_table_has_a_bar_for_each_step() -> None:
    console = Console(file=io.StringIO(), width=120)
    first = RunStats(rows_done=50, rows_out=50, in_flight=4)
    second = RunStats(rows_done=20, rows_failed=2, in_flight=24)
    console.print(progress_of(first, second, total=100).table())
    shown = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # it is the text stream above
    assert [line.split()[0] for line in shown] == ["rows", "step-1", "step-2", "x"]
    assert "50/100" in shown[1]
    assert "4 in flight" in shown[1]
    assert "20/100" in shown[2]
    assert "2 failed" in shown[2]
    assert "6 queued  24 in flight" in shown[2]


def test_durations_are_short() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.2, 185, 7800)] == ["0s", "59s", "3m05s", "2h10m"]


class Told:
    """Progress that knows when it was asked for its line."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def line(self) -> str:
        self.asked.set()
        return "so far so good"

    def table(self) -> str:
        return self.line()


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

    async def held_back(asked: Asked) -> Reply:
        seen = Event()
        release.append((seen, get_running_loop()))
        held.set()
        await seen.wait()
        return answer()(asked)

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
