"""The measuring of a sample: what the requests for each row of a source take, over all tasks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..._task.estimating import Measured, MeteredWork, charged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..._engine.calls.jobs import Job
    from ..._engine.money.prices import PriceTable
    from ..._engine.stream.parts import Work
    from ..._registry.registry import Registry
    from ..._task.estimating import Charged
    from ..._task.task import ModelTask
    from ...types import Row


class Meter:
    """Sums what each row of a source takes, in every task that it or what comes of it goes through.

    Attributes:
        llms: all who are asked, by their keys.
    """

    def __init__(self, sizes: list[float]) -> None:
        self.rows = [Measured(size) for size in sizes]
        self.llms: dict[int, Charged] = {}

    def on(self, work: Work, task: ModelTask, registry: Registry, prices: PriceTable | None) -> MeteredWork:
        """A task's work, measured."""
        llms = charged(task._llms(), table=prices, registry=registry)  # noqa: SLF001 - a task's own LLMs
        self.llms.update({llm.key: llm for llm in llms})

        def finish(job: Job) -> list[Row]:
            made = work.finish(job)
            self.count(job, llms)
            return made

        return MeteredWork(work, finish)

    def count(self, job: Job, llms: Sequence[Charged]) -> None:
        """Count a task's requests for a row, whose id begins with the place of its origin in the source."""
        origin = re.match(r"\d+", job.id)
        if origin is not None and int(origin[0]) < len(self.rows):
            self.rows[int(origin[0])].add(job, llms)
