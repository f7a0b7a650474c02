"""The node of a join, where branches meet again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....errors import RowError, described, has_message
from ..items.lineage import Item
from .node import Node

if TYPE_CHECKING:
    from ..items.lineage import Root
    from .node import Edge


class JoinNode(Node):
    """Joins the rows of one origin again, once no other row of the same root can come any more."""

    def arrive(self, item: Item, edge: Edge) -> None:
        """Keep the item with its root until all are there."""
        self.run.entered(self, item.root)
        self.stats.rows_in += 1
        item.root.waiting.setdefault(self.name, []).append((edge.branch, item))

    def pump(self) -> None:
        if not self.unended:
            self.end()

    def all_there(self, root: Root) -> None:
        """Join what came of a root: all that will come of it is there."""
        waiting = root.waiting.pop(self.name, ())
        groups: dict[str, list[tuple[int, Item]]] = {}
        for branch, item in sorted(waiting, key=lambda each: each[1].order):
            if root.partial:
                self.run.give_up(self, item)
            else:
                groups.setdefault(self._origin_of(item).id, []).append((branch, item))
        for group in groups.values():
            self._join(group)

    def _origin_of(self, item: Item) -> Item:
        assert item.parted is not None  # every item on its way to a join was marked where the branches part
        return item.parted[self.name]

    def _join(self, group: list[tuple[int, Item]]) -> None:
        origin = self._origin_of(group[0][1])
        branches = [[item.row for at, item in group if at == branch] for branch in range(len(self.upstream))]
        try:
            rows = [self.step.joined(origin.row, branches)]
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of a join: one row, an author's `sys.exit` too
            tells = isinstance(exc, Exception) and has_message(exc)  # a value may raise anything where it is compared
            rows = self.after_failure(origin, RowError(f"Join {self.name!r}: {exc if tells else described(exc)}."))
        for _, item in group[1:]:
            self.run.send(self, item, [])
        self.stats.rows_done += len(group)
        self.run.send(self, Item(origin.root, origin.id, origin.order, origin.row, origin.parted), rows)
