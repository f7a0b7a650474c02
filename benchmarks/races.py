"""The benchmarks that are races: whole commands against a server that is slow, uneven, strict or crowded."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .contenders import (
    BARE_AIOHTTP,
    BARE_AIOHTTP_RETRYING,
    BARE_SDK,
    BARE_SDK_DEFAULT,
    BARE_SDK_RETRYING,
    LIMBECK,
    LIMBECK_LEDGER,
    LIMBECK_PYTHON,
    Contender,
)
from .race import Result, Results, not_ended, race, rounds_in_words, spread
from .report import Section
from .server import Behaviour

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def seconds(result: Result) -> float:
    """From the start of the process to its exit."""
    return result.spent.seconds


def _cpu_ms_per_row(result: Result) -> float:
    return 1000 * result.spent.cpu_seconds / max(1, result.delivered.right)


def _median(of: Callable[[Result], float], form: str) -> Callable[[Results], str]:
    return lambda results: f"{statistics.median(results.values(of)):{form}}"


def _count(name: str) -> Callable[[Results], str]:
    return _median(lambda result: result.stats[name], ".0f")


def _rows(results: Results) -> str:
    """The worst round's rows, whatever is wrong with it beside them."""
    worst = min((run.delivered for run in results.runs), key=lambda delivered: delivered.right)
    faults = {"null": worst.null, "lost": worst.lost, "wrong": worst.wrong}
    return ", ".join([str(worst.right), *(f"{count} {name}" for name, count in faults.items() if count)])


Column = tuple[str, "Callable[[Results], str]"]

SECONDS: Column = ("seconds", lambda results: spread(results.values(seconds)))
CPU: Column = ("CPU ms a row", _median(_cpu_ms_per_row, ".2f"))
CPU_RATIO: Column = ("× CPU", lambda results: spread(results.ratios(_cpu_ms_per_row)))
PEAK: Column = ("peak MB", _median(lambda result: result.spent.peak_mb, ".0f"))
ROWS: Column = ("rows right", _rows)
REFUSED: Column = ("refused", _count("refused"))
ERRORS: Column = ("500s", _count("errors"))
MEAN_IN_FLIGHT: Column = ("mean in flight", _median(lambda result: result.stats["mean_in_flight"], ".0f"))
MOST_IN_FLIGHT: Column = ("most in flight", _count("most_in_flight"))


def times(reference: Contender) -> Column:
    """The seconds as a multiple of the reference's in the same round."""
    return (f"× {reference.name}", lambda results: spread(results.ratios(seconds)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """A benchmark of whole commands. The first contender is the one that the others are compared with."""

    title: str
    conditions: str
    behaviour: Behaviour
    contenders: Sequence[Contender]
    columns: Sequence[Column]

    def run(
        self, name: str, *, rows: int, window: int, rounds: int, peers: Sequence[Contender], limit: float
    ) -> Section:
        """Race, and make a section of it."""
        contenders = [*self.contenders, *peers]
        found = race(self.behaviour, contenders, rows=rows, window=window, rounds=rounds, limit=limit)
        columns = [SECONDS, times(self.contenders[0]), *self.columns, ROWS]
        return Section(
            name=name,
            title=self.title,
            conditions=f"{rows} rows, {self.conditions}, {window} in flight at most; {rounds_in_words(rounds)}.",
            header=["", *(header for header, _ in columns)],
            rows=[_line(results, columns, limit) for results in found],
            unit="seconds, start to exit",
            bars={results.name: results.values(seconds) for results in found if results.ended},
        )


def _line(results: Results, columns: Sequence[Column], limit: float) -> list[str]:
    """A contender's row; of one that was killed at the limit, only what it had delivered until then."""
    if results.ended:
        return [results.name, *(show(results) for _, show in columns)]
    return [results.name, not_ended(limit), *[""] * (len(columns) - 2), _rows(results)]


RACES = {
    "throughput": Race(
        title="Throughput",
        conditions="100 ms an answer",
        behaviour=Behaviour(latency=0.1),
        contenders=[BARE_SDK, LIMBECK, LIMBECK_LEDGER, LIMBECK_PYTHON, BARE_SDK_DEFAULT, BARE_AIOHTTP],
        columns=[CPU, CPU_RATIO, PEAK],
    ),
    "tail": Race(
        title="Long tail",
        conditions="100 ms an answer, 2 % of them 5 s",
        behaviour=Behaviour(latency=0.1, tail_fraction=0.02, tail_factor=50.0),
        contenders=[BARE_SDK, LIMBECK, BARE_AIOHTTP],
        columns=[CPU, PEAK],
    ),
    "ratelimit": Race(
        title="Rate limit",
        conditions="100 ms an answer, 200 requests a second (a bucket of one second), Retry-After 1 s, 2 % 500s",
        behaviour=Behaviour(latency=0.1, rate=200.0, error_rate=0.02),
        contenders=[BARE_AIOHTTP_RETRYING, LIMBECK, BARE_SDK_RETRYING],
        columns=[REFUSED, ERRORS],
    ),
    "capacity": Race(
        title="A server that never refuses",
        conditions="100 ms an answer, 32 served at a time and the others in line",
        behaviour=Behaviour(latency=0.1, capacity=32),
        contenders=[BARE_SDK, LIMBECK, BARE_AIOHTTP],
        columns=[MEAN_IN_FLIGHT, MOST_IN_FLIGHT],
    ),
}
