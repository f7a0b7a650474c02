"""The report of a pipeline's run, step by step: an observer through the hooks that anybody has."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._registry.hooks import hookimpl
from ...errors import LimbeckError, described
from ...types import RunReport, StepReport
from .run_folder import now
from .run_state import REPORT

if TYPE_CHECKING:
    from ...types import PipelineInfo, RunInfo, RunStats
    from .run_folder import RunFolder

_EVERY_SECONDS = 5.0


@dataclass(slots=True)
class _Watched:
    run: RunInfo
    stats: RunStats
    began: float
    ended: float | None = None


class Reporter:
    """Gathers the report, and writes it to the run directory now and then.

    Args:
        pipeline: what is observed. folder: the run directory, or None.
    """

    def __init__(self, pipeline: PipelineInfo, folder: RunFolder | None) -> None:
        self._pipeline = pipeline
        self._folder = folder
        self._started = now()
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._error: BaseException | None = None
        self._over = False
        self._watched: dict[str, _Watched] = {}
        self._closed = threading.Event()
        self._writing: threading.Thread | None = None

    def begin(self) -> None:
        """Forget the report of an earlier run in the directory, once everything is prepared."""
        if self._folder is not None:
            self._folder.forget(REPORT)

    @hookimpl
    def limbeck_run_started(self, run: RunInfo) -> None:
        """Note that a step of the pipeline begins."""
        if run.pipeline is self._pipeline:
            self._watched[run.task] = _Watched(run, run.stats, time.monotonic())

    @hookimpl
    def limbeck_run_finished(self, run: RunInfo) -> None:
        """Note that a step has ended."""
        if run.pipeline is self._pipeline and run.task in self._watched:
            self._watched[run.task].ended = time.monotonic()

    @hookimpl
    def limbeck_pipeline_started(self, pipeline: PipelineInfo) -> None:
        """Begin to write the report now and then: the rows begin to move."""
        if pipeline is self._pipeline and self._folder is not None:
            self._writing = threading.Thread(target=self._write_now_and_then, name="limbeck-report", daemon=True)
            self._writing.start()

    def _write_now_and_then(self) -> None:
        while not self._closed.wait(_EVERY_SECONDS):
            self._write()

    def _write(self) -> None:
        if self._folder is not None:
            try:
                self._folder.write(REPORT, self.report().to_dict())
            except (LimbeckError, RuntimeError):  # a full disk; counters that grow while they are read
                return

    def close(self, error: BaseException | None, *, stopped: bool) -> None:
        """Write the report for good: the run is over."""
        self._error = error
        self._over = error is None and not stopped
        self._seconds = time.monotonic() - self._began
        self._closed.set()
        if self._writing is not None:
            self._writing.join()  # or what it is writing would take the place of the last report
        self._write()

    def report(self) -> RunReport:
        """The report as it stands."""
        error = described(self._error) if self._error is not None else None
        seconds = self._seconds if self._seconds is not None else time.monotonic() - self._began
        steps = [self._step(name) for name in self._pipeline.steps]
        return RunReport(self._pipeline.name, self._started, round(seconds, 3), self._over, error, steps)

    def _step(self, name: str) -> StepReport:
        after = [before for before, to in self._pipeline.edges if to == name]
        watched = self._watched.get(name)
        if watched is None:
            return StepReport(name, "step", after=after)
        stats = watched.stats
        return StepReport(
            name=name,
            kind=watched.run.kind,
            rows_in=stats.rows_in,
            rows_out=stats.rows_out,
            rows_failed=stats.rows_failed,
            failures=dict(stats.failures),
            requests=stats.requests,
            reused=stats.reused,
            retries=stats.retries,
            rate_limited=stats.rate_limited,
            input_tokens=stats.input_tokens,
            output_tokens=stats.output_tokens,
            cached_tokens=stats.cached_tokens,
            reasoning_tokens=stats.reasoning_tokens,
            cost=stats.cost,
            seconds=round((watched.ended or time.monotonic()) - watched.began, 3),
            model_name=watched.run.model_name,
            after=after,
            repaired=stats.repaired,
            repair_calls=stats.repair_calls,
            fell_back=stats.fell_back,
            fallback_calls=stats.fallback_calls,
        )
