"""One task's rows on their way through a window: admitted in order, answered in any, released in order.

A stream belongs to the portal's loop; only its source and receiver cross to other threads.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...errors import LedgerError, RowError
from ...types import RunInfo, RunStats
from ..calls.context import inside
from ..calls.jobs import Call, Identified, Job, Lineage, Outcome, Turn
from ..calls.log import log
from ..calls.observers import Observers
from ..calls.policy import Breaker
from ..calls.watched import WatchedStats
from ..rows.plain import check_row
from ..threads.handoff import EMPTY, END
from .conversation import Conversations
from .effects import Effects
from .release import Release
from .requests import Requests

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from ...types import Request
    from ..calls.policy import Policy
    from .mending import Mending
    from .parts import Asking, Receiver, Source, Terms


class Stream:
    """Admits rows, hands out their requests, and releases what came of them.

    Args:
        asking: the task. source: its rows. receiver: where what comes of them goes.
        policy: failures and order. terms: what it may take and spend.
    """

    def __init__(self, asking: Asking, source: Source, receiver: Receiver, policy: Policy, terms: Terms) -> None:
        work, backend = asking.work, asking.backend
        self.observers = observers = asking.observers or Observers(asking.registry.hooks, asking.context)
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
        self._left_to_ask = inside(asking.context, self._of_rerun)
        # Of a work that reads its answers: the samples of a row whose answer, taken from the ledger, cannot be read.
        self._unreadable: Callable[[Job], list[int]] | None = getattr(work, "unreadable", None)
        self._source = source
        self._receiver = receiver
        self._policy = policy
        self._rerun = terms.rerun
        self._started = time.time()
        self._n = work.num_generations
        self._share = self._n if backend.native_n else 1
        self._begun = False
        self._exhausted = False
        self._source_error: BaseException | None = None
        self._breaker = Breaker(policy, self.stats)
        self._release = Release(policy, emit=receiver.emit, info=self.info, stats=self.stats, observers=observers)
        self._own = Requests(self, backend, terms, own=True, alone=not asking.further)
        further = zip(asking.further, terms.further or (terms,) * len(asking.further), strict=True)
        self.requests = [self._own, *(Requests(self, each, its, own=False, alone=False) for each, its in further)]
        self._talk = asking.talk
        self._mending = asking.mending
        for place, requests in enumerate(self.requests):
            requests.gives_way = self._mending is not None and self._mending.gives_way(place)
        self._talks = self._conversations(terms) if asking.talk is not None or self._mending is not None else None

    def _conversations(self, terms: Terms) -> Conversations:
        return Conversations(
            self._work.name,
            self._talk,
            self.requests,
            context=self.context,
            effects=Effects(terms, running=self.running, context=self.context, stats=self.stats, stop=self.stop),
            mending=self._mending,
            asks=self._policy.ask,
            settle=lambda job, sample, outcome: self._settle(job, [sample], outcome),
            stop=self.stop,
        )

    def begun(self) -> None:
        """A window has taken its requests in."""
        if not self._begun and self.observers.run_started is not None:
            self.observers.run_started(run=self.info)
        self._begun = True

    # Admitting rows

    def admit_next(self) -> bool:
        """Take in one more row, if there is one and room for it; whether it was taken."""
        if self._exhausted or self.ended or self._release.outruns_taker or (self._talks and self._talks.full):
            return False
        row = self._take_row()
        if row is EMPTY or row is END:
            return False
        self._admit(row)
        return True

    def exhausted_for(self, requests: Requests) -> bool:
        """Tell whether nothing more is to be asked of a backend: no row comes, nor a turn of what is under way."""
        return self._exhausted and (self._talks is None or not self._talks.busy_beside(requests))

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
            if self._talk is not None:
                self._begin(job)
                return
            request, samples = self._prepare(job)
        except RowError as exc:
            self._settle(job, range(self._n), Outcome(error=exc))
            return
        except BaseException as exc:  # noqa: BLE001 - of the ledger, mostly, or a condition's `sys.exit`: the taker must hear of it
            self.stop(exc)
            return
        if not samples:
            self.completed(job)
            return
        if not self._policy.ask:
            error = RowError("The ledger has no answer for this row, and no model is asked.")
            for sample in samples:
                job.outcomes[sample] = Outcome(error=error)
            job.missing -= len(samples)
            self.completed(job)
            return
        for first in range(0, len(samples), self._share):
            self._own.ask(job, request, samples[first : first + self._share])

    def _begin(self, job: Job) -> None:
        assert self._talks is not None  # they are its way to ask
        samples = range(self._n) if self._rerun is None else self._left_to_ask(job)
        if samples:
            self._talks.begin(job, samples)
        else:
            self._complete(job)

    def _prepared(self, job: Job) -> tuple[Request, Sequence[int]]:
        """The request for a row, and the samples that a model is to be asked for."""
        job.request = request = self._work.prepare(job.row)
        samples = self._own.known.fill_in(job, request)
        if self._rerun is not None:
            return request, samples
        rest = self._and_unreadable if self._mending is None else self._without_mended
        return request, rest(job, samples)

    def _of_rerun(self, job: Job) -> Sequence[int]:
        """The samples whose conversations a re-run asks anew."""
        assert self._rerun is not None  # or all are asked
        return self._own.known.left_as_it_is(job, self._rerun)

    def _without_mended(self, job: Job, samples: Sequence[int]) -> Sequence[int]:
        """The samples to ask for, without those whose call failed and was mended by another that is stored."""
        rest = []
        for sample in samples:
            failed = self._own.known.failure_of(job, sample)
            if failed is None:
                rest.append(sample)
            else:
                job.outcomes[sample] = failed
                job.missing -= 1
        return rest

    def _and_unreadable(self, job: Job, samples: Sequence[int]) -> Sequence[int]:
        """The samples to ask for, with those whose stored answer the task, as it is now, still cannot read."""
        if self._unreadable is None or len(samples) == self._n or not self._policy.ask:
            return samples
        again = self._unreadable(job)
        for sample in again:
            job.outcomes[sample] = Outcome()
        job.missing += len(again)
        self.stats.reused -= len(again)
        return sorted((*samples, *again)) if again else samples

    # Rows that are done

    def _settle(self, job: Job, samples: Sequence[int], outcome: Outcome) -> None:
        for sample in samples:
            job.outcomes[sample] = outcome
        job.missing -= len(samples)
        if job.missing == 0:
            self._complete(job)

    def completed(self, job: Job | Turn) -> None:
        """Nothing is missing of a row, or of a turn."""
        try:
            if isinstance(job, Turn):
                job.told(job.outcomes[job.sample])
                return
            if self._mending is not None and not job.mended:
                self._mend(job, self._mending)
                return
        except BaseException as exc:  # noqa: BLE001 - as below
            self.stop(exc)
            return
        self._complete(job)

    def _mend(self, job: Job, mending: Mending) -> None:
        """Have each sample's outcome read, and mended where it cannot be used."""
        assert job.request is not None  # it was asked
        assert self._talks is not None  # they are its way to ask again
        read = inside(self.context, lambda outcome: mending.read(outcome, job.row))
        job.mended = True
        job.missing = len(job.outcomes)
        job.missing -= len(job.settled)
        if not job.missing:
            self._complete(job)
        for sample, outcome in enumerate(list(job.outcomes)):
            if sample not in job.settled:
                job.calls.append(Call(0, outcome.usage, outcome.latency))
                self._talks.mend(job, sample, outcome, mending.mended(0, None, job.request, outcome, read))

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
        llm = self.backend.llm
        of_llm = getattr(llm, "generation_kwargs", None) or {}
        new = Lineage(llm.model_name, of_llm if job.request is None else job.request.parameters, new=True)
        for outcome in job.outcomes:
            turns = [turn.lineage for turn in outcome.turns or ()]
            if outcome.lineage is None and not job.carried:
                outcome.lineage = new if None in turns or not turns else turns[-1]

    def _count(self, job: Job) -> None:
        stats = self.stats
        stats.rows_done += 1
        if self._mending is not None:
            _count_mended(stats, job.outcomes)
        errors = [outcome.error for outcome in job.outcomes if outcome.error is not None]
        if not errors:
            self._breaker.succeeded()
            return
        stats.rows_failed += 1
        stats.failures.update(type(error).__name__ for error in errors)
        if self._receiver.failed is not None:
            self._receiver.failed(job)
        if self.observers.row_failed is not None:
            self.observers.row_failed(run=self.info, id=job.id, row=job.row, error=errors[0])
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
        for requests in self.requests:
            requests.ended = True
        self._release.close()
        if self._talks is not None:
            self._talks.close()
        for requests in self.requests:
            requests.close()
        if self.ledger is not None:
            self._note_run(error)
            try:
                self.ledger.close()
            except LedgerError as exc:  # of a store of somebody else's, or of one that was deleted
                error = error or exc
        self._receiver.finished(error)
        for task in self.running:  # at the end of the rows, only batches can be left, which are for none of them
            task.cancel()
        if self.observers.run_finished is not None:
            self.observers.run_finished(run=self.info, stats=self.stats, error=error)


def _count_mended(stats: RunStats, outcomes: Sequence[Outcome]) -> None:
    repairs, fallbacks = sum(each.repairs for each in outcomes), sum(each.fallbacks for each in outcomes)
    stats.repair_calls += repairs
    stats.fallback_calls += fallbacks
    stats.repaired += any(each.repairs and each.error is None for each in outcomes)
    stats.fell_back += any(each.fallbacks and each.error is None for each in outcomes)
