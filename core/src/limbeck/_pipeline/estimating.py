"""An estimate for a pipeline: a sample of its source's rows goes through, and what their requests take is summed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .._engine.copies import taken_row
from .._engine.prices import Pricing, price_table
from .._step import GeneratorStep, Sink
from .._task.estimating import Measured, MeteredWork, check_sample, drawn_from, projected
from .._task.task import Task
from ..errors import ConfigurationError
from .graph import Pipeline
from .kinds import is_source
from .options import Options
from .rows import source_of
from .streaming import PipelineStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .._engine.budget import Budget
    from .._engine.estimate import Estimate
    from .._engine.jobs import Job
    from .._engine.prices import PriceSource, PriceTable
    from .._registry.registry import Registry
    from .._task.work import TaskWork
    from ..types import Row


class Meter:
    """Sums what each row of a source takes, in every task that it or what comes of it goes through."""

    def __init__(self, sizes: list[float]) -> None:
        self.rows = [Measured(size) for size in sizes]

    def on(self, work: TaskWork, task: Task, registry: Registry, prices: PriceTable | None) -> MeteredWork:
        """A task's work, measured."""
        pricing = Pricing(task.llm, table=prices, registry=registry)

        def finish(job: Job) -> list[Row]:
            made = work.finish(job)
            self.count(job, pricing)
            return made

        return MeteredWork(work, finish)

    def count(self, job: Job, pricing: Pricing) -> None:
        """Count a task's requests for a row, whose id begins with the place of its origin in the source."""
        origin = re.match(r"\d+", job.id)
        if origin is not None and int(origin[0]) < len(self.rows):
            self.rows[int(origin[0])].add(job, pricing.cost)


def estimate(
    pipeline: Pipeline,
    rows: Any,
    n: int,
    *,
    run_dir: str | Path | None,
    seed: int,
    prices: PriceSource,
    budget: Budget | None,
    confidence: float,
) -> Estimate:
    """See `Pipeline.estimate`."""
    check_sample(n)
    table = price_table(prices)
    sources = [name for name, step in pipeline.steps.items() if is_source(step) and not pipeline.before(name)]
    source = _only(pipeline, sources) if rows is None else source_of(rows)
    population, drawn = drawn_from(_rows_of(source), n, seed, _size)
    meter = Meter([size for _, _, size in drawn])
    rest = _without_ends(pipeline, [row for _, row, _ in drawn], sources if rows is None else [])
    options = Options(run_dir=run_dir, ordered=False, prices=table, budget=budget, meter=meter)
    with PipelineStream(rest, None, options, whole=True) as stream:
        stream.wait()
    llms = {id(step.llm): step.llm for step in pipeline.steps.values() if isinstance(step, Task)}
    width = sum(getattr(llm, "max_concurrency", 1) for llm in llms.values())

    def seconds_at(waited: float, _tokens: float) -> float:
        """With as many requests in flight as all LLMs together allow."""
        return waited / max(width, 1)

    return projected(meter.rows, population, seconds_at=seconds_at, confidence=confidence)


def _size(row: Row) -> float:
    return len(json.dumps(row, default=str))


def _only(pipeline: Pipeline, sources: list[str]) -> GeneratorStep:
    """The one source."""
    if len(sources) != 1 or not isinstance(pipeline.steps[sources[0]], GeneratorStep):
        raise ConfigurationError(
            f"An estimate draws from the rows of one source; the pipeline {pipeline.name!r} has {len(sources)}. "
            "Estimate a part of it, with rows: `part.estimate(rows)`."
        )
    source: GeneratorStep = pipeline.steps[sources[0]]
    return source


def _rows_of(source: GeneratorStep) -> Iterator[Row]:
    if hasattr(getattr(source, "rows", None), "__aiter__"):
        raise ConfigurationError("An estimate does not wait for rows that come from an async iterable: give it a list.")
    source.load()
    lots: Iterator[list[Any]] = source.process()  # errors among them, in place of rows that could not be read
    try:
        for lot in lots:
            yield from (row for row in map(taken_row, lot) if isinstance(row, dict))
    finally:
        source.unload()


def _without_ends(pipeline: Pipeline, rows: list[Row], sources: list[str]) -> Pipeline:
    """The pipeline without its sources and sinks, led to by `rows`; what comes out goes nowhere."""
    steps = pipeline.steps
    inner = {name: step for name, step in steps.items() if name not in sources and not isinstance(step, Sink)}
    rest = Pipeline(name=pipeline.name)
    source = rest.add(rows)
    for step in inner.values():
        rest.add(step)
    for name, step in inner.items():
        if not [before for before in pipeline.before(name) if before in inner]:
            rest.connect(source, step)
    for before, after in pipeline.edges:
        if before in inner and after in inner:
            rest.connect(inner[before], inner[after])
    for leaf in rest.leaves:
        rest.connect(rest.steps[leaf], _Nowhere(name=f"{leaf} of the sample"))
    return rest


class _Nowhere(Sink):
    """Takes rows, and keeps none."""

    def open(self, *, replace: bool) -> None:
        """There is nothing to replace."""

    def write(self, rows: list[Row]) -> None:
        """They are only counted."""

    def close(self, *, finished: bool) -> None:
        """There is nothing to publish."""
