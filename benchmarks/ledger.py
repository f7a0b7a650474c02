"""What a row costs with a ledger, in CPU, memory and disk, as the data set grows, with a model that answers at once."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from .overhead import measured, micro_a_row
from .race import rounds_in_words, spread
from .report import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    Figures = dict[str, Any]

_BY_HAND, _LIMBECK = "stream", "ledger"


def ledger(*, sizes: Sequence[int], rounds: int) -> Section:
    """CPU a row beside the hand-written window's, which keeps no ledger; peak memory; bytes on disk."""
    start = _median(measured([_LIMBECK], rows=1, rounds=rounds)[_LIMBECK], "cpu_seconds")
    runs = {rows: measured([_BY_HAND, _LIMBECK], rows=rows, rounds=rounds) for rows in sizes}
    least = _median(runs[sizes[0]][_LIMBECK], "peak_mb")
    return Section(
        name="ledger",
        title="Cost of a row with a ledger",
        conditions=(
            "Rows from a generator, a model that answers at once, a ledger with prompts, rows counted and let go; "
            "each run in a process of its own, imports left out, opening and closing the ledger not (a run of one row "
            f"takes {1000 * start:.1f} ms of CPU); {rounds_in_words(rounds)}."
        ),
        header=[
            "rows",
            "by hand, CPU µs a row",
            "Limbeck's `task.run`, CPU µs a row",
            "more than by hand",
            "peak MB",
            f"MB more than at {sizes[0]:,}",
            "ledger bytes a row",
        ],
        rows=[_line(rows, each, least) for rows, each in runs.items()],
        unit="CPU µs a row more than by hand",
        bars={f"Limbeck with a ledger, {rows:,} rows": _more(rows, each) for rows, each in runs.items()},
    )


def _line(rows: int, runs: dict[str, list[Figures]], least: float) -> list[str]:
    own = runs[_LIMBECK]
    peaks = [run["peak_mb"] for run in own]
    return [
        f"{rows:,}",
        spread(micro_a_row(runs[_BY_HAND], rows), ".1f"),
        spread(micro_a_row(own, rows), ".1f"),
        spread(_more(rows, runs), ".1f"),
        spread(peaks, ".1f"),
        f"{statistics.median(peaks) - least:+.1f}",
        f"{_median(own, 'ledger_bytes') / rows:.0f}",
    ]


def _more(rows: int, runs: dict[str, list[Figures]]) -> list[float]:
    """Of each round, so that a slow moment of the machine meets both."""
    both = zip(micro_a_row(runs[_LIMBECK], rows), micro_a_row(runs[_BY_HAND], rows), strict=True)
    return [limbeck - by_hand for limbeck, by_hand in both]


def _median(runs: Sequence[Figures], figure: str) -> float:
    return float(statistics.median(run[figure] for run in runs))
