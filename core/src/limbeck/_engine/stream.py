"""One task's rows on their way through a window: admitted in order, answered in any, released in order.

A stream belongs to the portal's loop; only its source and sink cross to other threads.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import BreakerError, GenerationError, IncompleteResponseError, LimbeckError, RowError
from .handoff import EMPTY, END
from .stats import RunStats

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .._registry.hooks import Hooks, Observer
    from ..types import Generation, GenerationRequest, GenerationResponse, Row, Usage


@dataclass(slots=True)
class Outcome:
    """What became of one sample of a row: a generation or an error.

    Attributes:
        usage: tokens of the whole response, on the first sample it answered; None on the others,
            so that a sum over samples is what was billed.
        latency: seconds of the attempt that answered. attempts: how often it was sent.
    """

    generation: Generation | None = None
    error: GenerationError | None = None
    usage: Usage | None = None
    latency: float | None = None
    attempts: int = 0


class Work(Protocol):
    """What a stream needs of a task."""

    @property
    def name(self) -> str: ...
    @property
    def num_generations(self) -> int: ...
    def prepare(self, row: Row) -> GenerationRequest:
        """The request for one sample of `row`; raises `RowError`."""
        ...

    def finish(self, index: int, row: Row, outcomes: list[Outcome]) -> list[Row]:
        """The rows that come of `row`. May turn an outcome into a failure; raises `LimbeckError` to stop the run."""
        ...


class Source(Protocol):
    """Where rows come from: `take` gives a row, `EMPTY` or `END`, and never waits."""

    def take(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What observers are told about the run they observe.

    Attributes:
        id: unique to the run. task: its name. model_name: the LLM's.
    """

    id: str
    task: str
    model_name: str


class Observers:
    """The observers of each hook, looked up once a run; None where there are none."""

    __slots__ = (
        "request_failed",
        "request_finished",
        "request_started",
        "rows_written",
        "run_finished",
        "run_started",
    )

    def __init__(self, hooks: Hooks) -> None:
        for name in self.__slots__:
            setattr(self, name, hooks.observer(f"limbeck_{name}"))

    request_failed: Observer | None
    request_finished: Observer | None
    request_started: Observer | None
    rows_written: Observer | None
    run_finished: Observer | None
    run_started: Observer | None


class Job:
    """One admitted row and what is still missing of it."""

    __slots__ = ("index", "missing", "outcomes", "row")

    def __init__(self, index: int, row: Row, num_generations: int) -> None:
        self.index = index
        self.row = row
        self.outcomes: list[Outcome] = [Outcome()] * num_generations
        self.missing = num_generations


class Unit:
    """One request to send, for some samples of a row."""

    __slots__ = ("attempts", "deadline", "fruitless", "job", "refusals", "request", "samples", "stream")

    def __init__(self, stream: Stream, job: Job, request: GenerationRequest, samples: range) -> None:
        self.stream = stream
        self.job = job
        self.request = request
        self.samples = samples
        self.attempts = 0
        self.refusals = 0  # for rate: these are not attempts
        self.fruitless = 0  # answers that held no generation
        self.deadline: float | None = None


