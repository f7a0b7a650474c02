"""Rows that are done before their turn: kept in memory up to a budget, beyond it in a temporary file."""

from __future__ import annotations

import pickle
import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...types import Row

_BUDGET_BYTES = 16 * 1024 * 1024


class ReorderBuffer:
    """Takes what came of a row under the row's index, in any order, and gives it back by index.

    A slow row at the head holds back all that is done behind it: that may be any number of
    rows, and must neither stall admission nor grow memory. Rows that cannot be pickled, or
    written to the file, stay in memory.

    Args:
        budget: bytes to keep in memory, as estimated from the lengths of the texts.
    """

    def __init__(self, budget: int = _BUDGET_BYTES) -> None:
        self._budget = budget
        self._held: dict[int, tuple[int, list[Row]]] = {}
        self._bytes = 0
        self._spilled: dict[int, tuple[int, int]] = {}  # index to place and length in the file
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._held) + len(self._spilled)

    def __contains__(self, index: int) -> bool:
        return index in self._held or index in self._spilled

    def __iter__(self) -> Iterator[int]:
        return iter(sorted([*self._held, *self._spilled]))

    @property
    def spilled(self) -> int:
        """How many rows lie in the file right now."""
        return len(self._spilled)

    def put(self, index: int, rows: list[Row]) -> None:
        """Keep `rows` under `index`."""
        size = _size(rows)
        payload = pickled(rows) if self._bytes + size > self._budget else None
        if payload is None or not self._spill(index, payload):
            self._held[index] = (size, rows)
            self._bytes += size

    def pop(self, index: int) -> list[Row]:
        """What is kept under `index`, which is then forgotten."""
        if index in self._held:
            size, rows = self._held.pop(index)
            self._bytes -= size
            return rows
        place, length = self._spilled.pop(index)
        assert self._file is not None  # something was spilled to it
        self._file.seek(place)
        spilled: list[Row] = pickle.loads(self._file.read(length))  # noqa: S301 - our own bytes, in a file without a name
        if not self._spilled:
            self._file.truncate(0)
        return spilled

    def close(self) -> None:
        """Let go of the file; what is still kept in it is lost."""
        if self._file is not None:
            self._file.close()

    def _spill(self, index: int, payload: bytes) -> bool:
        """Write rows to the file; False where that cannot be done: on a full disk they are kept as before."""
        try:
            if self._file is None:  # unbuffered, so that what is full is told here
                self._file = tempfile.TemporaryFile(prefix="limbeck-", buffering=0)  # noqa: SIM115 - lives as long as the buffer
            place = self._file.seek(0, 2)
            whole = self._file.write(payload) == len(payload)
        except OSError:
            return False
        if whole:
            self._spilled[index] = (place, len(payload))
        return whole


def pickled(rows: list[Row]) -> bytes | None:
    """Rows as bytes; None where it cannot be done: rows hold anything."""
    try:
        return pickle.dumps(rows, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever a value's own methods raise
        return None


def _size(rows: list[Row]) -> int:
    """An estimate of memory: the texts, and an allowance for each other value and row."""
    size = 0
    for row in rows:
        size += 256
        for value in row.values():
            size += len(value) if type(value) is str else 64  # flat on purpose: it is cheap
    return size
