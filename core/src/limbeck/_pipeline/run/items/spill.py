"""A queue of rows that keeps so many in memory, and beyond them only what is known of each."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ...._engine.rows.reorder import ReorderBuffer

if TYPE_CHECKING:
    from .lineage import Item


class SpillingQueue:
    """First in, first out; the rows of items beyond `capacity` go into a buffer that spills to a file."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._first = 0  # the number of the first item
        self._beyond: ReorderBuffer | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add an item."""
        if len(self._items) >= self._capacity:
            if self._beyond is None:
                self._beyond = ReorderBuffer()
            self._beyond.put(self._first + len(self._items), [item.row])
            item.row = {}
        self._items.append(item)

    def get(self) -> Item:
        """The first item."""
        item = self._items.popleft()
        if self._beyond is not None and self._first in self._beyond:
            (item.row,) = self._beyond.pop(self._first)
        self._first += 1
        return item

    def close(self) -> None:
        """Let go of the file."""
        if self._beyond is not None:
            self._beyond.close()
