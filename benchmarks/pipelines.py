"""What a pipeline costs a row, in memory and on disk, and how well its tasks overlap."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inprocess import rows_to_ask
from .loopback import ROOT
from .race import rounds_in_words, say, spread
from .report import Section
from .streaming import LATENCY, RUN_DIR, TASKS, answer_to, target_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Figures = dict[str, Any]

_NAMES = {
    "alone": "Limbeck, one task",
    "two": "Limbeck, two tasks, a window each",
    "shared": "Limbeck, two tasks, one window",
}


def pipeline(*, sizes: Sequence[int], window: int, rounds: int) -> Section:
    """CPU, memory and disk of three tasks in a row, as the data set grows."""
    runs = {rows: _rounds("three", rows, window, rounds, check=check_output) for rows in sizes}
    smallest = _median(runs[sizes[0]], "peak_mb")
    return Section(
        name="pipeline",
        title="A pipeline of three tasks, with models that answer at once",
        conditions=(
            f"Rows from a generator, {window} in flight at most, a ledger with prompts as digests, output as "
            f"{_format()}, read back row for row; each run in a process of its own, imports left out of the CPU; "
            f"{rounds_in_words(rounds)}."
        ),
        header=[
            "rows",
            "CPU µs a row and task",
            "peak MB",
            "more",
            "ledger bytes a row and task",
            "output bytes a row",
        ],
        rows=[_size_line(rows, each, smallest) for rows, each in runs.items()],
        unit="CPU µs a row and task",
        bars={f"Limbeck, {rows:,} rows": _micro(rows, each) for rows, each in runs.items()},
    )


def _size_line(rows: int, runs: Sequence[Figures], smallest: float) -> list[str]:
    peak = _median(runs, "peak_mb")
    ledger = _median(runs, "ledger_bytes") / (rows * len(TASKS))
    output = _median(runs, "output_bytes") / rows
    micro = spread(_micro(rows, runs), ".1f")
    return [f"{rows:,}", micro, f"{peak:.0f}", f"{peak - smallest:+.0f}", f"{ledger:.0f}", f"{output:.0f}"]


def _micro(rows: int, runs: Sequence[Figures]) -> list[float]:
    return [1e6 * run["cpu_seconds"] / (rows * len(TASKS)) for run in runs]


def _median(runs: Sequence[Figures], figure: str) -> float:
    return float(statistics.median(run[figure] for run in runs))


def _format() -> str:
    return {".parquet": "Parquet", ".jsonl": "JSONL"}[target_in(Path()).suffix]


def overlap(*, rows: int, window: int, rounds: int) -> Section:
    """How much longer two tasks in a row take than if they overlapped perfectly.

    With a window each that is one task's time and one answer more: the last row comes out of the
    first task when that is done, and then takes one more answer. Where they share a window it is
    the time that twice the requests take.
    """
    runs: dict[str, list[Figures]] = {way: [] for way in _NAMES}
    for turn in range(rounds):
        for way in _NAMES:
            runs[way].append(_run(way, rows, window, turn))
    ideal = {
        "alone": ideal_seconds(rows, window, tasks=1),
        "two": ideal_seconds(rows, window, tasks=2),
        "shared": ideal_seconds(2 * rows, window, tasks=1),
    }
    return Section(
        name="overlap",
        title="Two tasks in a row",
        conditions=(
            f"{rows} rows, {1000 * LATENCY:.0f} ms an answer, {window} in flight at most in each window, a ledger "
            f"with prompts as digests; each run in a process of its own, imports left out; {rounds_in_words(rounds)}."
        ),
        header=["", "seconds", "ideal", "× ideal", "× one task and one answer more"],
        rows=[_overlap_line(way, runs, ideal[way]) for way in _NAMES],
        unit="seconds",
        bars={_NAMES[way]: [run["seconds"] for run in each] for way, each in runs.items()},
    )


def ideal_seconds(rows: int, window: int, *, tasks: int) -> float:
    """What rows take that need one answer after another, if every window is full from the first moment.

    The last row is admitted when `(rows - 1) // window` answers have passed, and takes one for each task.
    """
    return ((rows - 1) // window + tasks) * LATENCY


def _overlap_line(way: str, runs: dict[str, list[Figures]], ideal: float) -> list[str]:
    seconds = [run["seconds"] for run in runs[way]]
    alone = [run["seconds"] + LATENCY for run in runs["alone"]]
    beside = spread([own / other for own, other in zip(seconds, alone, strict=True)]) if way == "two" else ""
    return [_NAMES[way], spread(seconds), f"{ideal:.2f}", spread([each / ideal for each in seconds]), beside]


def _rounds(way: str, rows: int, window: int, rounds: int, *, check: Callable[[Path, int], None]) -> list[Figures]:
    return [_run(way, rows, window, turn, check=check) for turn in range(rounds)]


def _run(way: str, rows: int, window: int, turn: int, *, check: Callable[[Path, int], None] | None = None) -> Figures:
    with tempfile.TemporaryDirectory(prefix="limbeck-benchmark-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "benchmarks.streaming", way, f"--rows={rows}", f"--window={window}"]
        said = subprocess.run(
            [*command, f"--folder={folder}"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        figures: Figures = json.loads(said)
        if figures["rows"] != rows:
            raise RuntimeError(f"{way!r} gave {figures['rows']} of {rows} rows.")
        if check is not None:
            check(target_in(folder), rows)
            figures["output_bytes"] = target_in(folder).stat().st_size
        figures["ledger_bytes"] = sum(file.stat().st_size for file in (folder / RUN_DIR).glob("ledger.sqlite*"))
    say(f"round {turn + 1}: {way}, {rows} rows: {figures['seconds']:.2f} s, {figures['peak_mb']:.0f} MB")
    return figures


def check_output(path: Path, rows: int) -> None:
    """Raise unless the file holds every row, in order, with all its answers."""
    for number, (asked, row) in enumerate(zip(rows_to_ask(rows), _rows_in(path), strict=True)):
        text = asked["instruction"]
        for name in ("instruction", *TASKS):
            if row[name] != text:
                raise RuntimeError(f"Row {number} of {path.name} has {row[name]!r} for {name!r}, not {text!r}.")
            text = answer_to(text)


def _rows_in(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
        return
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=1_000):
        yield from batch.to_pylist()
