"""The report on a terminal, drawn by rich; in a pipe the same, as plain lines that are never wrapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.errors import printable

from .sample_lines import step_lines
from .wording import NONE, count, moment, money, seconds, share, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from .figures import RunFigures, StepFigures
    from .samples import StepSamples


def show(run: RunFigures, samples: Sequence[StepSamples] = ()) -> None:
    """Write the report to stdout, with the samples that were drawn."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    _head(console, run)
    _table(console, "Yield", _STEP_COLUMNS, [_step_cells(step) for step in run.steps])
    _mended(console, run)
    _table(console, "Failures", ("step", "reason", "#count", "for example"), _reason_cells(run))
    _table(console, "Tokens", _SPENDING_COLUMNS, _spending_cells(run))
    _table(
        console, "Time of an answer", ("step", "#answers", "#median", "#90 %", "#99 %", "#longest"), _time_cells(run)
    )
    for step in samples:
        for line in step_lines(step):
            console.print(printable(line), soft_wrap=not console.is_terminal)
    for note in run.notes:
        console.print(f"\n{printable(note)}", style="dim", soft_wrap=not console.is_terminal)


def verdict(run: RunFigures) -> str:
    """The state of the run, in words."""
    words = {
        "finished": "finished",
        "stopped": f"stopped: {short(run.error or 'it does not say why', 300)}",
        "running": "running",
        "unfinished": "unfinished: it was stopped or killed on its way",
    }
    return words[run.state]


def _head(console: Console, run: RunFigures) -> None:
    colour = {"finished": "green", "running": "cyan", "stopped": "red"}.get(run.state, "yellow")
    console.print(f"{printable(run.pipeline)}  ", style="bold", end="", soft_wrap=True)
    console.print(verdict(run), style=colour, soft_wrap=True)
    console.print(
        f"{printable(run.folder)}, started {moment(run.started)}, took {seconds(run.seconds)}", soft_wrap=True
    )
    if run.state != "finished" and run.resume:
        console.print(f"To go on: {printable(run.resume)}", soft_wrap=True)


def _mended(console: Console, run: RunFigures) -> None:
    """Print how many answers could not be used, and were asked for again or of another LLM."""
    lines = [f"{short(step.name, 60)}: {words}" for step in run.steps for words in mended(step)]
    if lines:
        console.print("\nMended answers", style="bold")
        console.print(*lines, sep="\n", soft_wrap=True)


def mended(step: StepFigures) -> list[str]:
    """How a step's answers were mended, in words."""
    told = (("repaired", step.repaired, step.repair_calls), ("fallback", step.fell_back, step.fallback_calls))
    return [
        f"{how}: {count(rows)} of {count(step.rows_in)} rows, {count(calls)} call{'s' * (calls != 1)}"
        for how, rows, calls in told
        if calls
    ]


def _table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; a column whose name begins with `#` is of numbers. A column without a value is left out."""
    kept = [place for place in range(len(columns)) if any(row[place] != NONE for row in rows)]
    if not kept:
        return
    names = [columns[place] for place in kept]
    cells = [[row[place] for place in kept] for row in rows]
    console.print()
    if console.is_terminal:
        _draw(console, title, names, cells)
    else:
        console.print(title, *_aligned(names, cells), sep="\n", soft_wrap=True)


def _aligned(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns, nothing wrapped or cut, so that `grep` sees whole lines."""
    table = [[name.lstrip("#") for name in names], *rows]
    widths = [max(len(row[place]) for row in table) for place in range(len(names))]
    sides = [">" if name[0] == "#" else "<" for name in names]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in table
    ]


def _draw(console: Console, title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name.lstrip("#"), justify="right" if name[0] == "#" else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


_STEP_COLUMNS = (
    *("step", "kind", "#in", "#out", "#failed", "#good", "#requests", "#reused", "#retries", "#refused"),
    *("#tokens in", "#tokens out", "#cost", "#time"),
)
_SPENDING_COLUMNS = ("step", "model", "#answers", "#tokens in", "#cached", "#tokens out", "#reasoning", "#cost")


def _step_cells(step: StepFigures) -> list[str]:
    return [
        short(step.name, 60),
        short(step.kind or NONE, 20),
        *(count(step.came_in), count(step.went_out), count(step.rows_failed), share(step.good)),
        *(count(step.requests), count(step.reused), count(step.retries), count(step.rate_limited)),
        *(count(step.input_tokens), count(step.output_tokens), money(step.cost), seconds(step.seconds)),
    ]


def _reason_cells(run: RunFigures) -> list[list[str]]:
    return [
        [short(each.step, 60), short(each.type, 60), count(each.count), short(each.message or NONE, 120)]
        for each in run.reasons
    ]


def _spending_cells(run: RunFigures) -> list[list[str]]:
    return [
        [
            *(short(each.step, 60), short(each.model or NONE, 60), count(each.answers), count(each.input_tokens)),
            *(count(each.cached_tokens), count(each.output_tokens), count(each.reasoning_tokens), money(each.cost)),
        ]
        for each in run.spending
    ]


def _time_cells(run: RunFigures) -> list[list[str]]:
    return [
        [short(each.step, 60), count(each.answers), *map(seconds, (spread.p50, spread.p90, spread.p99, spread.max))]
        for each in run.timings
        if (spread := each.latency) is not None
    ]
