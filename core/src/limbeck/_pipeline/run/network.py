"""The nodes of a pipeline, led to one another as its graph says, and the outlets where rows leave."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from ..._engine.threads.reading import let_go
from ..._step import GeneratorStep, GlobalStep, Sink
from ..._task.task import ModelTask
from ..graph.kinds import declared_columns, is_source, kind_of
from ..graph.layout import regions_of
from ..steps.rows import Rows
from .items.outlets import Outlet
from .nodes.global_step import GlobalNode
from .nodes.in_order import InOrderNode
from .nodes.join import JoinNode
from .nodes.node import Edge, Node
from .nodes.sink import SinkAtWork
from .nodes.source import SourceNode
from .nodes.step import StepNode
from .nodes.task import TaskNode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..._engine.ledger.ledger import Ledger
    from ..graph.graph import Graph
    from .items.takers import Consumer, Taker
    from .nodes.node import Run


class Network:
    """The parts of a run; empty until it is built, so that what was made of it can be closed if that fails.

    Args:
        run: what the nodes are a part of. graph: its graph. steps: those that are run, by name, in topological order.
        sinks: by the names of leaves. taker: who gets the rows of a leaf without one.

    Attributes:
        nodes: by name, in topological order, but for the seeds of tasks, which come last.
        collected: where rows go that a step over all of them is given.
        sinks_at_work: those that have counters of their own. takers: of rows that leave, how many.
    """

    def __init__(
        self,
        run: Run,
        graph: Graph,
        steps: Mapping[str, Any],
        *,
        sinks: Mapping[str, Sink],
        taker: Consumer | None,
    ) -> None:
        self.nodes: dict[str, Node] = {}
        self.collected: dict[str, Outlet] = {}
        self.sinks_at_work: list[SinkAtWork] = []
        self.takers = 0
        self._run = run
        self._graph = graph
        self._steps = steps
        self._sinks = sinks
        self._taker = taker
        self._exits: dict[str, Outlet] = {}  # where the rows of each leaf leave

    def build(self, ledger: Ledger | None) -> None:
        """Make the nodes, and lead them to one another.

        Raises:
            LimbeckError: a step cannot be run.
        """
        for name, step in self._steps.items():
            if not isinstance(step, Sink):
                self.nodes[name] = self._node(step, ledger)
        for name in self._steps:
            self._link(name)
        self._lay_out()

    def _node(self, step: Any, ledger: Ledger | None) -> Node:
        kind = kind_of(step)
        if isinstance(step, ModelTask):
            return TaskNode(self._run, step, ledger)
        if isinstance(step, GeneratorStep):
            rows = getattr(step, "rows", None)
            chunks: Any = rows if hasattr(rows, "__aiter__") else step.process()
            return SourceNode(self._run, step, chunks, seen=declared_columns(step) is not None)
        if isinstance(step, GlobalStep):
            return GlobalNode(self._run, step)
        if kind == "join":
            return JoinNode(self._run, step, kind)
        cls = InOrderNode if getattr(step, "in_order", False) else StepNode
        return cls(self._run, step, kind, ledger)

    def _link(self, name: str) -> None:
        """Join a step to those that lead to it, and a leaf to where rows leave."""
        upstream = [self.nodes[each] for each in self._graph.before(name)]
        target = self._target(name)
        for number, node in enumerate(upstream):
            meets = len(upstream) > 1 and not isinstance(target, JoinNode)
            self._connect(node, target, number if meets else None, number)
        if isinstance(target, Node):
            target.unended = len(upstream)
            if not upstream and is_source(target.step) and not isinstance(target, SourceNode):
                self._seed(target)
        if name in self.nodes and not self._graph.after(name):
            self._connect(self.nodes[name], self._exit(name), None, 0)

    def _exit(self, name: str) -> Outlet:
        """Make the outlet of a leaf."""
        exit = self._exits[name] = Outlet(name, ordered=self._run.options.ordered)
        exit.taker = self._taker_of(name, exit)
        return exit

    def _connect(self, node: Node, target: Node | Outlet, number: int | None, branch: int) -> None:
        node.downstream.append(Edge(node.name, target, number, branch))
        target.upstream.append(node)

    def _target(self, name: str) -> Node | Outlet:
        """The node or outlet for rows that go to a step; a step over all rows is given them in order, as they leave."""
        node = self.nodes.get(name)
        if node is None:
            return self._exit(name)
        if isinstance(node, GlobalNode):
            given = self.collected[name] = Outlet(name, ordered=True)
            given.taker = node
            return given
        return node

    def _taker_of(self, name: str, exit: Outlet) -> Taker:
        """The taker of a leaf's rows."""
        self.takers += 1
        sink = self._sinks.get(name)
        if sink is None:
            assert self._taker is not None  # a leaf has a sink, or is taken from
            call_on_loop, done = self._run.call_on_loop, self._run.taker_done
            self._taker.begin(room=lambda: call_on_loop(exit.room), done=lambda: call_on_loop(done))
            return self._taker
        at_work = SinkAtWork(self._run, sink, exit, self._taker)
        if name not in self.nodes:  # else it keeps the rows of a leaf that has counters of its own
            self.sinks_at_work.append(at_work)
        return at_work.writer

    def _seed(self, node: Node) -> None:
        """Have a task that makes its own rows be led to by its seeds."""
        limit = self._graph.file.limit if self._graph.file is not None else None
        rows = Rows.model_construct(name=f"{node.name} seeds", rows=_first(node.step.seeds(), limit))
        seeds = self.nodes[rows.name] = SourceNode(self._run, rows, rows.process(), seen=True)
        self._connect(seeds, node, None, 0)
        node.unended = 1

    def _lay_out(self) -> None:
        """Tell each origin where its rows may leave, and which joins they meet."""
        for name, region in regions_of(self._graph.steps, self._graph.edges).items():
            node = self.nodes.get(f"{name} seeds", self.nodes[name])
            assert isinstance(node, SourceNode | GlobalNode)  # others are led to
            node.origin.waits = {each: leading | {node.name} for each, leading in region.waits.items()}
            for each in region.waits:
                gated = self.nodes[each]
                if isinstance(gated, InOrderNode):
                    node.origin.gates.append(gated.gate)
                    gated.gate.add(node.origin)
            for join, at in region.parts.items():
                self.nodes[at].parts.append(join)
            for exit in region.exits:
                ends = exit != name and isinstance(self.nodes.get(exit), GlobalNode)
                outlet = self.collected[exit] if ends else self._exits[exit]
                node.origin.outlets.append(outlet)
                outlet.add(node.origin)


def _first(seeds: Iterable[Any], limit: int | None) -> Iterator[Any]:
    """The first seeds of a task, whose generator is closed with this one."""
    try:
        yield from islice(seeds, limit)
    finally:
        let_go(seeds)
