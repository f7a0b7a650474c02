"""One run of a pipeline: its nodes, what moves between them, and how it ends.

All of it happens on the portal's loop, but for the preparation and the closing, which may wait.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

from .._engine.budget import check_priced
from .._engine.cache import open_cache
from .._engine.failures import Failures
from .._engine.ledger import FAILED_FILE, release_ledger, shared_ledger
from .._engine.observers import Observers, PipelineInfo, RunInfo
from .._engine.portal import portal
from .._engine.prices import Pricing
from .._engine.stats import RunStats
from .._registry.registry import default_registry
from .._step import GeneratorStep, GlobalStep, Sink
from .._task.task import Task
from ..errors import ConfigurationError, MissingColumnError
from ..types import Durability, StoredRequests
from .drawing import kind_of
from .graph import declared_columns, is_source
from .layout import regions_of
from .nodes.global_step import GlobalNode
from .nodes.in_order import InOrderNode
from .nodes.join import JoinNode
from .nodes.node import Edge, Node
from .nodes.source import SourceNode
from .nodes.step import StepNode
from .nodes.task import TaskNode
from .outlets import Outlet, Writer
from .report import Reporter
from .rows import Rows
from .run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .._engine.budget import Budget
    from .._engine.cache import CacheSource, ResponseCache
    from .._engine.jobs import Job
    from .._engine.prices import PriceTable
    from .._engine.rerun import RerunPlan
    from ..errors import GenerationError
    from ..types import Row
    from .estimating import Meter
    from .graph import Pipeline
    from .lineage import Item, Root
    from .outlets import Taker
    from .streaming import Consumer

# As many as a task's own stream looks at before it misses a column.
_LOOK_AHEAD_ROWS = 256


@dataclass(frozen=True, slots=True)
class Options:
    """How a pipeline is run; see `Pipeline.run`.

    Attributes:
        ask: False to take stored answers only: nothing is loaded that would ask.
    """

    run_dir: str | Path | None = None
    ordered: bool = True
    max_failed: float | None = None
    durability: Durability = "normal"
    ledger_requests: StoredRequests = "full"
    overwrite: bool = False
    observers: Sequence[object] = ()
    ask: bool = True
    prices: PriceTable | None = None
    budget: Budget | None = None
    cache: CacheSource = None
    reruns: Mapping[str, tuple[Task, RerunPlan]] = field(default_factory=dict)
    meter: Meter | None = None

    def __post_init__(self) -> None:
        """Refuse what a type checker would have.

        Raises:
            ConfigurationError: an option has no such value.
        """
        for name, known in (("durability", get_args(Durability)), ("ledger_requests", get_args(StoredRequests))):
            if getattr(self, name) not in known:
                raise ConfigurationError(f"`{name}` is {getattr(self, name)!r}; it is {' or '.join(map(repr, known))}.")
        if self.max_failed is not None and not self.max_failed >= 0:
            raise ConfigurationError(f"`max_failed` is {self.max_failed!r}; it is a count, or a fraction below 1.")
        if not isinstance(self.observers, list | tuple):
            raise ConfigurationError("`observers` is a list of objects with hooks: write `observers=[observer]`.")


class Runner:
    """Moves rows through a pipeline.

    Args:
        pipeline: checked. options: how it is run.
        sinks: a sink for each leaf that is none, unless `taker` is given.
        taker: who gets the rows of the one leaf; of a sink, those that it has written.
        finished: called once, on a thread of its own, when all is closed; with what stopped the run, or None.

    Raises:
        LimbeckError: something is wrong that shows before a row moves; nothing is left open.

    Attributes:
        error: what stopped it, or None. failing: whether it is being stopped.
        folder: the run directory, or None. reporter: gathers the report.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        options: Options,
        *,
        sinks: Mapping[str, Sink],
        taker: Consumer | None,
        finished: Callable[[BaseException | None], object],
    ) -> None:
        self.loop = portal().loop
        self.options = options
        self.error: BaseException | None = None
        self.failing = False
        self.folder = RunFolder(options.run_dir) if options.run_dir is not None else None
        self._pipeline = pipeline
        asking = {name: task for name, (task, _) in options.reruns.items()}
        self._steps = {**pipeline.steps, **asking}
        self._sinks = {**{name: step for name, step in self._steps.items() if isinstance(step, Sink)}, **sinks}
        self._taker = taker
        self._finished = finished
        self.info = PipelineInfo(uuid.uuid4().hex, pipeline.name, list(self._steps), pipeline.edges)
        self.reporter = Reporter(self.info, self.folder)
        self.hooks = default_registry().hooks.with_plugins([self.reporter, *options.observers])
        self.observers = Observers(self.hooks)
        self._ledger: Any = None
        self.cache: ResponseCache | None = None
        self._nodes: dict[str, Node] = {}
        self._exits: dict[str, Outlet] = {}  # where the rows of each leaf leave
        self._collected: dict[str, Outlet] = {}  # where rows go that a step over all of them is given
        self._taking = 0  # takers that have not got their last row
        self._closing = False
        self._idle: set[Any] = set()  # nodes whose rows nobody wants
        self._loaded: list[Any] = []
        self._opened: list[Sink] = []
        self._at_work: list[_SinkAtWork] = []
        self._failures: dict[str, Failures] = {}
        try:
            self._prepare()
        except BaseException:
            self._let_go(finished=False)
            raise

    # Before a row moves

    def _prepare(self) -> None:
        self._check_prices()
        self._open_sinks()
        for step in self._steps.values():
            self._loaded.append(step)
            if hasattr(step, "load") and (self.options.ask or not isinstance(step, Task)):
                step.load()
        self.cache = open_cache(self.options.cache, own=None if self.folder is None else self.folder.path)
        if self.folder is not None:  # last, so that a run that cannot begin leaves no directory behind
            self._ledger = shared_ledger(
                self.folder.path, durability=self.options.durability, requests=self.options.ledger_requests
            )
            self.folder.note(self._pipeline, [target for sink in self._opened for target in sink.targets()])
        for name, step in self._steps.items():
            if not isinstance(step, Sink):
                self._nodes[name] = self._node(step)
        for name in self._steps:
            self._link(name)
        self._lay_out()

    def _open_sinks(self) -> None:
        owners: dict[str, str] = {}
        for sink in self._sinks.values():
            for target in sink.targets():
                other = owners.setdefault(target, sink.name)
                if other != sink.name:
                    raise ConfigurationError(f"The sinks {other!r} and {sink.name!r} both write {target!r}.")
            sink.open(replace=self.options.overwrite or sink.overwrite or self._made_here(sink))
            self._opened.append(sink)

    def _check_prices(self) -> None:
        """Raise before anything is opened where a cap on the cost cannot be kept."""
        prices, budget = self.options.prices, self.options.budget
        for step in self._steps.values():
            if budget is not None and isinstance(step, Task):
                check_priced(budget, Pricing(step.llm, table=prices, registry=default_registry()))

    def _made_here(self, sink: Sink) -> bool:
        return self.folder is not None and bool(sink.targets()) and all(map(self.folder.made, sink.targets()))

    def _node(self, step: Any) -> Node:
        kind = kind_of(step)
        if isinstance(step, Task):
            return TaskNode(self, step, self._ledger)
        if isinstance(step, GeneratorStep):
            rows = getattr(step, "rows", None)
            lots: Any = rows if hasattr(rows, "__aiter__") else step.process()
            return SourceNode(self, step, lots, seen=declared_columns(step) is not None)
        if isinstance(step, GlobalStep):
            return GlobalNode(self, step)
        if kind == "join":
            return JoinNode(self, step, kind)
        cls = InOrderNode if getattr(step, "in_order", False) else StepNode
        return cls(self, step, kind, self._ledger)

    def _link(self, name: str) -> None:
        """Join a step to those that lead to it, and a leaf to where rows leave."""
        before = [self._nodes[each] for each in self._pipeline.before(name)]
        target = self._target(name)
        for number, node in enumerate(before):
            meets = len(before) > 1 and not isinstance(target, JoinNode)
            self._lead(node, target, number if meets else None, number)
        if isinstance(target, Node):
            target.leads = len(before)
            if not before and is_source(target.step) and not isinstance(target, SourceNode):
                self._seed(target)
        if name in self._nodes and not self._pipeline.after(name):
            self._lead(self._nodes[name], self._exit(name), None, 0)

    def _exit(self, name: str) -> Outlet:
        """Where the rows of a leaf leave."""
        exit = self._exits[name] = Outlet(name, ordered=self.options.ordered)
        exit.taker = self._taker_of(name, exit)
        return exit

    def _lead(self, node: Node, target: Node | Outlet, number: int | None, branch: int) -> None:
        node.followers.append(Edge(node.name, target, number, branch))
        target.before.append(node)

    def _target(self, name: str) -> Node | Outlet:
        """What takes the rows that go to a step; a step over all rows is given them in order, as they leave."""
        node = self._nodes.get(name)
        if node is None:
            return self._exit(name)
        if isinstance(node, GlobalNode):
            given = self._collected[name] = Outlet(name, ordered=True)
            given.taker = node
            return given
        return node

    def _taker_of(self, name: str, exit: Outlet) -> Taker:
        """Who gets the rows of a leaf."""
        self._taking += 1
        sink = self._sinks.get(name)
        if sink is None:
            assert self._taker is not None  # a leaf has a sink, or is taken from
            self._taker.begin(
                room=lambda: self.call_on_loop(exit.room), done=lambda: self.call_on_loop(self._taker_done)
            )
            return self._taker
        at_work = _SinkAtWork(self, sink, exit, self._taker)
        if name not in self._nodes:  # else it keeps the rows of a leaf that has counters of its own
            self._at_work.append(at_work)
        return at_work.writer

    def _seed(self, node: Node) -> None:
        """Have a task that makes its own rows be led to by its seeds."""
        settings = self._pipeline.run_settings
        limit = settings.limit if settings is not None else None
        rows = Rows.model_construct(name=f"{node.name} seeds", rows=islice(node.step.seeds(), limit))
        seeds = self._nodes[rows.name] = SourceNode(self, rows, rows.process(), seen=True)
        self._lead(seeds, node, None, 0)
        node.leads = 1

    def _lay_out(self) -> None:
        """Tell each origin where its rows may leave, and which joins they meet."""
        for name, region in regions_of(self._pipeline).items():
            node = self._nodes.get(f"{name} seeds", self._nodes[name])
            assert isinstance(node, SourceNode | GlobalNode)  # others are led to
            node.origin.waits = {each: leading | {node.name} for each, leading in region.waits.items()}
            for each in region.waits:
                gated = self._nodes[each]
                if isinstance(gated, InOrderNode):
                    node.origin.gates.append(gated.gate)
                    gated.gate.add(node.origin)
            for join, at in region.parts.items():
                self._nodes[at].parts.append(join)
            for exit in region.exits:
                ends = exit != name and isinstance(self._nodes.get(exit), GlobalNode)
                outlet = self._collected[exit] if ends else self._exits[exit]
                node.origin.outlets.append(outlet)
                outlet.add(node.origin)

    def columns_seen(self, source: SourceNode, rows: Sequence[Any], *, complete: bool) -> bool:
        """Whether to let the first rows of a source go: every column that is needed behind it is in some of them.

        Stops the run once it is clear that one is in none.
        """
        columns = list(dict.fromkeys(column for row in rows if isinstance(row, dict) for column in row))
        enough = complete or len(rows) >= _LOOK_AHEAD_ROWS
        begin = (name for name in self._steps if not self._pipeline.before(name))
        declared = {name: declared_columns(self._steps[name]) for name in begin}
        try:
            self._pipeline.check_columns({**declared, source.name: columns})
        except MissingColumnError as exc:
            if enough and rows:
                self.fail(source, exc)
            return enough
        return enough or bool(columns)

    # Running

    def start(self) -> None:
        """Let the rows move."""
        self.call_on_loop(self._start)

    def _start(self) -> None:
        observer = self.hooks.observer("limbeck_pipeline_started")
        if observer is not None:
            observer(pipeline=self.info)
        for sink in self._at_work:
            self.started(sink.info)
        for node in list(self._nodes.values()):
            node.start()

    async def read_async(self) -> None:
        """Read the async iterables among the sources, on the caller's loop, to their end."""
        await asyncio.gather(
            *(node.read_async() for node in self._nodes.values() if isinstance(node, SourceNode) and node.is_async)
        )

    def started(self, info: RunInfo) -> None:
        """A step that is no task begins."""
        if self.observers.run_started is not None:
            self.observers.run_started(run=info)

    def entered(self, node: Node, root: Root) -> None:
        """An item of `root` is at `node`."""
        root.pending += 1
        if root.before:
            for each, leading in root.origin.waits.items():
                root.before[each] += node.name in leading

    def send(
        self, node: Node, item: Item, rows: list[Row], *, only: Sequence[str] | None = None, counted: bool = False
    ) -> None:
        """Rows came of an item, at a node: they go on, and the item has been.

        Args:
            only: names of those that follow, where the rows do not go to all.
            counted: whether they are counted as the node's already.
        """
        if not counted:
            node.stats.rows_out += len(rows)
        if rows:
            edges = node.followers
            if only is not None:
                edges = [edge for edge in edges if edge.target.name in only]
            for child in item.children(rows):
                if node.parts:
                    child.parted = {**(child.parted or {}), **dict.fromkeys(node.parts, child)}
                _deliver(child, edges)
        self._left(node, item.root)

    def give_up(self, node: Node, item: Item) -> None:
        """Nothing will come of an item, for the run is being stopped."""
        item.root.partial = True
        self._left(node, item.root)

    def _left(self, node: Node, root: Root) -> None:
        """An item of `root` is at `node` no more."""
        root.pending -= 1
        if root.before:
            self._tell_waiting(node, root)
        if not root.pending:
            root.pending = -1  # once
            self._complete(root)

    def _tell_waiting(self, node: Node, root: Root) -> None:
        """Let go on what waited for an item of `root` that was at `node`, once it was the last."""
        for each, leading in root.origin.waits.items():
            if node.name in leading:
                root.before[each] -= 1
                if not root.before[each]:
                    at = self._nodes[each]
                    assert isinstance(at, JoinNode | InOrderNode)  # the steps that wait
                    at.all_there(root)

    def _complete(self, root: Root) -> None:
        """All that came of a root is where it may leave."""
        arrived = root.arrived
        if len(arrived) > 1:
            arrived.sort(key=lambda each: each[1])
        for outlet in root.origin.outlets:
            outlet.settle(root.origin, root.index, [row for at, _, row in arrived if at is outlet])

    # Failures

    def write_failure(self, name: str, id: str, row: Row, error: GenerationError) -> None:
        """Keep a row that failed, with its error, to be fed back."""
        failures = self._failures_of(name)
        if failures is not None:
            failures.write_row(id, row, [(0, error)])

    def failed_jobs(self, name: str) -> Callable[[Job], object] | None:
        """What keeps the rows of a task that failed."""
        failures = self._failures_of(name)
        return failures.write if failures is not None else None

    def _failures_of(self, name: str) -> Failures | None:
        if self.folder is None:
            return None
        if name not in self._failures:
            self._failures[name] = Failures(self.folder.path / FAILED_FILE, name)
        return self._failures[name]

    # Ending

    def fail(self, node: Node | None, error: BaseException) -> None:
        """Stop the sources and what leads to `node`; what went past it finishes. None: stop everything."""
        self.error = self.error or error
        self.failing = True
        doomed = set(self._nodes.values()) if node is None else self._leading_to(node)
        for other in list(self._nodes.values()):
            if other in doomed or isinstance(other, SourceNode):
                other.stop()

    def satisfied(self, node: Node) -> None:
        """A step wants no more rows: it is stopped, and with it all that leads nowhere else."""
        idle: set[Any] = {node}
        for other in reversed(list(self._nodes.values())):
            if other.followers and all(edge.target in idle or edge.target in self._idle for edge in other.followers):
                idle.add(other)
        self._idle |= idle
        for each in idle:
            each.retire()

    def _leading_to(self, node: Node) -> set[Node]:
        found: set[Node] = set()
        waiting = [node]
        while waiting:
            at = waiting.pop()
            if at not in found:
                found.add(at)
                waiting += at.before
                waiting += self._collected[at.name].before if at.name in self._collected else []
        return found

    def stop(self) -> None:
        """Ask no more, anywhere; rows that are done still leave. Safe in any thread, and in a signal handler."""
        self.call_on_loop(self._stop)

    def _stop(self) -> None:
        self.failing = True
        for node in list(self._nodes.values()):
            node.stop()

    def call_on_loop(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have the portal's loop call something soon."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function, *arguments)

    def node_ended(self, node: Node) -> None:
        """A node will send nothing more."""
        for edge in node.followers:
            if isinstance(edge.target, Node):
                edge.target.lead_ended()
        if isinstance(node, SourceNode | GlobalNode):
            for outlet in (*node.origin.gates, *node.origin.outlets):
                outlet.end_if_done()
        if not isinstance(node, TaskNode):
            self.ended(node.info)
        self._finish_if_over()

    def ended(self, info: RunInfo) -> None:
        """A step that is no task has ended."""
        if self.observers.run_finished is not None:
            self.observers.run_finished(run=info, stats=info.stats, error=None)

    def _taker_done(self) -> None:
        self._taking -= 1
        self._finish_if_over()

    def sink_done(self, sink: _SinkAtWork) -> None:
        """A sink has written its last row. Called in any thread."""
        if sink in self._at_work:
            self.call_on_loop(self.ended, sink.info)
        self.call_on_loop(self._taker_done)

    def _finish_if_over(self) -> None:
        if not self._closing and not self._taking and all(node.ended for node in self._nodes.values()):
            self._closing = True
            threading.Thread(target=self._close, name="limbeck-closing").start()

    def _close(self) -> None:
        finished = self.error is None and not self.failing
        try:
            self._let_go(finished=finished)
        except Exception as exc:  # noqa: BLE001 - whatever a sink or a step raises at its end
            self.error = self.error or exc
        self.reporter.close(self.error, stopped=not finished)
        observer = self.hooks.observer("limbeck_pipeline_finished")
        if observer is not None:
            observer(pipeline=self.info, report=self.reporter.report(), error=self.error)
        self._finished(self.error)

    def _let_go(self, *, finished: bool) -> None:
        """Close everything, whatever one of them raises; then raise the first of that."""
        with ExitStack() as stack:
            if self._ledger is not None:
                stack.callback(release_ledger, self._ledger)
            for failures in self._failures.values():
                stack.callback(failures.close)
            for step in self._loaded:
                if hasattr(step, "unload"):
                    stack.callback(step.unload)
            for node in self._nodes.values():
                stack.callback(node.close)
            for sink in self._opened:
                stack.callback(sink.close, finished=finished)
            if self.cache is not None:
                stack.callback(self.cache.close)


class _SinkAtWork:
    """A sink with its thread and its counters.

    Args:
        taker: who gets the rows too, once they are written.
    """

    def __init__(self, runner: Runner, sink: Sink, exit: Outlet, taker: Consumer | None) -> None:
        self._runner = runner
        self._sink = sink
        self._taker = taker
        self._stats = RunStats()
        self.info = RunInfo(uuid.uuid4().hex, sink.name, None, "sink", self._stats, runner.info)
        self.writer = Writer(
            sink.name,
            self._write,
            room=lambda: runner.call_on_loop(exit.room),
            failed=lambda error: runner.call_on_loop(runner.fail, None, self._told(error)),
            done=self._done,
        )

    def _write(self, rows: list[Row]) -> None:
        self._sink.write(rows)
        self._stats.rows_in += len(rows)
        self._stats.rows_done += len(rows)
        if self._taker is not None:
            self._taker.give_waiting(rows)

    def _told(self, error: Exception) -> Exception:
        if not isinstance(error, OSError):
            return error
        told = ConfigurationError(f"{self._sink.name!r} cannot write any further: {error.strerror or error}.")
        told.__cause__ = error
        return told

    def _done(self) -> None:
        self._runner.sink_done(self)


def _deliver(child: Item, edges: Sequence[Edge]) -> None:
    """Have an item arrive wherever it goes; each branch after the first gets a row of its own."""
    for place, edge in enumerate(edges):
        sent = child.copy() if place else child
        edge.target.arrive(sent if edge.number is None else sent.by(edge.number, edge.name), edge)
