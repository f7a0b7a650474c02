"""The node of a task, whose rows go through the window of its LLM."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...._engine.batch.choice import attach, wake
from ...._engine.calls.jobs import Identified
from ...._engine.calls.policy import Policy
from ...._engine.stream.assembly import Storage, assemble, spending_of
from ...._engine.stream.parts import Receiver
from ...._engine.threads.handoff import EMPTY, END
from ...._task.forms import noted_config
from .node import Node

if TYPE_CHECKING:
    from ...._engine.ledger.ledger import Ledger
    from ...._task.task import ModelTask
    from ....types import Row
    from ..items.lineage import Item
    from .node import Run


class TaskNode(Node):
    """A task: its rows go through the window of its LLM."""

    def __init__(self, run: Run, task: ModelTask, ledger: Ledger | None) -> None:
        super().__init__(run, task, "task")
        options = run.options
        asking = task._asking(load=options.ask)  # noqa: SLF001 - as the task itself would
        if options.meter is not None:
            asking = replace(asking, work=options.meter.on(asking.work, task, asking.registry, options.prices))
        backend = asking.backend
        self._inside: dict[str, Item] = {}
        config = noted_config(task) if ledger is not None else {}
        _, plan = options.reruns.get(task.name, (None, None))
        self.stream = assemble(
            replace(asking, observers=run.observers, pipeline=run.info),
            _Waiting(self),
            Receiver(self._emit, self._finished, run.failed_jobs(task.name)),
            Policy(ordered=False, breaker=backend.breaker_threshold, max_failed=options.max_failed, ask=options.ask),
            storage=Storage(ledger, config, run.cache, plan),
            spending=spending_of(asking, options.prices, options.budget),
        )
        self.stats = self.stream.stats
        self.info = self.stream.info

    def start(self) -> None:
        attach(self.stream)
        self.pump_soon()

    def _count_in(self) -> None:
        """Do nothing: the stream counts what it admits."""

    def pump(self) -> None:
        if not self.stream.ended:
            wake(self.stream)
        elif not self.unended:
            self.end()

    def next_row(self) -> Any:
        """The next row for the stream, `EMPTY`, or `END`."""
        if self.blocked:
            return EMPTY
        item = self._next()
        if item is None:
            return EMPTY if self.unended else END
        self._inside[item.id] = item
        return Identified(item.id, item.row)

    def _emit(self, id: str, rows: list[Row]) -> None:
        self.run.send(self, self._inside.pop(id), rows, counted=True)

    def _finished(self, error: BaseException | None) -> None:
        for item in self._inside.values():
            self._let_go(item)
        self._inside.clear()
        if error is not None:
            self.run.fail(self, error)
        super().stop()

    def stop(self) -> None:
        super().stop()
        self.stream.stop()
        wake(self.stream)  # which lets go of the stream


class _Waiting:
    """The items that wait at a task, as the stream's source."""

    def __init__(self, node: TaskNode) -> None:
        self.take = node.next_row
