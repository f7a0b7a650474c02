"""One task's rows on their way through a window: admitted in order, answered in any, released in order.

A stream belongs to the portal's loop; only its source and sink cross to other threads.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import (
    BudgetError,
    ConfigurationError,
    GenerationError,
    IncompleteResponseError,
    LedgerError,
    RowError,
)
from .handoff import EMPTY, END
from .jobs import Identified, Job, Outcome, Unit
from .known_answers import KnownAnswers
from .lineage import Lineage
from .observers import RunInfo
from .plain import check_row
from .policy import Breaker
from .release import Release
from .stats import RunStats

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from ..protocols import StepLedgerProtocol
    from ..types import GenerationRequest, GenerationResponse, Row
    from .backend import Backend
    from .observers import Observers, PipelineInfo
    from .policy import Policy
    from .terms import Terms


class Work(Protocol):
    """What a stream needs of a task."""

    @property
    def name(self) -> str: ...
    @property
    def num_generations(self) -> int: ...
    def prepare(self, row: Row) -> GenerationRequest:
        """The request for one sample of `row`; raises `RowError`."""
        ...

    def finish(self, job: Job) -> list[Row]:
        """The rows that come of a row. May turn an outcome into a failure; raises `LimbeckError` to stop the run."""
        ...


class Source(Protocol):
    """Where rows come from: `take` gives a row, `EMPTY` or `END`, and never waits."""

    def take(self) -> Any: ...


class Stream:
    """Admits rows, hands out their requests, and releases what came of them.

    Args:
        work: the task. source: its rows. backend: who answers.
        emit: takes a row's id and the rows that came of it.
        finished: called once at the end, with what stopped the run or None.
        ledger: where answers are kept and looked for.
        failed: takes the rows that failed, with their errors.
        pipeline: the one that it is a part of.
        terms: what it may spend, and on what.
    """

    def __init__(
        self,
        work: Work,
        source: Source,
        backend: Backend,
        *,
        emit: Callable[[str, list[Row]], object],
        finished: Callable[[BaseException | None], object],
        observers: Observers,
        policy: Policy,
        ledger: StepLedgerProtocol | None = None,
        failed: Callable[[Job], object] | None = None,
        pipeline: PipelineInfo | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.stats = RunStats()
        self.backend = backend
        self.observers = observers
        self.ledger = ledger
        self.info = RunInfo(uuid.uuid4().hex, work.name, backend.llm.model_name, "task", self.stats, pipeline)
        self.running: set[asyncio.Task[None]] = set()
        self.ended = False
        self._work = work
        self._source = source
        self._finished = finished
        self._policy = policy
        self._on_failed = failed
        self._pricing = None if terms is None else terms.pricing
        self._account = None if terms is None else terms.account
        self._rerun = None if terms is None else terms.rerun
        self._known = KnownAnswers(
            backend.keyring, self.stats, ledger=ledger, cache=None if terms is None else terms.cache, rerun=self._rerun
        )
        self._started = time.time()
        self._n = work.num_generations
        self._share = self._n if backend.native_n else 1
        self._units: deque[Unit] = deque()
        self._exhausted = False
        self._source_error: BaseException | None = None
        self._breaker = Breaker(policy, self.stats)
        self._release = Release(policy, emit=emit, info=self.info, observers=observers)

    # Handing out requests

    def next_unit(self) -> Unit | None:
        """The next request to send, or None while there is none."""
        while not self._units:
            if self._exhausted or self.ended or self._release.outruns_taker:
                return None
            row = self._take_row()
            if row is EMPTY or row is END:
                return None
            self._admit(row)
        unit = self._units.popleft()
        return unit if self.affords(unit) else None

    def affords(self, unit: Unit) -> bool:
        """Whether `unit` may be sent now; else it is handed out when there is room, or the run has stopped."""
        if self._account is None:
            return True
        try:
            if self._account.reserve(unit):
                return True
            self._units.appendleft(unit)
        except BudgetError as exc:
            self.stop(exc)
        return False

    @property
    def exhausted(self) -> bool:
        """Whether no further row will come."""
        return self._exhausted

    @property
    def asks(self) -> bool:
        """Whether a model is asked at all."""
        return self._policy.ask

    def taken(self, count: int) -> None:
        """The taker took what came of `count` rows: there is room for as many."""
        self._release.taken(count)
        if not self.ended:
            self._end_if_done()

    def _take_row(self) -> Any:
        try:
            row = self._source.take()
        except BaseException as exc:  # noqa: BLE001 - the source's own error reaches the caller, after the rows before it
            self._source_error = exc
            row = END
        if row is END:
            self._exhausted = True
            self._end_if_done()
        return row

    def _admit(self, row: Any) -> None:
        index = self.stats.rows_in
        self.stats.rows_in += 1
        id, row = (row.id, row.row) if type(row) is Identified else (str(index), row)
        job = Job(index, id, row, self._n)
        try:
            if self.ledger is not None:
                check_row(id, row)
            job.request = request = self._work.prepare(job.row)
            samples = self._known.fill_in(job, request)
        except RowError as exc:
            self._settle(job, range(self._n), Outcome(error=exc))
            return
        except (LedgerError, ConfigurationError) as exc:
            self.stop(exc)
            return
        if not samples:
            self._complete(job)
            return
        if not self._policy.ask and self._rerun is None:
            error = RowError("The ledger has no answer for this row, and no model is asked.")
            self._settle(job, samples, Outcome(error=error))
            return
        for first in range(0, len(samples), self._share):
            self._units.append(Unit(self, job, request, samples[first : first + self._share]))

    # Taking in answers

    def answered(self, unit: Unit, response: GenerationResponse, latency: float) -> Unit | None:
        """Give the samples of `unit` their generations; returns a unit that asks for those still missing."""
        usage = response.usage
        if usage is not None:
            self.stats.count_usage(usage)
        cost = self.cost_of(unit, response)
        self.stats.count_cost(cost)
        if self._account is not None:
            self._account.answered(unit, usage, cost)
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

    def cost_of(self, unit: Unit, response: GenerationResponse, *, share: float = 1.0) -> float | None:
        """US dollars for the response to `unit`, looked up once, or None where that is unknown.

        Args:
            share: of the price online, where it came in a provider batch.
        """
        if unit.answer is not response:
            unit.answer, unit.cost = response, self.price_of(response, share=share)
        return unit.cost

    def price_of(self, response: GenerationResponse, *, share: float = 1.0) -> float | None:
        """US dollars for a response, or None where that is unknown."""
        cost = None if self._pricing is None else self._pricing.cost(response.usage)
        return None if cost is None else cost * share

    def unanswered(self, unit: Unit, *, refused: bool) -> None:
        """An attempt brought no answer; `refused` for rate, it does not count."""
        if self._account is not None:
            self._account.unanswered(unit, refused=refused)

    def failed(self, unit: Unit, error: GenerationError) -> None:
        """Every sample of `unit` has failed for good."""
        self.unanswered(unit, refused=False)
        error.attempts = unit.attempts
        if self.ledger is not None:
            self.ledger.keep_failure(unit.job.id, unit.samples, unit.job.key, error)
        self._settle(unit.job, unit.samples, Outcome(error=error, attempts=unit.attempts))

    def _settle(self, job: Job, samples: Sequence[int], outcome: Outcome) -> None:
        for sample in samples:
            job.outcomes[sample] = outcome
        job.missing -= len(samples)
        if job.missing == 0:
            self._complete(job)

    def _complete(self, job: Job) -> None:
        if self.ended:
            return
        if self._rerun is not None:
            self._note_lineage(job)
        try:
            self._release.put(job, self._work.finish(job))
            self._count(job)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the taker must hear of it instead of waiting
            self.stop(exc)
        else:
            self._end_if_done()

    def _note_lineage(self, job: Job) -> None:
        parameters = {} if job.request is None else job.request.parameters
        model_name = self.backend.llm.model_name
        for outcome in job.outcomes:
            if outcome.lineage is None and not job.carried:
                outcome.lineage = Lineage(model_name, parameters, new=True)

    def _count(self, job: Job) -> None:
        stats = self.stats
        stats.rows_done += 1
        errors = [outcome.error for outcome in job.outcomes if outcome.error is not None]
        if not errors:
            self._breaker.succeeded()
            return
        stats.rows_failed += 1
        stats.failures.update(type(error).__name__ for error in errors)
        if self._on_failed is not None:
            self._on_failed(job)
        if self.observers.row_failed is not None:
            self.observers.row_failed(run=self.info, id=job.id, row=job.row, error=errors[0])
        if not job.carried:
            too_many = self._breaker.failed(errors, whole=len(errors) == len(job.outcomes))
            if too_many is not None:
                self.stop(too_many)

    # Ending

    def _end_if_done(self) -> None:
        if self._exhausted and self.stats.rows_done == self.stats.rows_in and not len(self._release):
            self._end(self._source_error)

    def stop(self, error: BaseException | None = None) -> None:
        """End now: in-flight requests are cancelled, and rows that are done leave, in order, past the gaps."""
        if self.ended:
            return
        self._release.flush()
        self._units.clear()
        self._end(error)

    def _note_run(self, error: BaseException | None) -> None:
        note = getattr(self.ledger, "note_run", None)
        if note is not None:
            with suppress(LedgerError):  # which is then what stopped the run
                note(self.stats, self._started, error)

    def _end(self, error: BaseException | None) -> None:
        if self.ended:
            return
        self.ended = True
        if self._account is not None:
            self._account.close()
        if self.ledger is not None:
            self._note_run(error)
            try:
                self.ledger.close()
            except LedgerError as exc:  # a store of somebody else's
                error = error or exc
        self._finished(error)
        for task in self.running:  # at the end of the rows, only batches can be left, which are for none of them
            task.cancel()
        if self.observers.run_finished is not None:
            self.observers.run_finished(run=self.info, stats=self.stats, error=error)
