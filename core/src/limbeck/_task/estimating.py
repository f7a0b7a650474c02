"""An estimate for a task: a sample of its rows is run and measured."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .._engine.calls.jobs import Call, Identified
from .._engine.calls.policy import Policy
from .._engine.limits.allowances import setting
from .._engine.money.estimate import Estimate, Interval, Population, total
from .._engine.money.prices import Pricing, price_table
from .._engine.rows.copies import taken_row
from .._engine.run import RowStream
from ..errors import ConfigurationError, RowError
from .work import TaskWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from .._engine.calls.jobs import Job
    from .._engine.money.budget import Budget
    from .._engine.money.prices import PriceSource, PriceTable
    from .._engine.stream.parts import Work
    from .._registry.registry import Registry
    from ..types import Row, Usage
    from .task import ModelTask


_MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Charged:
    """One of those whom a task asks, with its price and its limits.

    Attributes:
        key: the same of one LLM in several tasks. price: US dollars, or None where that is unknown.
        width: rows at once. rpm, tpm: rows and tokens of its allowance, or None.
    """

    key: int
    price: Callable[[Usage], float | None]
    width: float
    rpm: float | None
    tpm: float | None


def charged(llms: Iterable[Any], *, table: PriceTable | None, registry: Registry) -> list[Charged]:
    """All whom a task may ask, in their order."""
    return [
        Charged(
            id(llm),
            Pricing(llm, table=table, registry=registry).cost,
            setting(llm, "max_concurrency", 64, whole=True, none=64) * together,
            None if rpm is None else rpm * together,
            setting(llm, "tpm", None),
        )
        for llm in llms
        for together in [setting(llm, "batch_size", 1, whole=True, none=1)]  # rows that share a request
        for rpm in [setting(llm, "rpm", None)]
    ]


@dataclass(slots=True)
class Load:
    """What a row took of one LLM."""

    calls: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True)
class Measured:
    """The measures of one row of the sample; None for what nobody says.

    Attributes:
        size: known before anything is asked. seconds: of all its requests. loads: of each LLM, by its key.
    """

    size: float
    calls: float = 0.0
    input_tokens: float | None = None
    output_tokens: float | None = None
    cost: float | None = None
    seconds: float | None = None
    failed: bool = False
    loads: dict[int, Load] = field(default_factory=dict)

    def add(self, job: Job, llms: Sequence[Charged]) -> None:
        """Count what a task's requests for the row took."""
        self.failed = self.failed or any(outcome.error is not None for outcome in job.outcomes)
        for call in job.calls or _calls_of(job):
            self._count(call, llms[call.who])

    def _count(self, call: Call, llm: Charged) -> None:
        load = self.loads.setdefault(llm.key, Load())
        self.calls += 1
        load.calls += 1
        if call.latency is not None:
            self.seconds = (self.seconds or 0.0) + call.latency
            load.seconds += call.latency
        usage = call.usage
        if usage is None:
            return
        self.input_tokens = (self.input_tokens or 0) + usage.input_tokens
        self.output_tokens = (self.output_tokens or 0) + usage.output_tokens
        load.tokens += usage.input_tokens + usage.output_tokens
        cost = llm.price(usage)
        self.cost = math.nan if cost is None else (self.cost or 0.0) + cost  # one unknown, and so is the sum


def _calls_of(job: Job) -> list[Call]:
    """The calls about a row that is asked about once: one a sample, or one that answered several."""
    calls: list[Call] = []
    for outcome in job.outcomes:
        if not outcome.attempts:  # nothing could be asked
            continue
        before = calls[-1] if calls else Call(0, None, None)
        if outcome.usage is None and before.usage is not None and outcome.latency == before.latency:
            continue  # a further sample of one response, which counts once
        calls.append(Call(0, outcome.usage, outcome.latency))
    return calls


class MeteredWork:
    """A task's work, of which another makes the rows: what each row took is in its job.

    Args:
        finish: gives the rows that come of a job.
    """

    def __init__(self, work: Work, finish: Callable[[Job], list[Row]]) -> None:
        self.name = work.name
        self.num_generations = work.num_generations
        self.reads = work.reads
        self.prepare = work.prepare
        self.finish = finish


