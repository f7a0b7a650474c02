"""The release of a stream's rows: in their order, and no faster than they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..rows.reorder import ReorderBuffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...types import Row, RunInfo, RunStats
    from ..calls.jobs import Job
    from ..calls.observers import Observers
    from ..calls.policy import Policy


class Release:
    """Gives what came of rows on, in the order that the policy says; it is counted, and observers are told.

    Args:
        emit: takes a row's id and the rows that came of it. info: the run's. stats: its counters.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        emit: Callable[[str, list[Row]], object],
        info: RunInfo,
        stats: RunStats,
        observers: Observers,
    ) -> None:
        self._policy = policy
        self._emit = emit
        self._info = info
        self._stats = stats
        self._observer = observers.rows_written
        self._head = 0  # the index whose turn it is
        self._ready = ReorderBuffer()
        self._ids: dict[int, str] = {}  # where they are not the index
        self._given_rows = 0
        self._taken_rows = 0

    def __len__(self) -> int:
        """The number of rows that wait for their turn, or for room."""
        return len(self._ready)

    @property
    def outruns_taker(self) -> bool:
        """True if as many rows were given as may wait there untaken."""
        limit = self._policy.max_untaken
        return limit is not None and self._given_rows - self._taken_rows >= limit

    def put(self, job: Job, rows: list[Row]) -> None:
        """Give what came of a job, or keep it until its turn."""
        if not self._policy.ordered:
            self._give(job.id, rows)
        elif job.index == self._head and not self.outruns_taker:
            self._give(job.id, rows)
            self._head += 1
            self._drain()
        else:
            self._ready.put(job.index, rows)
            if job.id != str(job.index):
                self._ids[job.index] = job.id

    def note_taken(self, count: int) -> None:
        """Note that `count` rows were taken: there is room for as many."""
        self._taken_rows += count
        self._drain()

    def flush(self) -> None:
        """Give all that is kept, in order, past the gaps."""
        for index in self._ready:
            self._give_ready(index)

    def close(self) -> None:
        """All is given that will be: let go of the file where rows waited."""
        self._ready.close()

    def _drain(self) -> None:
        """Give what has come to its turn, as far as there is room."""
        while self._head in self._ready and not self.outruns_taker:
            self._give_ready(self._head)
            self._head += 1

    def _give_ready(self, index: int) -> None:
        self._give(self._ids.pop(index, str(index)), self._ready.pop(index))

    def _give(self, id: str, rows: list[Row]) -> None:
        self._stats.rows_out += len(rows)
        self._given_rows += 1
        self._emit(id, rows)
        if self._observer is not None and rows:
            self._observer(run=self._info, rows=rows)
