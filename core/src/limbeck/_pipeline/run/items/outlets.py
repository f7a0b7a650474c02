"""The places where rows leave, in the order of their origins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ...._engine.rows.reorder import ReorderBuffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ....types import Row
    from .lineage import Item, Origin, Root
    from .takers import Taker


class Giver(Protocol):
    """Sends rows here, while there is room for them."""

    def pump_soon(self) -> None:
        """Look for work soon, now that there is room again."""
        ...


class _Lane:
    """The rows of one origin on their way out."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.released = 0
        self.last = origin.last  # whose rows have left
        self.ready = ReorderBuffer()


class Outlet:
    """Brings what came of the roots into order: those of the first origin, then those of the next.

    Args:
        name: the step's whose rows leave here. ordered: False to give rows as they come.

    Attributes:
        taker: who gets them. full: whether it has no room. upstream: who leads here.
    """

    overfull = False  # what waits here for its turn spills

    taker: Taker

    def __init__(self, name: str, *, ordered: bool) -> None:
        self.name = name
        self.full = False
        self.ended = False
        self.upstream: list[Giver] = []
        self._lanes: dict[Origin, _Lane] = {}
        self._turn: list[Origin] = []
        self._ordered = ordered

    def add(self, origin: Origin) -> None:
        """Add an origin whose rows may come here, after those of the origins before it."""
        self._lanes[origin] = _Lane(origin)
        self._turn.append(origin)

    def arrive(self, item: Item, edge: object) -> None:  # noqa: ARG002 - a join looks at the edge
        """Let an item leave: in its turn, or at once where order does not matter."""
        if self._ordered:
            item.root.arrived.append((self, item.order, item.row))
        else:
            self.give([item.row])

    def room(self) -> None:
        """Have those upstream go on: the taker has room again."""
        self.full = False
        for node in self.upstream:
            node.pump_soon()

    def give(self, rows: list[Row]) -> None:
        """Give rows out of turn, as they come."""
        if rows and not self.taker.give(rows):
            self.full = True

    def settle(self, root: Root, rows: list[Row]) -> None:
        """Take all that came of a root, in order; be it nothing."""
        lane = self._lanes[root.origin]
        if not self._ordered or (lane.last.next is root and self._turn[0] is root.origin):
            self._let_pass(lane, root, rows)
        else:
            lane.ready.put(root.number, rows)
        self.end_if_done()

    def _drain(self) -> None:
        while self._turn:
            lane = self._lanes[self._turn[0]]
            while (root := lane.last.next) is not None and root.number in lane.ready:
                self._let_pass(lane, root, lane.ready.pop(root.number))
            if not _is_done(lane):
                return
            lane.ready.close()
            self._turn.pop(0)

    def _let_pass(self, lane: _Lane, root: Root, rows: list[Row]) -> None:
        lane.last = root
        lane.released += 1
        self._release(root, rows)

    def _release(self, root: Root, rows: list[Row]) -> None:  # noqa: ARG002 - a gate looks at it
        """Give what came of a root, whose turn it is."""
        self.give(rows)

    def end_if_done(self) -> None:
        """Tell the taker, once every origin is exhausted and every root of it has come out."""
        if self._ordered:
            self._drain()
        if not self.ended and all(map(_is_done, self._lanes.values())):
            self.ended = True
            self._tell_ended()

    def _tell_ended(self) -> None:
        self.taker.end_of_rows()


def _is_done(lane: _Lane) -> bool:
    return lane.origin.exhausted and lane.released == lane.origin.roots


class Gate(Outlet):
    """Lets the items of roots pass in the order of the roots, on their way to a step that needs it.

    Args:
        name: the step's. admit: takes an item whose turn it is.
    """

    def __init__(self, name: str, admit: Callable[[Item], object]) -> None:
        super().__init__(name, ordered=True)
        self._admit = admit
        self._items: dict[Root, list[Item]] = {}

    @property
    def holds(self) -> bool:
        """Tell whether anything waits here."""
        return bool(self._items)

    def hold(self, root: Root, items: list[Item]) -> None:
        """Keep all items of a root until it is their turn. Their rows may spill."""
        rows = [item.row for item in items]
        for item in items:
            item.row = {}
        self._items[root] = items
        self.settle(root, rows)

    def _release(self, root: Root, rows: list[Row]) -> None:
        for item, row in zip(self._items.pop(root), rows, strict=True):
            item.row = row
            self._admit(item)

    def _tell_ended(self) -> None:
        """Do nothing: the step itself knows when nothing leads to it any more."""