class Stream:
    """Admits rows, hands out their requests, and releases what came of them.

    Args:
        work: the task. source: its rows.
        emit: takes the rows that came of one row.
        finished: called once at the end, with what stopped the run or None.
        native_n: whether one request may ask for several generations.
        breaker: failed rows in a row that stop the run; None for never.
        max_ahead: rows admitted but not yet taken at most, so that memory is bounded.
        ordered: release rows in input order.
    """

    def __init__(
        self,
        work: Work,
        source: Source,
        *,
        emit: Callable[[list[Row]], object],
        finished: Callable[[BaseException | None], object],
        native_n: bool,
        model_name: str,
        observers: Observers,
        breaker: int | None = None,
        max_ahead: int | None = None,
        ordered: bool = True,
    ) -> None:
        self.stats = RunStats()
        self.observers = observers
        self.info = RunInfo(uuid.uuid4().hex, work.name, model_name)
        self.running: set[asyncio.Task[None]] = set()
        self.ended = False
        self._work = work
        self._source = source
        self._emit = emit
        self._finished = finished
        self._n = work.num_generations
        self._share = self._n if native_n else 1
        self._breaker = breaker
        self._max_ahead = max_ahead
        self._ordered = ordered
        self._units: deque[Unit] = deque()
        self._exhausted = False
        self._head = 0
        self._ready: dict[int, list[Row]] = {}
        self._taken = 0
        self._failed_in_a_row = 0
        self._first_failure: GenerationError | None = None

    # Handing out requests

    def next_unit(self) -> Unit | None:
        """The next request to send, or None while there is none."""
        while not self._units:
            if self._exhausted or self.ended or self._is_far_ahead():
                return None
            row = self._take_row()
            if row is EMPTY or row is END:
                return None
            self._admit(row)
        return self._units.popleft()

    def taken(self, count: int = 1) -> None:
        """The consumer took `count` emitted lists: there is room for as many rows."""
        self._taken += count

    def _is_far_ahead(self) -> bool:
        return self._max_ahead is not None and self.stats.rows_in - self._taken >= self._max_ahead

    def _take_row(self) -> Any:
        try:
            row = self._source.take()
        except BaseException as exc:  # noqa: BLE001 - the source's own error ends the run and reaches the caller
            self.stop(exc)
            return END
        if row is END:
            self._exhausted = True
            self._end_if_done()
        return row

    def _admit(self, row: Row) -> None:
        index = self.stats.rows_in
        self.stats.rows_in += 1
        job = Job(index, row, self._n)
        try:
            request = self._work.prepare(row)
        except RowError as exc:
            self._settle(job, range(self._n), Outcome(error=exc))
            return
        for first in range(0, self._n, self._share):
            self._units.append(Unit(self, job, request, range(first, min(first + self._share, self._n))))

    # Taking in answers

    def answered(self, unit: Unit, response: GenerationResponse, latency: float) -> Unit | None:
        """Give the samples of `unit` their generations; returns a unit that asks for those still missing."""
        usage = response.usage
        if usage is not None:
            self.stats.count_usage(usage)
        samples, generations = unit.samples, response.generations
        for sample, generation in zip(samples, generations, strict=False):
            unit.job.outcomes[sample] = Outcome(generation, None, usage, latency, unit.attempts)
            unit.job.missing -= 1
            usage = None
        if unit.job.missing == 0:
            self._complete(unit.job)
        if len(generations) >= len(samples):
            return None
        return self._ask_again(unit, len(generations))

    def _ask_again(self, unit: Unit, got: int) -> Unit | None:
        rest = unit.samples[got:]
        again = Unit(self, unit.job, unit.request, rest)
        again.attempts, again.deadline = unit.attempts, unit.deadline
        again.fruitless = 0 if got else unit.fruitless + 1
        if again.fruitless < 3:
            return again
        message = f"The server gave {self._n - len(rest)} of {self._n} generations and then none, three times."
        self.failed(again, IncompleteResponseError(message))
        return None

    def failed(self, unit: Unit, error: GenerationError) -> None:
        """Every sample of `unit` has failed for good."""
        error.attempts = unit.attempts
        self._settle(unit.job, unit.samples, Outcome(error=error, attempts=unit.attempts))

    def _settle(self, job: Job, samples: range, outcome: Outcome) -> None:
        for sample in samples:
            job.outcomes[sample] = outcome
        job.missing -= len(samples)
        if job.missing == 0:
            self._complete(job)

    def _complete(self, job: Job) -> None:
        if self.ended:
            return
        try:
            rows = self._work.finish(job.index, job.row, job.outcomes)
        except LimbeckError as exc:
            self.stop(exc)
            return
        self._count(job)
        self._release(job.index, rows)
        self._trip_breaker()
        self._end_if_done()

    def _count(self, job: Job) -> None:
        stats = self.stats
        stats.rows_done += 1
        errors = [outcome.error for outcome in job.outcomes if outcome.error is not None]
        if not errors:
            self._failed_in_a_row = 0
            return
        stats.rows_failed += 1
        stats.failures.update(type(error).__name__ for error in errors)
        if len(errors) < len(job.outcomes):
            self._failed_in_a_row = 0
        elif not isinstance(errors[0], RowError):  # a bad row costs nothing, and says nothing of the server
            self._first_failure = self._first_failure if self._failed_in_a_row else errors[0]
            self._failed_in_a_row += 1

    def _trip_breaker(self) -> None:
        if self._breaker is not None and self._failed_in_a_row >= self._breaker and self._first_failure is not None:
            error = BreakerError(self._failed_in_a_row, self._first_failure)
            error.__cause__ = self._first_failure
            self.stop(error)

    # Releasing rows

    def _release(self, index: int, rows: list[Row]) -> None:
        if not self._ordered:
            self._give(rows)
            return
        if index != self._head:
            self._ready[index] = rows
            return
        self._give(rows)
        self._head += 1
        while self._ready and self._head in self._ready:
            self._give(self._ready.pop(self._head))
            self._head += 1

    def _give(self, rows: list[Row]) -> None:
        self.stats.rows_out += len(rows)
        self._emit(rows)
        if self.observers.rows_written is not None and rows:
            self.observers.rows_written(run=self.info, rows=rows)

    # Ending

    def _end_if_done(self) -> None:
        if self._exhausted and self.stats.rows_done == self.stats.rows_in:
            self._end(None)

    def stop(self, error: BaseException | None = None) -> None:
        """End now: in-flight requests are cancelled, and rows that are done leave, in order, past the gaps."""
        if self.ended:
            return
        for index in sorted(self._ready):
            self._give(self._ready[index])
        self._ready.clear()
        self._units.clear()
        self._end(error)
        for task in self.running:
            task.cancel()

    def _end(self, error: BaseException | None) -> None:
        if not self.ended:
            self.ended = True
            self._finished(error)
            if self.observers.run_finished is not None:
                self.observers.run_finished(run=self.info, stats=self.stats, error=error)
