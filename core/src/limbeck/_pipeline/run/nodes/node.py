"""The base of all nodes: an inbox that spills, counters, and how they start, wait, fail and end."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from ...._engine.calls.policy import failure_limit
from ...._engine.calls.watched import WatchedStats
from ....errors import RowFailedError
from ....types import METADATA, RunInfo, RunStats
from ..items.lineage import error_record
from ..items.spill import SpillingQueue

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Sequence
    from contextvars import Context

    from ...._engine.answers.cache import ResponseCache
    from ...._engine.calls.jobs import Job
    from ...._engine.calls.observers import Observers
    from ....errors import GenerationError
    from ....types import PipelineInfo, Row
    from ..items.lineage import Item, Root
    from ..items.outlets import Outlet
    from ..options import PipelineOptions

INBOX_ROWS = 1024
CHUNK_ROWS = 256  # what a node does before others have their turn
_BEYOND_ROWS = 100_000  # what a slow branch may lag behind a fast one


class Run(Protocol):
    """The run that nodes are a part of: where they send what came of an item, and whom they tell.

    Attributes:
        failing: whether it is being stopped. cache: answers of other runs.
        context: the context variables of whoever called.
    """

    loop: AbstractEventLoop
    options: PipelineOptions
    info: PipelineInfo
    context: Context
    observers: Observers
    cache: ResponseCache | None
    failing: bool

    def call_on_loop(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have the portal's loop call something soon."""
        ...

    def started(self, info: RunInfo) -> None:
        """Tell observers that a step that is no task begins."""
        ...

    def columns_seen(self, source: Node, rows: Sequence[Any], *, complete: bool) -> bool:
        """Tell whether to let the first rows of a source go."""
        ...

    def entered(self, node: Node, root: Root) -> None:
        """Count an item of `root` that is at `node`."""
        ...

    def send(
        self, node: Node, item: Item, rows: list[Row], *, only: Sequence[str] | None = None, counted: bool = False
    ) -> None:
        """Send on the rows that came of an item at a node; the item has been."""
        ...

    def send_part(self, node: Node, item: Item, rows: list[Row]) -> Item:
        """Send on rows that came of an item of which more will come; the item that those come of."""
        ...

    def give_up(self, node: Node, item: Item) -> None:
        """Give an item up, for the run is being stopped."""
        ...

    def write_failure(self, name: str, id: str, row: Row, error: GenerationError) -> None:
        """Keep a row that failed, with its error, to be fed back."""
        ...

    def failed_jobs(self, name: str) -> Callable[[Job], object] | None:
        """The keeper of a task's failed rows."""
        ...

    def fail(self, node: Node | None, error: BaseException) -> None:
        """Stop the sources and what leads to `node`; what went past it finishes. None: stop everything."""
        ...

    def stop_exhausted(self, node: Node) -> None:
        """Stop a step that wants no more rows."""
        ...

    def node_ended(self, node: Node) -> None:
        """Note that a node will send nothing more."""
        ...

    def taker_done(self) -> None:
        """Note that a taker has got the last of the rows that leave."""
        ...

    def sink_done(self, info: RunInfo) -> None:
        """Note that a sink has written its last row. Called in any thread."""
        ...


class Edge:
    """The way from the step `name` to a node or an outlet.

    Attributes:
        number: where several edges meet, which of them this is; None elsewhere.
        branch: as `number`, into a join.
    """

    __slots__ = ("branch", "name", "number", "target")

    def __init__(self, name: str, target: Node | Outlet, number: int | None, branch: int) -> None:
        self.name = name
        self.target = target
        self.number = number
        self.branch = branch


