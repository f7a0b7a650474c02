"""The node of a step that is given all rows at once."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from ...._engine.calls.context import inside
from ...._engine.threads.pool import Threads
from ....errors import ConfigurationError, described
from ..items.lineage import Origin
from ..items.processing import AllRows, Part
from .node import CHUNK_ROWS, Node

if TYPE_CHECKING:
    from ....types import Row
    from .node import Run


class GlobalNode(Node):
    """A step that is given all rows at once; what it makes begins anew."""

    def __init__(self, run: Run, step: Any) -> None:
        super().__init__(run, step, "global")
        self.origin = Origin(step.name)
        self._rows: list[Row] = []
        self._all_given = False
        self._working: AllRows | None = None
        self._busy = False
        self._more = True
        self._made: deque[Row] = deque()
        self._threads = Threads(1, name=step.name)

    def give(self, rows: list[Row]) -> bool:
        """Keep rows; see `Taker`."""
        if not self.stopped:
            self._rows += rows
        self.stats.rows_in += len(rows)
        return True

    def end_of_rows(self) -> None:
        """Note that the last row has come; see `Taker`."""
        self._all_given = True
        self.pump_soon()

    def pump(self) -> None:
        if self._busy:
            return
        if self.stopped or (self._all_given and self.run.failing and self._working is None):
            self._exhaust()  # nobody wants what it makes; or rows are missing, and that would be wrong
        elif self._all_given:
            self._send_made()

    def _send_made(self) -> None:
        for _ in range(CHUNK_ROWS):
            if self.blocked:
                return
            if not self._made:
                break
            row = self._made.popleft()
            self.run.send(self, self.origin.next_root().item(row), [row])
        if self._made:
            self.pump_soon()
        elif self._more:
            self._make()
        else:
            self._exhaust()

    def _make(self) -> None:
        """Have the next rows made."""
        if self._working is None:
            self._working, self._rows = AllRows(self.step, self._rows), []
        self._busy = True
        made = self._threads.call(inside(self.run.context, self._working.chunk), CHUNK_ROWS)
        made.add_done_callback(partial(self._guarded, self._worked))

    def _worked(self, done: Any) -> None:
        self._busy = False
        self.stats.rows_done = self.stats.rows_in
        try:
            made = done.result()
            self._more = type(made) is Part
            self._made.extend(made)
        except BaseException as exc:  # noqa: BLE001 - a step over all rows has no one row to blame: it stops the run
            self._more = False
            error = ConfigurationError(f"Step {self.name!r} raised {described(exc)}")
            error.__cause__ = exc
            self.run.fail(self, error)
        self.pump_soon()

    def _exhaust(self) -> None:
        self.origin.exhausted = True
        self.end()

    def close(self) -> None:
        if self._working is not None:
            self._working.close()
