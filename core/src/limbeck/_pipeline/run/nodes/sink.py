"""A sink at work: no node, for the rows of a leaf come to it in order, from an outlet."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ....errors import ConfigurationError, described
from ....types import RunInfo, RunStats
from ..items.outlets import Writer

if TYPE_CHECKING:
    from ...._step import Sink
    from ....types import Row
    from ..items.outlets import Outlet
    from ..runner import Runner
    from ..streaming import Consumer


class SinkAtWork:
    """A sink with its thread and its counters.

    Args:
        taker: who gets the rows too, once they are written.
    """

    def __init__(self, runner: Runner, sink: Sink, exit: Outlet, taker: Consumer | None) -> None:
        self._runner = runner
        self._sink = sink
        self._taker = taker
        self._stats = RunStats()
        self.info = RunInfo(uuid.uuid4().hex, sink.name, None, "sink", self._stats, runner.info)
        self.writer = Writer(
            sink.name,
            self._write,
            room=lambda: runner.call_on_loop(exit.room),
            failed=lambda error: runner.call_on_loop(runner.fail, None, self._told(error)),
            done=self._done,
        )

    def _write(self, rows: list[Row]) -> None:
        self._sink.write(rows)
        self._stats.rows_in += len(rows)
        self._stats.rows_done += len(rows)
        if self._taker is not None:
            self._taker.give_waiting(rows)

    def _told(self, error: BaseException) -> Exception:
        if isinstance(error, Exception) and not isinstance(error, OSError):
            return error
        why = getattr(error, "strerror", None) or described(error)
        told = ConfigurationError(f"{self._sink.name!r} cannot write any further: {why}.")
        told.__cause__ = error
        return told

    def _done(self) -> None:
        self._runner.sink_done(self)
