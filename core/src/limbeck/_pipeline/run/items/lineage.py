"""The descent of rows: ids for the ledger, the order of the output, and when all that came of a row is in.

A source row (or a row of a `GlobalStep`'s result) is a root. Everything that comes of it is an
item on its way to a step. A root is complete when no item of it is on its way any more; what
arrived where rows leave is then known to be all.

Ids are paths: `17` is the row's position in its source, `17.2` the third of several rows that
came of it, `17[small]` the one that came by the step `small` to where several edges meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...._engine.rows.copies import own_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....types import Row
    from .outlets import Outlet


class Origin:
    """The step where roots begin: a source, or a step that was given all rows.

    Attributes:
        name: the step's. count: rows so far. exhausted: whether there will be no more.
        roots: how many there are, with those that were split off. last: the last of them, in their order.
        waits: the steps downstream that wait until all that may come of a row has come, by name,
            each with the names of those that lead to it.
        outlets: where its rows may leave. gates: where they wait for their turn on the way.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.exhausted = False
        self.roots = 0
        self.waits: dict[str, frozenset[str]] = {}
        self.last = Root(self, -1)  # before the first
        self.outlets: list[Outlet] = []
        self.gates: list[Outlet] = []

    def next_root(self) -> Root:
        """A root for its next row."""
        root = Root(self, self.count)
        self.count += 1
        self.insert(root, after=self.last)
        return root

    def insert(self, root: Root, *, after: Root) -> None:
        """Put a root into the order."""
        root.number, root.next, after.next = self.roots, after.next, root
        self.roots += 1
        if after is self.last:
            self.last = root


class Root:
    """One row of an origin, and all that is still on its way of what came of it.

    A row of which very many come is split: each part of them is a root, right after the one before.

    Attributes:
        index: the row's, in its origin. number: unique in its origin. next: the root whose turn comes then.
        pending: items on their way. partial: whether some were given up, as the run was stopped.
        arrived: what is where rows leave: the outlet, the place in the order, the row.
        awaited: for each step that waits, how many items may still reach it. waiting: those that
            have, each with the number of its branch.
    """

    __slots__ = ("arrived", "awaited", "index", "next", "number", "origin", "partial", "pending", "waiting")

    def __init__(self, origin: Origin, index: int) -> None:
        self.origin = origin
        self.index = index
        self.number = -1
        self.next: Root | None = None
        self.pending = 1  # the root's own row, at its origin
        self.partial = False
        self.arrived: list[tuple[Outlet, tuple[int, ...], Row]] = []
        self.awaited: dict[str, int] = dict.fromkeys(origin.waits, 1)
        self.waiting: dict[str, list[tuple[int, Item]]] = {}

    def split(self, item: Item, node: str) -> Item:
        """Make what is still to come of its own row, which is at `node`, the item of a root of its own."""
        rest = Root(self.origin, self.index)
        rest.awaited = {each: int(node in leading) for each, leading in self.origin.waits.items()}
        self.origin.insert(rest, after=self)
        own = Item(rest, item.id, item.order, item.row, item.parted)
        own.made = item.made
        return own

    def item(self, row: Row) -> Item:
        """The item of its own row, at its origin."""
        return Item(self, str(self.index), (), row)


class Item:
    """A row on its way.

    Attributes:
        id: its path, for the ledger. order: its place among the rows of its root. No item's
            order begins with another's, so that they sort alike however they came.
        parted: for each join downstream, the item that it was where the branches part.
        made: how many rows of those that come of it have gone on.
    """

    __slots__ = ("id", "made", "order", "parted", "root", "row")

    def __init__(
        self, root: Root, id: str, order: tuple[int, ...], row: Row, parted: dict[str, Item] | None = None
    ) -> None:
        self.root = root
        self.id = id
        self.order = order
        self.row = row
        self.parted = parted
        self.made = 0

    def children(self, rows: Sequence[Row], *, more: bool = False) -> list[Item]:
        """An item for each row that came of this one; `more` will."""
        first, self.made = self.made, self.made + len(rows)
        if len(rows) == 1 and not first and not more:
            return [Item(self.root, self.id, self.order, rows[0], self.parted)]
        return [
            Item(self.root, f"{self.id}.{place}", (*self.order, place), row, self.parted)
            for place, row in enumerate(rows, first)
        ]

    def copy(self) -> Item:
        """The same for another branch, with a row of its own."""
        return Item(self.root, self.id, self.order, own_row(self.row), self.parted)

    def by(self, edge: int, name: str) -> Item:
        """The same where several edges meet, having come by number `edge`, from the step `name`."""
        return Item(self.root, f"{self.id}[{name}]", (edge, *self.order), self.row, self.parted)


def error_record(error: Any) -> Row:
    """An error as it stands in a row's metadata."""
    return {"type": type(error).__name__, "message": str(error), "attempts": error.attempts}