def estimate(
    task: ModelTask,
    rows: Iterable[Row],
    n: int,
    *,
    run_dir: str | Path | None,
    seed: int,
    prices: PriceSource,
    budget: Budget | None,
    confidence: float,
) -> Estimate:
    """Estimate what all rows are going to take; see `Task.estimate`."""
    check_sample(n)
    table = price_table(prices)
    how = {"prices": table, "budget": budget}
    run = task._task_run(rows, Policy(ordered=False), run_dir, None, **how)  # noqa: SLF001 - its own part
    population, drawn = drawn_from(map(taken_row, rows), n, seed, TaskWork(task).size)
    sampled: list[Any] = [Identified(str(place), row) for place, row, _ in drawn]
    sizes = {str(place): size for place, _, size in drawn}
    llms = charged(task._llms(), table=table, registry=run.asking.registry)  # noqa: SLF001 - as above

    def what_it_took(job: Job) -> list[Row]:
        """Measure what a row took, in place of its rows."""
        measured = Measured(sizes[job.id])
        measured.add(job, llms)
        return [{_MEASURED: measured}]

    metered = replace(run.asking, work=MeteredWork(run.asking.work, what_it_took))
    with RowStream(replace(run, asking=metered, rows=sampled)) as stream:
        sample = [row[_MEASURED] for row in stream]
    return projected(sample, population, llms=llms, confidence=confidence)


def check_sample(n: int) -> None:
    """Raise `ConfigurationError` unless an interval can be had from `n` rows."""
    if n < 2:
        raise ConfigurationError(f"An estimate needs at least 2 rows, not {n!r}.")


def drawn_from(
    rows: Iterable[Row], n: int, seed: int, size_of: Callable[[Row], float]
) -> tuple[Population, list[tuple[int, Row, float]]]:
    """Draw `n` rows with place and size, and count all: a reservoir (Vitter 1985, algorithm R).

    Args:
        size_of: a row's size; raises `RowError` for one of which nothing will be asked.
    """
    rng = random.Random(seed)  # noqa: S311 - a sample, not a secret
    drawn: list[tuple[int, Row, float]] = []
    count, sizes = 0, 0.0
    for place, row in enumerate(rows):
        try:
            size = size_of(row)
        except RowError:
            continue
        count += 1
        sizes += size
        if count <= n:
            drawn.append((place, row, size))
        elif (slot := rng.randrange(count)) < n:
            drawn[slot] = (place, row, size)
    return Population(count, sizes), sorted(drawn, key=itemgetter(0))


def projected(
    sample: Sequence[Measured], population: Population, *, llms: Iterable[Charged], confidence: float
) -> Estimate:
    """The estimate for all rows.

    Args:
        llms: all who are asked; each works at the same time as the others.
    """

    def project(value: Callable[[Measured], float | None]) -> Interval | None:
        known = [(row.size, found) for row in sample if (found := value(row)) is not None and not math.isnan(found)]
        if not known or len(known) < min(2, population.rows):
            return None
        sizes, values = zip(*known, strict=True)
        return total(sizes, values, population, confidence=confidence)

    seconds = None
    if project(lambda row: row.seconds) is not None:
        seconds = _longest([_seconds_of(llm, project) for llm in {llm.key: llm for llm in llms}.values()])
    return Estimate(
        rows=population.rows,
        sampled=len(sample),
        failed=sum(row.failed for row in sample),
        input_tokens=project(lambda row: row.input_tokens),
        output_tokens=project(lambda row: row.output_tokens),
        cost=project(lambda row: row.cost),
        seconds=seconds,
        confidence=confidence,
        calls=project(lambda row: row.calls),
    )


def _seconds_of(llm: Charged, project: Callable[[Callable[[Measured], float | None]], Interval | None]) -> Interval:
    """The seconds of one LLM with as many requests in flight as are allowed, and its allowance used up."""

    def load_of(row: Measured) -> Load:
        return row.loads.get(llm.key, Load())

    parts = [(project(lambda row: load_of(row).seconds), 1 / llm.width)]
    if llm.rpm:
        parts.append((project(lambda row: load_of(row).calls), 60 / llm.rpm))
    if llm.tpm:
        parts.append((project(lambda row: load_of(row).tokens), 60 / llm.tpm))
    return _longest([interval.times(share) for interval, share in parts if interval is not None])


def _longest(intervals: Sequence[Interval]) -> Interval:
    """That of what takes as long as the longest of several."""
    return Interval(
        max((each.estimate for each in intervals), default=0.0),
        max((each.low for each in intervals), default=0.0),
        max((each.high for each in intervals), default=0.0),
    )
