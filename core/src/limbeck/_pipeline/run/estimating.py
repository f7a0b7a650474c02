"""An estimate for a pipeline: a sample of its source's rows goes through, and what their requests take is summed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..._engine.money.prices import price_table
from ..._engine.rows.copies import taken_row
from ..._step import GeneratorStep, Sink
from ..._task.estimating import check_sample, drawn_from, projected
from ...errors import ConfigurationError
from ..graph.graph import Graph
from ..graph.kinds import is_source
from ..steps.rows import source_of
from .metering import Meter
from .options import PipelineOptions
from .streaming import PipelineStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..._engine.money.budget import Budget
    from ..._engine.money.estimate import Estimate
    from ..._engine.money.prices import PriceSource
    from ...types import Row


def estimate(
    graph: Graph,
    rows: Any,
    n: int,
    *,
    run_dir: str | Path | None,
    seed: int,
    prices: PriceSource,
    budget: Budget | None,
    confidence: float,
) -> Estimate:
    """Estimate what all rows are going to take; see `Pipeline.estimate`."""
    check_sample(n)
    table = price_table(prices)
    sources = [name for name, step in graph.steps.items() if is_source(step) and not graph.before(name)]
    source = _only(graph, sources) if rows is None else source_of(rows)
    population, drawn = drawn_from(_rows_of(source), n, seed, _size)
    meter = Meter([size for _, _, size in drawn])
    rest = _without_ends(graph, [row for _, row, _ in drawn], sources if rows is None else [])
    options = PipelineOptions(run_dir=run_dir, ordered=False, prices=table, budget=budget, meter=meter)
    with PipelineStream(rest, None, options, whole=True) as stream:
        stream.wait()
    return projected(meter.rows, population, llms=meter.llms.values(), confidence=confidence)


def _size(row: Row) -> float:
    return len(json.dumps(row, default=str))


def _only(graph: Graph, sources: list[str]) -> GeneratorStep:
    """The one source."""
    if len(sources) != 1 or not isinstance(graph.steps[sources[0]], GeneratorStep):
        raise ConfigurationError(
            f"An estimate draws from the rows of one source; the pipeline {graph.name!r} has {len(sources)}. "
            "Estimate a part of it, with rows: `part.estimate(rows)`."
        )
    source: GeneratorStep = graph.steps[sources[0]]
    return source


def _rows_of(source: GeneratorStep) -> Iterator[Row]:
    if hasattr(getattr(source, "rows", None), "__aiter__"):
        raise ConfigurationError("An estimate does not wait for rows that come from an async iterable: give it a list.")
    source.load()
    chunks: Iterator[list[Any]] = source.process()  # errors among them, in place of rows that could not be read
    try:
        for chunk in chunks:
            yield from (row for row in map(taken_row, chunk) if isinstance(row, dict))
    finally:
        source.unload()


def _without_ends(graph: Graph, rows: list[Row], sources: list[str]) -> Graph:
    """The graph without its sources and sinks, led to by `rows`; what comes out goes nowhere."""
    steps = graph.steps
    inner = {name: step for name, step in steps.items() if name not in sources and not isinstance(step, Sink)}
    rest = Graph(name=graph.name)
    source = rest.add(rows)
    for step in inner.values():
        rest.add(step)
    for name, step in inner.items():
        if not [before for before in graph.before(name) if before in inner]:
            rest.connect(source, step)
    for before, after in graph.edges:
        if before in inner and after in inner:
            rest.connect(inner[before], inner[after])
    for leaf in rest.leaves:
        rest.connect(rest.steps[leaf], _Nowhere(name=f"{leaf} of the sample"))
    return rest


class _Nowhere(Sink):
    """Takes rows, and keeps none."""

    def open(self, *, replace: bool) -> None:
        """Do nothing: there is nothing to replace."""

    def write(self, rows: list[Row]) -> None:
        """Let go of the rows, which are only counted."""

    def close(self, *, finished: bool) -> None:
        """Do nothing: there is nothing to publish."""
