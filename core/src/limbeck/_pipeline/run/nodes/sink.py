"""A sink at work: no node, for the rows of a leaf come to it in order, from an outlet."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ...._engine.calls.context import inside
from ...._engine.calls.watched import WatchedStats
from ....errors import ConfigurationError, described
from ....types import RunInfo, RunStats
from ..items.takers import Writer

if TYPE_CHECKING:
    from ...._step import Sink
    from ....types import Row
    from ..items.outlets import Outlet
    from ..items.takers import Consumer
    from .node import Run


class SinkAtWork:
    """A sink with its thread and its counters.

    Args:
        taker: who gets the rows too, once they are written.
    """

    def __init__(self, run: Run, sink: Sink, exit: Outlet, taker: Consumer | None) -> None:
        self._run = run
        self._sink = sink
        self._taker = taker
        self._stats = RunStats()
        self.info = RunInfo(uuid.uuid4().hex, sink.name, None, "sink", WatchedStats(self._stats), run.info)
        self.writer = Writer(
            sink.name,
            inside(run.context, self._write),
            room=lambda: run.call_on_loop(exit.room),
            failed=lambda error: run.call_on_loop(run.fail, None, self._plain_error(error)),
            done=self._done,
        )

    def _write(self, rows: list[Row]) -> None:
        self._sink.write(rows)
        self._stats.rows_in += len(rows)
        self._stats.rows_done += len(rows)
        if self._taker is not None:
            self._taker.give_waiting(rows)

    def _plain_error(self, error: BaseException) -> Exception:
        if isinstance(error, Exception) and not isinstance(error, OSError):
            return error
        why = getattr(error, "strerror", None) or described(error)
        plain = ConfigurationError(f"{self._sink.name!r} cannot write any further: {why}.")
        plain.__cause__ = error
        return plain

    def _done(self) -> None:
        self._run.sink_done(self.info)
