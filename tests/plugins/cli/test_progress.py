"""Progress: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import threading
import time
from asyncio import AbstractEventLoop, Event, get_running_loop
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from limbeck import Pipeline, Step
from limbeck._engine.money.budget import Amount, Budget
from limbeck._step import LoadDataFromDicts
from limbeck.errors import printable
from limbeck.tasks import TextGeneration
from limbeck.types import PipelineInfo, Row, RunInfo, RunStats
from limbeck_cli.progress import Progress, duration, shown, state_of
from support.command import start, write_rows
from support.openai_server import answer, openai_server
from support.provider_server import Asked, Reply


def progress_of(
    *stats: RunStats, total: int | None = None, clock: Callable[[], float] = lambda: 0.0, **more: Any
) -> Progress:
    """The progress of a chain of tasks with these counters, behind a source of `total` rows."""
    rows: Any = [{}] * total if total is not None else iter(())
    steps = [TextGeneration(name=f"step-{number}", llm="offline") for number, _ in enumerate(stats, 1)]
    pipeline = Pipeline(rows, *steps, name="x")
    progress = Progress(pipeline, clock=clock, **more)
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


MODELS = Counter({"gpt-5-mini": 4, "claude-sonnet-4-5-20250929": 3, "done": 0})
CONVERSING = RunStats(rows_done=50, rows_out=50, in_flight=7, effects=2, in_flight_of=MODELS)


def test_the_line_has_the_requests_in_flight_by_model_and_the_effects() -> None:
    line = progress_of(CONVERSING, RunStats(in_flight=1, effects=1)).line()
    assert "  8 in flight (3 effects, 3 claude-sonnet-4-5-20250929, 4 gpt-5-mini)  " in line


def test_one_effect_is_not_several() -> None:
    assert "  0 in flight (1 effect)  " in progress_of(RunStats(effects=1)).line()


def test_the_columns_stay_whole_on_a_narrow_terminal_beside_the_requests_by_model() -> None:
    console = Console(file=io.StringIO(), width=72)
    many = RunStats(rows_done=20, in_flight=30, in_flight_of=Counter({f"provider/a-model-{n}": 10 for n in range(3)}))
    console.print(progress_of(CONVERSING, many, total=100).table())
    shown = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]  # as below
    assert "50/100" in shown[1] and shown[1].endswith("7 in flight")
    assert shown[3] == "step-1: 2 effects, 3 claude-sonnet-4-5-20250929, 4 gpt-5-mini"
    told = " ".join(shown[4:-1])
    assert all(f"10 provider/a-model-{number}" in told for number in range(3))
    assert shown[-1].startswith("x  20/100 rows")
    assert max(map(len, shown)) <= 72


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


def test_a_known_total_gives_the_time_left_but_not_in_the_first_seconds() -> None:
    now = [0.0]
    stats = RunStats()
    progress = progress_of(stats, total=100, clock=lambda: now[0])
    for now[0], stats.rows_done, told in ((5.0, 25, "100 rows  5.0/s  0 f"), (10.0, 50, "100 rows  5.0/s  ETA 10s")):
        assert told in progress.line()
    assert "ETA" not in progress_of(RunStats(), total=100, clock=lambda: now[0]).line()


@pytest.mark.parametrize(
    ("reused", "speed"), [([100, 100], "0.0/s"), ([100, 60], "4.0/s"), ([100, 0], "10.0/s"), ([0, 0], "10.0/s")]
)
def test_rows_from_the_ledger_are_not_in_the_speed(reused: list[int], speed: str) -> None:
    now = [0.0]
    stats = [RunStats(rows_done=100, rows_out=100, reused=each) for each in reused]
    progress = progress_of(*stats, clock=lambda: now[0])
    now[0] = 10.0
    assert f"  {speed}" in progress.line()


def test_a_resumed_run_s_time_left_is_that_of_the_rows_asked_for() -> None:
    now = [0.0]
    stats = RunStats()
    progress = progress_of(stats, total=1_000, clock=lambda: now[0])
    for now[0], stats.rows_done, stats.reused in ((2.0, 900, 900), (10.0, 910, 900), (20.0, 920, 900)):
        line = progress.line()
    assert "920/1,000 rows  1.0/s  ETA 1m20s" in line


# Money


@pytest.mark.parametrize(
    ("caps", "told"),
    [
        ({"max_cost": 0.05}, "1,500 tokens  $0.049 of $0.05"),
        ({"max_tokens": 2_000}, "1,600 of 2,000 tokens"),
        ({"max_requests": 10}, "9 of 10 requests  1,500 tokens"),
    ],
)
def test_what_was_spent_stands_beside_the_cap(caps: dict[str, Any], told: str) -> None:
    budget = Budget(**caps)
    budget._spent["x"] = Amount(0.049, 1_600, 9)
    stats = RunStats(input_tokens=1000, output_tokens=500)
    assert progress_of(stats, budget=budget).line().endswith(told)


def test_requests_that_wait_for_the_budget_are_held_by_it() -> None:
    budget = Budget(max_cost=0.05)
    budget.wait(lambda: None)
    assert progress_of(RunStats(), budget=budget).line().endswith("$0 of $0.05  held by the budget")


# A server that is away


def test_a_server_that_is_away_is_told_with_its_next_try() -> None:
    since = time.mktime((2026, 11, 29, 12, 4, 33, 0, 0, -1))
    stats = [RunStats(away_since=since, next_try=since + 20), RunStats(away_since=since, next_try=since + 20)]
    line = progress_of(*stats, wall=lambda: since + 12).line()
    assert line.endswith("  offline/stand-in does not answer since 12:04:33, next try in 8 s")
    assert line.count("does not answer") == 1


def test_a_server_whose_next_try_is_due_is_tried_in_no_time() -> None:
    line = progress_of(RunStats(away_since=0.0, next_try=5.0), wall=lambda: 60.0).line()
    assert line.endswith("next try in 0 s")


def test_a_server_that_is_back_is_not_told() -> None:
    assert "does not answer" not in progress_of(RunStats(away_since=None)).line()


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


@pytest.mark.parametrize("name", ["a\x1b]0;title\x07b", "a\x9b31mb", "a\u202eb"])
def test_names_are_shown_without_their_control_characters(name: str) -> None:
    pipeline = Pipeline([{}], Upper(name=name), name=name)
    console = Console(file=io.StringIO(), width=120)
    console.print(Progress(pipeline).table())
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # it is the text stream above
    assert name not in shown
    assert printable(name) in shown


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


def test_a_terminal_shows_the_first_frame_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck_cli.progress._LIVE_PER_SECOND", 0.001)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress = Told()
    with shown(progress, quiet=False, rows_on_screen=False):
        assert progress.asked.is_set()


@pytest.mark.parametrize("done", [30, 100])
def test_a_bar_is_not_red(done: int) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system="truecolor")
    console.print(progress_of(RunStats(rows_done=done), total=100).table())
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # it is the text stream above
    assert ("\x1b[36m" if done < 100 else "\x1b[32m") in shown
    assert "249;38;114" not in shown


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
    assert "ETA" not in shown  # in a run's first seconds


def read_until(descriptor: int, text: str) -> str:
    """What a terminal shows up to `text`."""
    shown = b""
    while text.encode() not in shown:
        ready, _, _ = select.select([descriptor], [], [], 60)
        assert ready, f"{text!r} did not come; so far: {shown!r}"
        shown += os.read(descriptor, 65536)
    return shown.decode()
