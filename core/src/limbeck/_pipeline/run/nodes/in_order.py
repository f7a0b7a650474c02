"""The node of a step that rows must come to in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..items.outlets import Gate
from .step import StepNode

if TYPE_CHECKING:
    from ...._engine.ledger.ledger import Ledger
    from ..items.lineage import Item, Root
    from .node import Edge, Run


class InOrderNode(StepNode):
    """A step that rows must come to in their order: those that are early wait at its gate."""

    def __init__(self, run: Run, step: Any, kind: str, ledger: Ledger | None) -> None:
        super().__init__(run, step, kind, ledger)
        self.gate = Gate(self.name, self._take_in)

    def arrive(self, item: Item, edge: Edge) -> None:
        """Keep the item with its root until all are there."""
        self.run.entered(self, item.root)
        item.root.waiting.setdefault(self.name, []).append((edge.branch, item))

    def all_there(self, root: Root) -> None:
        """Let a root pass when it is its turn: all that will come of it is there."""
        waiting = sorted(root.waiting.pop(self.name, ()), key=lambda each: each[1].order)
        self.gate.hold(root, [item for _, item in waiting])

    @property
    def _held(self) -> bool:
        return self.gate.holds