class Node(ABC):
    """A step at work.

    Attributes:
        name, kind: the step's; see `kind_of`. stats: its counters, live.
        downstream: the edges along which what comes of its items goes. upstream: the nodes that lead here.
        parts: the joins whose branches part behind this step.
        unended: how many of those upstream have not ended.
        stopped: whether it takes nothing more. ended: whether nothing will come of it any more.
    """

    def __init__(self, run: Run, step: Any, kind: str) -> None:
        self.run = run
        self.step = step
        self.name: str = step.name
        self.kind = kind
        self.stats = RunStats()
        self.info = RunInfo(uuid.uuid4().hex, self.name, None, kind, WatchedStats(self.stats), run.info)
        self.downstream: list[Edge] = []
        self.upstream: list[Node] = []
        self.parts: list[str] = []
        self.unended = 0
        self.stopped = False
        self.ended = False
        self._retired = False
        self._inbox = SpillingQueue(INBOX_ROWS)
        self._told_full = False
        self._pumping = False

    # Taking rows

    def arrive(self, item: Item, edge: Edge) -> None:  # noqa: ARG002 - a join looks at the edge
        """Take in an item that has come."""
        self.run.entered(self, item.root)
        self._take_in(item)

    def _take_in(self, item: Item) -> None:
        if self.stopped:
            self._let_go(item)
            return
        self._count_in()
        self._inbox.put(item)
        self.pump_soon()

    def _count_in(self) -> None:
        self.stats.rows_in += 1

    @property
    def full(self) -> bool:
        """Tell whether those upstream should wait, if nobody else is hungry."""
        is_full = len(self._inbox) >= INBOX_ROWS
        self._told_full = self._told_full or is_full
        return is_full

    @property
    def overfull(self) -> bool:
        """Tell whether those upstream must wait."""
        return len(self._inbox) >= _BEYOND_ROWS

    @property
    def blocked(self) -> bool:
        """Tell whether it is to wait for those downstream."""
        targets = [edge.target for edge in self.downstream]
        full = [target.full for target in targets]  # each must know that it was asked
        return (bool(full) and all(full)) or any(target.overfull for target in targets)

    def _next(self) -> Item | None:
        """The first item that waits; those upstream are told when there is room again."""
        if not len(self._inbox):
            return None
        item = self._inbox.get()
        if self._told_full and len(self._inbox) <= INBOX_ROWS // 2:
            self._told_full = False
            for node in self.upstream:
                node.pump_soon()
        return item

    def upstream_ended(self) -> None:
        """Note that one of those upstream will send nothing more."""
        self.unended -= 1
        self.pump_soon()

    # Working

    def start(self) -> None:
        """Begin, as the run does."""
        self.run.started(self.info)
        self.pump_soon()

    def pump_soon(self) -> None:
        """Look for work soon: never at once, since whoever says so is at work itself."""
        if not self._pumping and not self.ended:
            self._pumping = True
            self.run.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        if not self.ended:
            self._guarded(self.pump)

    def _guarded(self, work: Callable[..., object], *arguments: Any) -> None:
        """Do what the loop was asked to call: it would only log what is raised."""
        try:
            work(*arguments)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the taker must hear of it instead of waiting
            self.run.fail(self, exc)

    @abstractmethod
    def pump(self) -> None:
        """Do what can be done; and end, when nothing is left and nothing will come."""

    def stop(self) -> None:
        """Give up what waits, and take nothing more."""
        if not self.stopped:
            self.stopped = True
            while len(self._inbox):
                self._let_go(self._inbox.get())
            self.pump_soon()

    def retire(self) -> None:
        """Stop where nothing is lost: nobody wants what would come of it."""
        self._retired = True
        self.stop()

    def _let_go(self, item: Item) -> None:
        if self._retired:
            self.run.send(self, item, [])
        else:
            self.run.give_up(self, item)

    def end(self) -> None:
        """End: nothing will come of it any more."""
        if not self.ended:
            self.ended = True
            self._inbox.close()
            self.run.node_ended(self)

    def close(self) -> None:  # noqa: B027 - most nodes have none
        """Let go of threads and processes. The run is over."""

    def count_failure(self, item: Item, error: GenerationError) -> None:
        """Count a row that failed, and write it down; it may be one too many."""
        self.stats.rows_failed += 1
        self.stats.failures[type(error).__name__] += 1
        self._write_failure(item, error)
        observer = self.run.observers.row_failed
        if observer is not None:
            observer(run=self.info, id=item.id, row=item.row, error=error)
        limit = failure_limit(self.stats, self.run.options.max_failed, error)
        if limit is not None:
            self.run.fail(self, limit)

    def _write_failure(self, item: Item, error: GenerationError) -> None:
        """Write a row that failed down. Where that cannot be done the run is stopped; the row goes on as any other.

        It does not raise: the row would be lost, and who waits for all that comes of its root would wait for ever.
        """
        try:
            self.run.write_failure(self.name, item.id, item.row, error)
        except Exception as exc:  # noqa: BLE001 - a full disk, mostly; whatever it is, the taker must hear of it
            self.run.fail(self, exc)

    def after_failure(self, item: Item, error: GenerationError) -> list[Row]:
        """Count a row that failed; what the step's policy makes of it goes on."""
        self.count_failure(item, error)
        policy = getattr(self.step, "on_error", "keep")
        if policy == "raise":
            failure = RowFailedError(task=self.name, index=item.root.index, error=error, kind=self.kind)
            failure.__cause__ = error
            self.run.fail(self, failure)
        if policy != "keep" or self.kind == "router":  # which has nowhere to send it
            return []
        renamed = getattr(self.step, "output_mappings", {})
        nulls = {renamed.get(name, name): None for name in self.step.outputs}
        metadata = item.row.get(METADATA)
        beside = metadata if isinstance(metadata, dict) else {}
        return [{**item.row, **nulls, METADATA: {**beside, f"error_{self.name}": error_record(error)}}]
