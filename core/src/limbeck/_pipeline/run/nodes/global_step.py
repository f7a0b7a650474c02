"""The node of a step that is given all rows at once."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from ...._engine.calls.context import inside
from ....errors import ConfigurationError, described
from ..items.lineage import Origin
from ..items.processing import all_rows
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
        self._begun = False
        self._made: deque[Row] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"limbeck-{step.name}")

    def give(self, rows: list[Row]) -> bool:
        """Keep rows; see `Taker`."""
        self._rows += rows
        self.stats.rows_in += len(rows)
        return True

    def end_of_rows(self) -> None:
        """Note that the last row has come; see `Taker`."""
        self._all_given = True
        self.pump_soon()

    def pump(self) -> None:
        if self._made is not None:
            self._send_made()
        elif not self._all_given or self._begun:
            return
        elif self.run.failing:  # rows are missing: what it made of the others would be wrong
            self._exhaust()
        else:
            self._begun = True
            future = self._pool.submit(inside(self.run.context, all_rows), self.step, self._rows)
            future.add_done_callback(partial(self.run.call_on_loop, self._guarded, self._worked))

    def _worked(self, done: Any) -> None:
        self._rows = []
        self.stats.rows_done = self.stats.rows_in
        try:
            self._made = deque(done.result())
        except BaseException as exc:  # noqa: BLE001 - a step over all rows has no one row to blame: it stops the run
            self._made = deque()
            error = ConfigurationError(f"Step {self.name!r} raised {described(exc)}")
            error.__cause__ = exc
            self.run.fail(self, error)
        self.pump_soon()

    def _send_made(self) -> None:
        assert self._made is not None  # as `pump` saw
        for _ in range(CHUNK_ROWS):
            if not self._made or self.stopped:
                self._exhaust()
                return
            if self.blocked:
                return
            row = self._made.popleft()
            self.run.send(self, self.origin.next_root().item(row), [row])
        self.pump_soon()

    def _exhaust(self) -> None:
        self.origin.exhausted = True
        self.end()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
