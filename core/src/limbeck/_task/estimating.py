"""An estimate for a task: a sample of its rows is run and measured."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .._engine.calls.jobs import Identified
from .._engine.calls.policy import Policy
from .._engine.money.budget import prompt_size
from .._engine.money.estimate import Estimate, Interval, Population, total
from .._engine.money.prices import Pricing, price_table
from .._engine.rows.copies import taken_row
from .._engine.run import RowStream
from ..errors import ConfigurationError, RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from .._engine.calls.jobs import Job
    from .._engine.money.budget import Budget
    from .._engine.money.prices import PriceSource
    from .._engine.stream.parts import Work
    from ..types import Row, Usage
    from .task import ModelTask


_MEASURED = "measured"


@dataclass(slots=True)
class Measured:
    """The measures of one row of the sample; None for what nobody says.

    Attributes:
        size: known before anything is asked. seconds: the LLM's, of all its requests.
    """

    size: float
    input_tokens: float | None = None
    output_tokens: float | None = None
    cost: float | None = None
    seconds: float | None = None
    failed: bool = False

    def add(self, job: Job, price: Callable[[Usage], float | None]) -> None:
        """Count what a task's requests for the row took."""
        for outcome in job.outcomes:
            self.failed = self.failed or outcome.error is not None
            if outcome.latency is not None:
                self.seconds = (self.seconds or 0.0) + outcome.latency
            usage = outcome.usage
            if usage is None:
                continue
            self.input_tokens = (self.input_tokens or 0) + usage.input_tokens
            self.output_tokens = (self.output_tokens or 0) + usage.output_tokens
            cost = price(usage)
            self.cost = math.nan if cost is None else (self.cost or 0.0) + cost  # one unknown, and so is the sum


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
    work, backend = run.asking.work, run.asking.backend
    population, drawn = drawn_from(map(taken_row, rows), n, seed, lambda row: prompt_size(work.prepare(row)))
    sampled: list[Any] = [Identified(str(place), row) for place, row, _ in drawn]
    pricing = Pricing(task.llm, table=table, registry=run.asking.registry)
    metered = replace(run.asking, work=MeteredWork(work, partial(_what_it_took, pricing)))
    with RowStream(replace(run, asking=metered, rows=sampled)) as stream:
        sample = [row[_MEASURED] for row in stream]
    together = backend.batch_size  # rows that share a request wait for it once
    requests = population.rows * (1 if backend.native_n else work.num_generations) / together

    def seconds_at(waited: float, tokens: float) -> float:
        """The seconds with as many requests in flight as are allowed, and the allowance used up."""
        paced = requests / backend.rpm * 60 if backend.rpm else 0.0
        metered = tokens / backend.tpm * 60 if backend.tpm else 0.0
        longest: float = max(waited / together / backend.max_concurrency, paced, metered)
        return longest

    return projected(sample, population, seconds_at=seconds_at, confidence=confidence)


def _what_it_took(pricing: Pricing, job: Job) -> list[Row]:
    """Measure what a row took, in place of its rows."""
    assert job.request is not None  # rows without one are not drawn
    measured = Measured(prompt_size(job.request))
    measured.add(job, pricing.cost)
    return [{_MEASURED: measured}]


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
    sample: Sequence[Measured], population: Population, *, seconds_at: Callable[..., float], confidence: float
) -> Estimate:
    """The estimate for all rows.

    Args:
        seconds_at: how long a run takes at best that waits so many seconds for answers and uses so many tokens.
    """

    def project(value: Callable[[Measured], float | None]) -> Interval | None:
        known = [(row.size, found) for row in sample if (found := value(row)) is not None and not math.isnan(found)]
        if not known or len(known) < min(2, population.rows):
            return None
        sizes, values = zip(*known, strict=True)
        return total(sizes, values, population, confidence=confidence)

    input_tokens = project(lambda row: row.input_tokens)
    output_tokens = project(lambda row: row.output_tokens)
    waited = project(lambda row: row.seconds)

    def at_best(part: Callable[[Interval], float], waited: Interval) -> float:
        tokens = sum(part(each) for each in (input_tokens, output_tokens) if each is not None)
        return seconds_at(part(waited), tokens)

    seconds = None
    if waited is not None:
        low, high = (at_best(part, waited) for part in (lambda each: each.low, lambda each: each.high))
        seconds = Interval(at_best(lambda each: each.estimate, waited), low, high)
    return Estimate(
        rows=population.rows,
        sampled=len(sample),
        failed=sum(row.failed for row in sample),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=project(lambda row: row.cost),
        seconds=seconds,
        confidence=confidence,
    )
