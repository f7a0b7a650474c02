"""One task's rows on their way through a window: admitted in order, answered in any, released in order.

A stream belongs to the portal's loop; only its source and receiver cross to other threads.
"""

from __future__ import annotations

import time
import uuid
import warnings
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import (
    AuthenticationError,
    BudgetError,
    GenerationError,
    IncompleteResponseError,
    LedgerError,
    LimbeckWarning,
    RateLimitError,
    RowError,
)
from ...types import PaidAnswer, RunInfo, RunStats
from ..answers.known_answers import KnownAnswers
from ..calls.context import inside
from ..calls.jobs import Identified, Job, Lineage, Outcome, Unit
from ..calls.log import log
from ..calls.observers import Observers
from ..calls.policy import Breaker
from ..calls.watched import WatchedStats
from ..rows.plain import check_row
from ..threads.handoff import EMPTY, END, call_on
from .accounting import Accounting
from .release import Release

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from ...types import Request, Response
    from ..calls.parties import Claimed
    from ..calls.policy import Policy
    from .parts import Asking, Receiver, Source, Terms

_MOST_FRUITLESS = 3  # answers to one call that hold no generation


class Stream:
    """Admits rows, hands out their requests, and releases what came of them.

    Args:
        asking: the task. source: its rows. receiver: where what comes of them goes.
        policy: failures and order. terms: what it may take and spend.
    """

    def __init__(self, asking: Asking, source: Source, receiver: Receiver, policy: Policy, terms: Terms) -> None:
        work, backend = asking.work, asking.backend
        observers = asking.observers or Observers(asking.registry.hooks, asking.context)
        self.stats = RunStats()
        self.backend = backend
        self.ledger = terms.ledger
        self.context = asking.context
        watched = WatchedStats(self.stats)
        self.info = RunInfo(uuid.uuid4().hex, work.name, backend.llm.model_name, "task", watched, asking.pipeline)
        self.running: set[asyncio.Task[None]] = set()
        self.ended = False
        self._work = work
        self._prepare = inside(asking.context, self._prepared)
        self._finish = inside(asking.context, work.finish)
        # Of a work that reads its answers: the samples of a row whose answer, taken from the ledger, cannot be read.
        self._unreadable: Callable[[Job], list[int]] | None = getattr(work, "unreadable", None)
        self._source = source
        self._receiver = receiver
        self._observers = observers
        self._policy = policy
        self._rerun = terms.rerun
        self._known = KnownAnswers(
            backend.keyring, self.stats, ledger=terms.ledger, cache=terms.cache, rerun=terms.rerun
        )
        self._accounting = Accounting(terms, self.stats, wake=self._wake_window)
        self._wake: Callable[[], object] = lambda: None
        self._started = time.time()
        self._n = work.num_generations
        self._share = self._n if backend.native_n else 1
        self._units: deque[Unit] = deque()
        self._parts_reported: set[str] = set()
        self._exhausted = False
        self._source_error: BaseException | None = None
        self._breaker = Breaker(policy, self.stats)
        self._release = Release(policy, emit=receiver.emit, info=self.info, stats=self.stats, observers=observers)

    def attached(self, wake: Callable[[], object]) -> None:
        """A window has taken it in, and is told by `wake` when there may be something to send."""
        self._wake = wake
        if self._observers.run_started is not None:
            self._observers.run_started(run=self.info)

    def _wake_window(self) -> None:
        call_on(self.backend.home.loop, self._wake)

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
        return unit if self.reserve(unit) else None

    def reserve(self, unit: Unit) -> bool:
        """Reserve room for `unit`, to be sent now; if False, it comes again later, or the run has stopped."""
        try:
            if self._accounting.reserve(unit):
                return True
            self._units.appendleft(unit)
        except BudgetError as exc:
            self.stop(exc)
        return False

    def gather(self, size: int) -> bool:
        """Admit rows until `size` requests wait to be sent together; False where more may come very soon."""
        while len(self._units) < size and not (self._exhausted or self.ended or self._release.outruns_taker):
            row = self._take_row()
            if row is EMPTY:
                return not self._units
            if row is not END:
                self._admit(row)
        return True

    @property
    def exhausted(self) -> bool:
        """True if no further row will come."""
        return self._exhausted

    @property
    def asks(self) -> bool:
        """True if a model is asked at all."""
        return self._policy.ask

    def note_taken(self, count: int) -> None:
        """The taker took what came of `count` rows: there is room for as many."""
        self._release.note_taken(count)
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
            request, samples = self._prepare(job)
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

    def _prepared(self, job: Job) -> tuple[Request, Sequence[int]]:
        """The request for a row, and the samples that a model is to be asked for."""
        job.request = request = self._work.prepare(job.row)
        return request, self._and_unreadable(job, self._known.fill_in(job, request))

    def _and_unreadable(self, job: Job, samples: Sequence[int]) -> Sequence[int]:
        """The samples to ask for, with those whose stored answer the task, as it is now, still cannot read."""
        if self._unreadable is None or self._rerun is not None or not self._policy.ask:
            return samples
        again = self._unreadable(job)
        for sample in again:
            job.outcomes[sample] = Outcome()
        job.missing += len(again)
        self.stats.reused -= len(again)
        return sorted((*samples, *again)) if again else samples

    # What becomes of requests

    def started(self, unit: Unit, *, share: float = 1.0) -> None:
        """`unit` is on its way; `share` of the price online is what its answer costs."""
        unit.attempts += 1
        unit.share = share
        self.stats.requests += 1
        self.stats.in_flight += 1
        if self._observers.request_started is not None:
            self._observers.request_started(run=self.info, request=unit.request)

    def expects(self, unit: Unit, *, share: float) -> None:
        """As `started`, for what an earlier run has sent."""
        unit.share = share
        self.stats.in_flight += 1

    def withdrawn(self, unit: Unit) -> None:  # noqa: ARG002 - whose it is
        """No answer to a unit that was started is expected any more."""
        self.stats.in_flight -= 1

    def waits(self, unit: Unit, *, for_it: bool) -> None:
        """`unit` has begun to wait for its next attempt, or does not wait any more."""
        change = 1 if for_it else -1
        self.stats.waiting += change
        self.stats.limited += change * unit.limited

    def away(self, since: float | None, next_try: float | None) -> None:
        """The server does not answer since then, and is tried again then (Unix time); None: it does again."""
        self.stats.away_since, self.stats.next_try = since, next_try

    def keep(self, unit: Unit, response: Response, latency: float) -> Awaitable[None] | None:
        """Have an answer on disk, and wait for it; None where there is no ledger."""
        return None if self.ledger is None else self.ledger.keep(self._paid(unit, response, latency))

    def keep_all(self, answers: Sequence[tuple[Unit, Response]], latency: float) -> Awaitable[None] | None:
        """As `keep`, for what was sent together; None where the ledger takes them one by one."""
        keep_all = getattr(self.ledger, "keep_all", None)
        if keep_all is None:
            return None
        kept: Awaitable[None] = keep_all([self._paid(unit, response, latency) for unit, response in answers])
        return kept

    def _paid(self, unit: Unit, response: Response, latency: float) -> PaidAnswer:
        return PaidAnswer(
            row=unit.job.id,
            samples=unit.samples,
            key=unit.job.key,
            request=unit.request,
            response=response,
            latency=latency,
            attempts=unit.attempts,
            cost=self._accounting.cost_of(unit, response),
        )

    def tell(self, word: str) -> None:
        """Warn, once a run for each part of an answer, that it could not be read and was left out."""
        part = word.partition(",")[0]
        if part in self._parts_reported:
            return
        self._parts_reported.add(part)
        message = (
            f"The backend of {self.info.task!r} gave an answer with {word}. It could not be read and was left out; the "
            "text is kept. Further answers like it are not told."
        )
        with suppress(LimbeckWarning):  # the user has made warnings errors, but the answer is paid for
            # Not `warn`, which tells a text once a process.
            warnings.warn_explicit(message, LimbeckWarning, __file__, 1)

    def answered(self, unit: Unit, response: Response, latency: float) -> Unit | None:
        """Give the samples of `unit` their generations; returns a unit that asks for those still missing."""
        self.stats.in_flight -= 1
        if self._observers.request_finished is not None:
            self._observers.request_finished(run=self.info, request=unit.request, response=response, latency=latency)
        self._accounting.answered(unit, response)
        samples, generations, usage = unit.samples, response.generations, response.usage
        for sample, generation in zip(samples, generations, strict=False):
            unit.job.outcomes[sample] = Outcome(generation, None, usage, latency, unit.attempts)
            unit.job.missing -= 1
            usage = None
        if unit.job.missing == 0:
            self._complete(unit.job)
        if len(generations) >= len(samples):
            return None
        return self._ask_again(unit, response)

    def _ask_again(self, unit: Unit, response: Response) -> Unit | None:
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
            self._fail(again, error)
            return None
        self._accounting.note_failure(again, error, retried=True)
        return again

    def failed(self, unit: Unit, error: GenerationError, now: float, *, spared: bool = False) -> float | None:
        """Seconds until `unit` is to be sent again, or None when it has failed for good.

        Args:
            now: the loop's time. spared: the server was away: it counts as no attempt.
        """
        self.stats.in_flight -= 1
        self._accounting.unanswered(unit, error, spared=spared)
        delay: float | None = self.backend.retry.delay(unit, error, now, spared=spared)
        unit.limited = isinstance(error, RateLimitError)
        self.stats.rate_limited += unit.limited
        self.stats.retries += delay is not None and not unit.limited
        if self._observers.request_failed is not None:
            self._observers.request_failed(
                run=self.info,
                request=unit.request,
                error=error,
                attempt=unit.attempts,
                will_retry=delay is not None,
            )
        if isinstance(error, AuthenticationError):
            self.stop(error)
        elif delay is None:
            self._fail(unit, error)
        else:
            self._accounting.note_failure(unit, error, retried=True)
        return delay

    def refused(self, unit: Unit, error: GenerationError) -> None:
        """`unit` cannot be sent at all."""
        self._fail(unit, error)

    def _fail(self, unit: Unit, error: GenerationError) -> None:
        """Every sample of `unit` has failed for good."""
        self._accounting.given_up(unit)
        error.attempts = unit.attempts
        self._accounting.note_failure(unit, error, retried=False)
        first, *others = unit.samples
        self._settle(unit.job, others, Outcome(error=error, attempts=unit.attempts))
        self._settle(unit.job, [first], Outcome(error=error, usage=error.usage, attempts=unit.attempts))

    # Entries of provider batches, whose rows may not have come

    def keep_entry(
        self, entry: Claimed, response: Response, latency: float, *, batch: str, share: float
    ) -> Awaitable[None]:
        """As `keep`; of all the samples that the entry was for."""
        assert self.ledger is not None  # or there would be no batches
        unit = entry.unit
        return self.ledger.keep(
            PaidAnswer(
                row=entry.row,
                samples=entry.samples,
                key=entry.key,
                request=unit.request if unit else None,
                response=response,
                latency=latency,
                attempts=unit.attempts if unit else 1,
                batch=batch,
                cost=self._accounting.cost_of(unit, response) if unit else self._accounting.price(response, share),
            )
        )

    def failed_before(self, entry: Claimed, error: GenerationError, *, share: float) -> None:
        """An entry brought no answer; its row is asked again when it comes."""
        self._accounting.failed_before(entry, error, share)

    # Rows that are done

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
            self._release.put(job, self._finish(job))
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
        if self._receiver.failed is not None:
            self._receiver.failed(job)
        if self._observers.row_failed is not None:
            self._observers.row_failed(run=self.info, id=job.id, row=job.row, error=errors[0])
        if not job.carried:
            too_many = self._breaker.failed(errors, whole=len(errors) == len(job.outcomes))
            if too_many is not None:
                log.warning("%s stops: %s", self._work.name, too_many)
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
        self.away(None, None)
        self._release.close()
        self._accounting.close()
        if self.ledger is not None:
            self._note_run(error)
            try:
                self.ledger.close()
            except LedgerError as exc:  # of a store of somebody else's, or of one that was deleted
                error = error or exc
        self._receiver.finished(error)
        for task in self.running:  # at the end of the rows, only batches can be left, which are for none of them
            task.cancel()
        if self._observers.run_finished is not None:
            self._observers.run_finished(run=self.info, stats=self.stats, error=error)
