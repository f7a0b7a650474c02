"""The node of a task, whose rows go through the window of its LLM."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...._engine.calls.jobs import Identified
from ...._engine.calls.policy import Policy
from ...._engine.ledger.stores import opened_step
from ...._engine.stream.stream import Stream
from ...._engine.stream.terms import checked_pricing, terms_of
from ...._engine.threads.handoff import EMPTY, END
from .node import Node

if TYPE_CHECKING:
    from ...._engine.ledger.ledger import Ledger
    from ...._task.task import Task
    from ....types import Row
    from ..items.lineage import Item
    from .node import Run


class TaskNode(Node):
    """A task: its rows go through the window of its LLM."""

    def __init__(self, run: Run, task: Task, ledger: Ledger | None) -> None:
        super().__init__(run, task, "task")
        options = run.options
        work, backend, registry = task._begin(None, load=options.ask)  # noqa: SLF001 - as the task itself would
        _, plan = options.reruns.get(task.name, (None, None))
        self._backend = backend
        self._inside: dict[str, Item] = {}
        config = task.model_dump(mode="json", fallback=str) if ledger is not None else {}
        part = None
        if ledger is not None:
            part = opened_step(ledger, task.name, config if plan is None else plan.config, backend, config)
        terms = terms_of(
            checked_pricing(backend, registry, prices=options.prices, budget=options.budget),
            step=task.name,
            ledger=part,
            folder=None if ledger is None else ledger.folder,
            budget=options.budget,
            cache=run.cache,
            rerun=plan,
            wake=partial(run.call_on_loop, backend.window.wake),
        )
        self.stream = Stream(
            work if options.meter is None else options.meter.on(work, task, registry, options.prices),
            _Waiting(self),
            backend,
            emit=self._emit,
            finished=self._finished,
            observers=run.observers,
            policy=Policy(
                ordered=False, breaker=backend.breaker_threshold, max_failed=options.max_failed, ask=options.ask
            ),
            ledger=part,
            failed=run.failed_jobs(task.name),
            pipeline=run.info,
            terms=terms,
        )
        self.stats = self.stream.stats
        self.info = self.stream.info

    def start(self) -> None:
        self._backend.window.attach(self.stream)
        self.pump_soon()

    def _count_in(self) -> None:
        """Do nothing: the stream counts what it admits."""

    def pump(self) -> None:
        if not self.stream.ended:
            self._backend.window.wake()
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
        self._backend.window.wake()  # which lets go of the stream


class _Waiting:
    """The items that wait at a task, as the stream's source."""

    def __init__(self, node: TaskNode) -> None:
        self.take = node.next_row
