"""One task's rows on their way through a window: admitted in order, answered in any, released in order.

A stream belongs to the portal's loop; only its source and sink cross to other threads.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import (
    BudgetError,
    GenerationError,
    IncompleteResponseError,
    LedgerError,
    RateLimitError,
    RowError,
)
from ...types import FailedCall
from ..answers.known_answers import KnownAnswers
from ..calls.jobs import Identified, Job, Outcome, Unit
from ..calls.observers import RunInfo
from ..calls.policy import Breaker
from ..calls.stats import RunStats
from ..ledger.makers import Lineage
from ..rows.plain import check_row
from ..threads.handoff import EMPTY, END
from .release import Release

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Sequence

    from ...protocols import StepLedgerProtocol
    from ...types import GenerationRequest, GenerationResponse, Row
    from ..calls.observers import Observers, PipelineInfo
    from ..calls.policy import Policy
    from ..ledger.batch_records import Entry
    from ..online.backend import Backend
    from .terms import Terms

_MOST_FRUITLESS = 3  # answers to one call that hold no generation


class Work(Protocol):
    """What a stream needs of a task."""

    @property
    def name(self) -> str: ...
    @property
    def num_generations(self) -> int: ...
    @property
    def reads(self) -> Collection[str]:
        """The columns of its rows that it declares to read."""
        ...

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
        self._release = Release(policy, emit=emit, info=self.info, stats=self.stats, observers=observers)

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
                check_row(id, row, self._work.reads)
            job.request = request = self._work.prepare(job.row)
            samples = self._known.fill_in(job, request)
        except RowError as exc:
            self._settle(job, range(self._n), Outcome(error=exc))
            return
        except BaseException as exc:  # noqa: BLE001 - of the ledger, mostly, or a condition's `sys.exit`: the taker must hear of it
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
        return self._ask_again(unit, response)

    def _ask_again(self, unit: Unit, response: GenerationResponse) -> Unit | None:
        got = len(response.generations)
        again = Unit(self, unit.job, unit.request, unit.samples[got:])
        again.attempts, again.deadline = unit.attempts, unit.deadline
        if got:
            return again
        again.fruitless = unit.fruitless + 1
        final = again.fruitless >= _MOST_FRUITLESS
        done = f"The server gave {self._n - len(again.samples)} of {self._n} generations and then none"
        message = f"{done}, three times." if final else f"{done}."
        error = IncompleteResponseError(message, usage=response.usage, model=response.model)
        again.priced, again.cost = error, unit.cost  # counted with the response
        if final:
            self.failed(again, error)
            return None
        self.retried(again, error)
        return again

    def cost_of(
        self, unit: Unit, response: GenerationResponse | GenerationError, *, share: float = 1.0
    ) -> float | None:
        """US dollars for what came of `unit`, looked up once, or None where that is unknown.

        Args:
            response: or the error that came in its place.
            share: of the price online, where it came in a provider batch.
        """
        if unit.priced is not response:
            unit.priced, unit.cost = response, self.price_of(response, share=share)
        return unit.cost

    def price_of(self, response: GenerationResponse | GenerationError, *, share: float = 1.0) -> float | None:
        """US dollars for a response, or None where that is unknown."""
        cost = None if self._pricing is None else self._pricing.cost(response.usage)
        return None if cost is None else cost * share

    # What brought no answer

    def unanswered(self, unit: Unit, error: GenerationError, *, share: float = 1.0) -> None:
        """Count an attempt that brought no answer: where a response came that was paid for, with what it took."""
        cost = self.cost_of(unit, error, share=share)
        if error.usage is not None:
            self.stats.count_usage(error.usage)
            self.stats.count_cost(cost)
        if self._account is not None:
            self._account.unanswered(unit, error.usage, cost, refused=isinstance(error, RateLimitError))

    def retried(self, unit: Unit, error: GenerationError) -> None:
        """`unit` is asked again after `error`; what was paid for is noted."""
        if self.ledger is not None and error.usage is not None and not self.ended:
            self.ledger.keep_failure(_failed_call(unit, error, retried=True))

    def failed(self, unit: Unit, error: GenerationError) -> None:
        """Every sample of `unit` has failed for good."""
        if self._account is not None:  # it may never have been sent
            self._account.unanswered(unit, None, None, refused=False)
        error.attempts = unit.attempts
        if self.ledger is not None and not self.ended:
            self.ledger.keep_failure(_failed_call(unit, error))
        first, *others = unit.samples
        self._settle(unit.job, others, Outcome(error=error, attempts=unit.attempts))
        self._settle(unit.job, [first], Outcome(error=error, usage=error.usage, attempts=unit.attempts))

    def refused_before(self, entry: Entry, error: GenerationError, *, share: float) -> None:
        """An entry of an earlier run's batch brought no answer, and its row, which is asked again, has not come."""
        if self.ledger is None or error.usage is None:
            return
        cost = self.price_of(error, share=share)
        self.stats.count_usage(error.usage)
        self.stats.count_cost(cost)
        if self._account is not None:
            self._account.charge(error.usage, cost)
        self.ledger.keep_failure(
            FailedCall(
                row=entry.row,
                samples=entry.samples,
                key=entry.key,
                request=None,
                error=error,
                attempts=1,
                cost=cost,
                retried=True,
            )
        )

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
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the taker must hear of it instead of waiting
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
        self._release.close()
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


def _failed_call(unit: Unit, error: GenerationError, *, retried: bool = False) -> FailedCall:
    return FailedCall(
        row=unit.job.id,
        samples=unit.samples,
        key=unit.job.key,
        request=unit.request,
        error=error,
        attempts=unit.attempts,
        cost=unit.cost if unit.priced is error else None,
        retried=retried,
    )
