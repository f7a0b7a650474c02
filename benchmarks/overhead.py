"""What Limbeck costs a row, and in memory, beside a hand-written window, with a model that answers at once."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from .loopback import ROOT
from .race import rounds_in_words, say, spread
from .report import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    Figures = dict[str, Any]

# Limbeck's way, and the hand-written one that does the same.
_PAIRS = {"process": "list", "run": "stream"}
NAMES = {
    "list": "a window by hand, to a list",
    "process": "Limbeck's `task.process`",
    "stream": "a window by hand, streaming",
    "run": "Limbeck's `task.run`",
    "ledger": "Limbeck's `task.run`, with a ledger",
    "one-call": "one call a row (`format_input`)",
    "one-turn": "a conversation of one turn (`converse`)",
    "four-turns": "a conversation of four turns",
}
# Each beside the one that it is a multiple of.
_TURNS = {"one-call": "one-call", "one-turn": "one-call", "four-turns": "one-turn"}
_WITHOUT_A_LEDGER = ("list", "process", "stream", "run")


def overhead(*, rows: int, rounds: int) -> Section:
    """CPU a row, as a multiple of the hand-written window's."""
    runs = measured(_WITHOUT_A_LEDGER, rows=rows, rounds=rounds)
    micro = {way: micro_a_row(each, rows) for way, each in runs.items()}
    return Section(
        name="overhead",
        title="CPU a row with a model that answers at once",
        conditions=f"{rows} rows, each way in a process of its own, imports left out; {rounds_in_words(rounds)}.",
        header=["", "CPU µs a row", "× by hand", "peak MB", "MB more than by hand"],
        rows=[_line(way, runs, micro) for way in _WITHOUT_A_LEDGER],
        unit="CPU µs a row",
        bars={NAMES[way]: values for way, values in micro.items()},
    )


def _line(way: str, runs: dict[str, list[Figures]], micro: dict[str, list[float]]) -> list[str]:
    other = _PAIRS.get(way, way)
    ratios = [own / its for own, its in zip(micro[way], micro[other], strict=True)]
    peak, more = _median_peak(runs[way]), _median_peak(runs[way]) - _median_peak(runs[other])
    return [NAMES[way], spread(micro[way], ".1f"), spread(ratios, ".1f"), f"{peak:.0f}", f"{more:+.0f}"]


def conversations(*, rows: int, rounds: int) -> Section:
    """CPU a row of conversations, as a multiple of one call, and of one turn."""
    runs = measured(list(_TURNS), rows=rows, rounds=rounds)
    micro = {way: micro_a_row(each, rows) for way, each in runs.items()}
    lines = []
    for way, other in _TURNS.items():
        ratios = [own / its for own, its in zip(micro[way], micro[other], strict=True)]
        lines.append([NAMES[way], spread(micro[way], ".1f"), NAMES[other], spread(ratios, ".2f")])
    return Section(
        name="conversations",
        title="CPU a row of a conversation, with a model that answers at once",
        conditions=f"{rows} rows, each way in a process of its own, imports left out; {rounds_in_words(rounds)}.",
        header=["", "CPU µs a row", "beside", "×"],
        rows=lines,
        unit="CPU µs a row",
        bars={NAMES[way]: values for way, values in micro.items()},
    )


def memory(*, sizes: Sequence[int], rounds: int) -> Section:
    """Peak memory of a stream as the data set grows."""
    lines: list[list[str]] = []
    bars: dict[str, list[float]] = {}
    for rows in sizes:
        runs = measured(["stream", "run"], rows=rows, rounds=rounds)
        by_hand, limbeck = _median_peak(runs["stream"]), _median_peak(runs["run"])
        lines.append([f"{rows:,}", f"{by_hand:.0f}", f"{limbeck:.0f}", f"{limbeck - by_hand:+.0f}"])
        bars |= {f"{NAMES[way]}, {rows:,} rows": [run["peak_mb"] for run in runs[way]] for way in runs}
    return Section(
        name="memory",
        title="Peak memory of a stream",
        conditions=f"A model that answers at once; rows are counted and let go; {rounds_in_words(rounds)}.",
        header=["rows", "by hand, MB", "Limbeck's `task.run`, MB", "more"],
        rows=lines,
        unit="peak MB",
        bars=bars,
    )


def micro_a_row(runs: Sequence[Figures], rows: int) -> list[float]:
    """CPU µs a row of each run."""
    return [1e6 * run["cpu_seconds"] / rows for run in runs]


def _median_peak(runs: Sequence[Figures]) -> float:
    return float(statistics.median(run["peak_mb"] for run in runs))


def measured(ways: Sequence[str], *, rows: int, rounds: int) -> dict[str, list[Figures]]:
    """Each way in turn, round by round."""
    runs: dict[str, list[Figures]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in ways:
            figures = _run(way, rows)
            runs[way].append(figures)
            say(f"round {turn + 1}: {way}, {rows} rows: {1e6 * figures['cpu_seconds'] / rows:.1f} µs a row")
    return runs


def _run(way: str, rows: int) -> Figures:
    command = [sys.executable, "-m", "benchmarks.inprocess", way, f"--rows={rows}"]
    said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: Figures = json.loads(said)
    if figures["rows"] != rows:
        raise RuntimeError(f"{NAMES[way]} gave {figures['rows']} of {rows} rows.")
    return figures
