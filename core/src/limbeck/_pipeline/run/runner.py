"""One run of a pipeline: its nodes, what moves between them, and how it ends.

All of it happens on the portal's loop, but for the preparation and the closing, which may wait.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from ..._engine.answers.cache import open_cache
from ..._engine.calls.context import inside
from ..._engine.calls.observers import Observers
from ..._engine.ledger.failed_rows import FailedRows
from ..._engine.ledger.file import FAILED_FILE
from ..._engine.ledger.ledger import release_ledger, shared_ledger
from ..._engine.money.budget import check_priced
from ..._engine.money.prices import Pricing
from ..._engine.rows.copies import row_fault
from ..._engine.threads.handoff import call_on
from ..._engine.threads.portal import portal
from ..._files.drafts import mark_of
from ..._files.places import is_url
from ..._registry.registry import default_registry
from ..._step import Sink
from ..._task.task import ModelTask
from ...errors import ConfigurationError, LimbeckError, MissingColumnError, RowError, described
from ...types import PipelineInfo, RunInfo
from ..directory.report import Reporter
from ..directory.run_folder import RunFolder
from ..graph.kinds import declared_columns
from .items.outlets import Outlet
from .network import Network
from .nodes.global_step import GlobalNode
from .nodes.in_order import InOrderNode
from .nodes.join import JoinNode
from .nodes.node import Edge, Node
from .nodes.source import SourceNode
from .nodes.task import TaskNode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..._engine.answers.cache import ResponseCache
    from ..._engine.calls.jobs import Job
    from ...errors import GenerationError
    from ...types import Row
    from ..graph.graph import Graph
    from .items.lineage import Item, Root
    from .items.takers import Consumer
    from .options import PipelineOptions

# As many as a task's own stream looks at before it misses a column.
_LOOK_AHEAD_ROWS = 256


class Runner:
    """Moves rows through a pipeline.

    Args:
        graph: checked. options: how it is run.
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
        graph: Graph,
        options: PipelineOptions,
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
        self._graph = graph
        asking = {name: task for name, (task, _) in options.reruns.items()}
        self._steps = {**graph.steps, **asking}
        self._sinks = {**{name: step for name, step in self._steps.items() if isinstance(step, Sink)}, **sinks}
        self._finished = finished
        self.info = PipelineInfo(uuid.uuid4().hex, graph.name, tuple(self._steps), tuple(graph.edges))
        self.reporter = Reporter(self.info, self.folder)
        self.hooks = default_registry().hooks.with_plugins([self.reporter, *options.observers])
        self.context = copy_context()  # whoever called: what authors wrote is run in copies of it
        self.observers = Observers(self.hooks, self.context)
        self._ledger: Any = None
        self.cache: ResponseCache | None = None
        self._network = Network(self, graph, self._steps, sinks=self._sinks, taker=taker)
        self._nodes = self._network.nodes
        self._taking = 0  # takers that have not got their last row
        self._closing = False
        self._idle: set[Any] = set()  # nodes whose rows nobody wants
        self._loaded: list[Any] = []
        self._opened: list[Sink] = []
        self._failures: dict[str, FailedRows] = {}
        try:
            self._prepare()
        except BaseException:
            try:
                self._let_go(finished=False)
            finally:
                self._release_folder()
            raise

    # Before a row moves

    def _prepare(self) -> None:
        self._check_prices()
        self._open_sinks()
        for step in self._steps.values():
            self._loaded.append(step)
            if hasattr(step, "load") and (self.options.ask or not isinstance(step, ModelTask)):
                step.load()
        self.cache = open_cache(self.options.cache, own=None if self.folder is None else self.folder.path)
        if self.folder is not None:  # last, so that a run that cannot begin leaves no directory behind
            self._ledger = shared_ledger(
                self.folder.path, durability=self.options.durability, requests=self.options.ledger_requests
            )
            targets = {target: hasattr(sink, "guard") for sink in self._opened for target in sink.targets()}
            self.folder.note(self._graph, list(targets), unmarked=[each for each in targets if not targets[each]])
        self._network.build(self._ledger)
        self._taking = self._network.takers
        self.reporter.begin()

    def _open_sinks(self) -> None:
        owners: dict[str, str] = {}
        for sink in self._sinks.values():
            for target in sink.targets():
                other = owners.setdefault(target, sink.name)
                if other != sink.name:
                    raise ConfigurationError(f"The sinks {other!r} and {sink.name!r} both write {target!r}.")
            told = self.options.overwrite or sink.overwrite
            sink.open(replace=told or self._made_here(sink))
            if hasattr(sink, "guard"):
                sink.guard(partial(self._note_made, sink), replace=told)
            self._opened.append(sink)

    def _check_prices(self) -> None:
        """Raise before anything is opened where a cap on the cost cannot be kept."""
        prices, budget = self.options.prices, self.options.budget
        for step in self._steps.values():
            if budget is not None and isinstance(step, ModelTask):
                check_priced(budget, Pricing(step.llm, table=prices, registry=default_registry()))

    def _made_here(self, sink: Sink) -> bool:
        if self.folder is None or not sink.targets():
            return False
        marking: Any = sink  # which a sink of files can
        mark = marking.mark() if hasattr(sink, "guard") else None
        if mark is None and hasattr(sink, "guard"):
            return False  # there is nothing to be replaced
        return all(self.folder.made(target, mark) for target in sink.targets())

    def _note_made(self, sink: Sink, mark: str | None = None) -> None:
        """Note what a sink makes: by the mark that it tells, or by that of what is there."""
        for target in sink.targets():
            known = mark is not None or not is_url(target)  # of another kind of place, only its sink knows
            if self.folder is not None and known:
                self.folder.note_made(target, self._graph, mark or mark_of(target))

    def columns_seen(self, source: Node, rows: Sequence[Any], *, complete: bool) -> bool:
        """Tell whether to let the first rows of a source go: every column that is needed behind it is in some of them.

        Stops the run once it is clear that one is in none.
        """
        columns = list(dict.fromkeys(column for row in rows if isinstance(row, dict) for column in row))
        enough = complete or len(rows) >= _LOOK_AHEAD_ROWS
        begin = (name for name in self._steps if not self._graph.before(name))
        declared = {name: declared_columns(self._steps[name]) for name in begin}
        try:
            self._graph.check_columns({**declared, source.name: columns})
        except MissingColumnError as exc:
            if enough and rows:
                self.fail(source, exc if columns else _unread(rows) or exc)
            return enough
        return enough or bool(columns)

    # Running

    def start(self) -> None:
        """Let the rows move."""
        self.call_on_loop(self._start)

    def _start(self) -> None:
        observer = self.hooks.observer("limbeck_pipeline_started")
        if observer is not None:
            inside(self.context, observer)(pipeline=self.info)
        for sink in self._network.sinks_at_work:
            self.started(sink.info)
        for node in list(self._nodes.values()):
            node.start()

    async def read_async(self) -> None:
        """Read the async iterables among the sources, on the caller's loop, to their end."""
        await asyncio.gather(
            *(node.read_async() for node in self._nodes.values() if isinstance(node, SourceNode) and node.is_async)
        )

    def started(self, info: RunInfo) -> None:
        """Tell observers that a step that is no task begins."""
        if self.observers.run_started is not None:
            self.observers.run_started(run=info)

    def entered(self, node: Node, root: Root) -> None:
        """Count an item of `root` that is at `node`."""
        root.pending += 1
        if root.awaited:
            for each, leading in root.origin.waits.items():
                root.awaited[each] += node.name in leading

    def send(
        self, node: Node, item: Item, rows: list[Row], *, only: Sequence[str] | None = None, counted: bool = False
    ) -> None:
        """Send on the rows that came of an item at a node; the item has been.

        Args:
            only: names of those downstream, where the rows do not go to all.
            counted: whether they are counted as the node's already.
        """
        if not counted:
            node.stats.rows_out += len(rows)
        if rows:
            edges = node.downstream
            if only is not None:
                edges = [edge for edge in edges if edge.target.name in only]
            _deliver_all(node, item.children(rows), edges)
        self._left(node, item.root)

    def send_part(self, node: Node, item: Item, rows: list[Row]) -> Item:
        """Send on rows that came of an item of which more will come; the item that those come of.

        Where nothing else comes of its root, a root of its own: what came so far need not wait for the rest.
        """
        node.stats.rows_out += len(rows)
        children = item.children(rows, more=True)
        alone = not item.order and _is_alone(node)
        rest = item.root.split(item, node.name) if alone else item
        _deliver_all(node, children, node.downstream)
        if alone:
            self._pass_waits_behind(rest.root)
            self._left(node, item.root)
        return rest

    def _pass_waits_behind(self, root: Root) -> None:
        """Have the steps upstream not wait for a root that begins in the middle of the graph."""
        for each, awaited in root.awaited.items():
            if not awaited:
                self._tell_all_there(each, root)

    def give_up(self, node: Node, item: Item) -> None:
        """Give an item up, for the run is being stopped."""
        item.root.partial = True
        self._left(node, item.root)

    def _left(self, node: Node, root: Root) -> None:
        """Count off an item of `root` that is at `node` no more."""
        root.pending -= 1
        if root.awaited:
            self._tell_waiting(node, root)
        if not root.pending:
            root.pending = -1  # once
            self._complete(root)

    def _tell_waiting(self, node: Node, root: Root) -> None:
        """Let go on what waited for an item of `root` that was at `node`, once it was the last."""
        for each, leading in root.origin.waits.items():
            if node.name in leading:
                root.awaited[each] -= 1
                if not root.awaited[each]:
                    self._tell_all_there(each, root)

    def _tell_all_there(self, each: str, root: Root) -> None:
        at = self._nodes[each]
        assert isinstance(at, JoinNode | InOrderNode)  # the steps that wait
        at.all_there(root)

    def _complete(self, root: Root) -> None:
        """Let all that came of a root leave."""
        arrived = root.arrived
        if len(arrived) > 1:
            arrived.sort(key=lambda each: each[1])
        for outlet in root.origin.outlets:
            outlet.settle(root, [row for at, _, row in arrived if at is outlet])

    # Failures

    def write_failure(self, name: str, id: str, row: Row, error: GenerationError) -> None:
        """Keep a row that failed, with its error, to be fed back."""
        failures = self._failures_of(name)
        if failures is not None:
            failures.write_row(id, row, error)

    def failed_jobs(self, name: str) -> Callable[[Job], object] | None:
        """The keeper of a task's failed rows."""
        failures = self._failures_of(name)
        return failures.write if failures is not None else None

    def _failures_of(self, name: str) -> FailedRows | None:
        if self.folder is None:
            return None
        if name not in self._failures:
            model_name = getattr(getattr(self._steps[name], "llm", None), "model_name", None)
            self._failures[name] = FailedRows(self.folder.path / FAILED_FILE, name, model_name)
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

    def stop_exhausted(self, node: Node) -> None:
        """Stop a step that wants no more rows, and with it all that leads nowhere else."""
        self._idle.add(node)
        found = [node]
        for each in found:  # and what is found on the way
            for other in self._directly_upstream(each):
                if other not in self._idle and all(map(self._is_idle, (edge.target for edge in other.downstream))):
                    self._idle.add(other)
                    found.append(other)
        for each in found:
            each.retire()

    def _is_idle(self, target: Node | Outlet) -> bool:
        """Tell whether nobody wants what comes to `target`, which may collect rows for a step over all of them."""
        return (target.taker if isinstance(target, Outlet) else target) in self._idle

    def _directly_upstream(self, node: Node) -> list[Node]:
        into = (node, self._network.collected.get(node.name))
        return [each for each in self._nodes.values() if any(edge.target in into for edge in each.downstream)]

    def _leading_to(self, node: Node) -> set[Node]:
        found: set[Node] = set()
        waiting = [node]
        while waiting:
            at = waiting.pop()
            if at not in found:
                found.add(at)
                waiting += self._directly_upstream(at)
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
        call_on(self.loop, function, *arguments)

    def node_ended(self, node: Node) -> None:
        """Note that a node will send nothing more."""
        for edge in node.downstream:
            if isinstance(edge.target, Node):
                edge.target.upstream_ended()
        if isinstance(node, SourceNode | GlobalNode):
            for outlet in (*node.origin.gates, *node.origin.outlets):
                outlet.end_if_done()
        if not isinstance(node, TaskNode):
            self.ended(node.info)
        self._finish_if_over()

    def ended(self, info: RunInfo) -> None:
        """Tell observers that a step that is no task has ended."""
        if self.observers.run_finished is not None:
            self.observers.run_finished(run=info, stats=info.stats, error=None)

    def taker_done(self) -> None:
        """Note that a taker has got the last of the rows that leave."""
        self._taking -= 1
        self._finish_if_over()

    def sink_done(self, info: RunInfo) -> None:
        """Note that a sink has written its last row. Called in any thread."""
        if any(sink.info is info for sink in self._network.sinks_at_work):
            self.call_on_loop(self.ended, info)
        self.call_on_loop(self.taker_done)

    def _finish_if_over(self) -> None:
        if not self._closing and not self._taking and all(node.ended for node in self._nodes.values()):
            self._closing = True
            threading.Thread(target=self._close, name="limbeck-closing").start()

    def _close(self) -> None:
        """Close all there is; whatever goes wrong, the directory is given back, and whoever waits hears of the end."""
        finished = self.error is None and not self.failing
        self._attempt(self._let_go, finished=finished)
        self._attempt(self.reporter.close, self.error, stopped=not finished)
        self._attempt(self._release_folder)  # another run that begins here must find the report of this one
        self._attempt(self._tell_observers)
        self._finished(self.error)

    def _attempt(self, part: Callable[..., object], *arguments: Any, **options: Any) -> None:
        """Do a part of the closing; what is raised is what stopped the run, if nothing did before."""
        try:
            part(*arguments, **options)
        except Exception as exc:  # noqa: BLE001 - whatever a sink, a step or a disk raises at the end
            self.error = self.error or exc
        except BaseException as exc:  # noqa: BLE001 - an author's `sys.exit`, which is not to end the user's program
            error = ConfigurationError(f"What was to be closed at the end of the run raised {described(exc)}")
            error.__cause__ = exc
            self.error = self.error or error

    def _tell_observers(self) -> None:
        observer = self.hooks.observer("limbeck_pipeline_finished")
        if observer is not None:
            inside(self.context, observer)(pipeline=self.info, report=self.reporter.report(), error=self.error)

    def _let_go(self, *, finished: bool) -> None:
        """Close all but the ledger, whatever is raised; then raise the last of that, with the rest as its context."""
        with ExitStack() as stack:
            for failures in self._failures.values():
                stack.callback(failures.close)
            for step in self._loaded:
                if hasattr(step, "unload"):
                    stack.callback(step.unload)
            for node in self._nodes.values():
                stack.callback(node.close)
            for sink in self._opened:
                if not hasattr(sink, "guard") and sink.targets() and self._ledger is not None:
                    stack.callback(self._note_made, sink)  # once it is closed
                stack.callback(sink.close, finished=finished)
            if self.cache is not None:
                stack.callback(self.cache.close)

    def _release_folder(self) -> None:
        """Give the run directory back, whose lock is the ledger's."""
        if self._ledger is not None:
            release_ledger(self._ledger)


def _is_alone(node: Node) -> bool:
    """Tell whether one row at a time comes to `node` of each root, however long that takes: no branches lead here."""
    while node.upstream:
        if len(node.upstream) > 1 or len(node.upstream[0].downstream) > 1:
            return False
        (node,) = node.upstream
    return True


def _deliver_all(node: Node, children: list[Item], edges: Sequence[Edge]) -> None:
    for child in children:
        if node.parts:
            child.parted = {**(child.parted or {}), **dict.fromkeys(node.parts, child)}
        _deliver(child, edges)


def _deliver(child: Item, edges: Sequence[Edge]) -> None:
    """Have an item arrive wherever it goes; each branch after the first gets a row of its own."""
    for place, edge in enumerate(edges):
        sent = child.copy() if place else child
        edge.target.arrive(sent if edge.number is None else sent.by(edge.number, edge.name), edge)


def _unread(rows: Sequence[Any]) -> LimbeckError | None:
    """The reason why there is no row to see columns in, or None."""
    error = next((row for row in rows if isinstance(row, RowError)), None)
    fault = row_fault(rows[0]) if error is None else None
    return error if fault is None else ConfigurationError(f"No row can be read: {fault}")
