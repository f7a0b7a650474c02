"""The measuring of a sample: what the requests for each row of a source take, over all tasks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..._engine.money.prices import Pricing
from ..._task.estimating import Measured, MeteredWork

if TYPE_CHECKING:
    from ..._engine.calls.jobs import Job
    from ..._engine.money.prices import PriceTable
    from ..._engine.stream.parts import Work
    from ..._registry.registry import Registry
    from ..._task.task import ModelTask
    from ...types import Row


class Meter:
    """Sums what each row of a source takes, in every task that it or what comes of it goes through."""

    def __init__(self, sizes: list[float]) -> None:
        self.rows = [Measured(size) for size in sizes]

    def on(self, work: Work, task: ModelTask, registry: Registry, prices: PriceTable | None) -> MeteredWork:
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
