"""The requests of one stream to one backend: handed to a window, and what came of them brought back."""

from __future__ import annotations

import copy
import warnings
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ...errors import (
    AuthenticationError,
    BudgetError,
    IncompleteResponseError,
    LimbeckWarning,
    RateLimitError,
    TransientError,
    UnavailableError,
)
from ...types import PaidAnswer
from ..answers.known_answers import KnownAnswers
from ..calls.jobs import Outcome, Unit
from ..threads.handoff import call_on
from .accounting import Accounting

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence
    from contextvars import Context

    from ...errors import GenerationError
    from ...protocols import StepLedgerProtocol
    from ...types import Request, Response, RunInfo, RunStats
    from ..calls.jobs import Job, Turn
    from ..calls.observers import Observers
    from ..calls.parties import Claimed
    from ..online.backend import Backend
    from .parts import Terms

_MOST_FRUITLESS = 3  # answers to one call that hold no generation


class Rows(Protocol):
    """The stream, to its requests: whose they are, and where what came of them goes.

    Attributes:
        info: the run. stats: its counters. context: the variables of its caller. observers: who watches it.
        running: the asyncio tasks that end with it. ended: whether it is over.
    """

    info: RunInfo
    stats: RunStats
    context: Context
    observers: Observers
    running: set[asyncio.Task[None]]
    ended: bool

    @property
    def asks(self) -> bool: ...
    def exhausted_for(self, requests: Requests) -> bool:
        """Tell whether nothing more is to be asked of a backend."""
        ...

    def admit_next(self) -> bool:
        """Take in one more row, if there is one and room for it."""
        ...

    def begun(self) -> None:
        """A window has taken its requests in."""
        ...

    def completed(self, job: Job | Turn) -> None:
        """Nothing is missing of a row, or of a turn."""
        ...

    def stop(self, error: BaseException | None = None) -> None: ...


class Requests:
    """What a stream asks one backend, to the windows: see `Requester`.

    Args:
        rows: the stream. backend: who answers. terms: what these requests may take and spend.
        own: whether it is the task's `llm`. alone: whether the task has no other.
    """

    def __init__(self, rows: Rows, backend: Backend, terms: Terms, *, own: bool, alone: bool = True) -> None:
        self.backend = backend
        self.ledger: StepLedgerProtocol | None = terms.ledger
        self.info = rows.info
        self.stats = rows.stats
        self.context = rows.context
        self.running = rows.running
        self.ended = False  # the stream is over: windows ask for every request
        self._rows = rows
        self._observers = rows.observers
        self._identity = None if own else backend.identity
        self._takes_rows = own
        self._counted_as = None if alone else backend.llm.model_name
        self.known = KnownAnswers(
            backend.keyring,
            rows.stats,
            ledger=terms.ledger,
            cache=terms.cache,
            rerun=terms.rerun,
            recorded=terms.recorded,
            asks=rows.asks,
        )
        self._accounting = Accounting(terms, rows.stats, identity=self._identity, wake=self._wake_window)
        self._wake: Callable[[], object] = lambda: None
        self._waking = False
        self._units: deque[Unit] = deque()
        self._parts_reported: set[str] = set()
        self.gives_way = False  # another LLM is asked where this one is away
        self._passing_on = False

    @property
    def exhausted(self) -> bool:
        """True if nothing more will be asked."""
        return self._rows.exhausted_for(self)

    @property
    def asks(self) -> bool:
        """True if a model is asked at all."""
        return self._rows.asks

    def attached(self, wake: Callable[[], object]) -> None:
        """A window has taken it in, and is told by `wake` when there may be something to send."""
        self._wake = wake
        self._rows.begun()

    def _wake_window(self) -> None:
        call_on(self.backend.home.loop, self._wake)

    # Handing out

    def ask(self, job: Job | Turn, request: Request, samples: Sequence[int]) -> None:
        """Have a request sent when its turn has come."""
        self._units.append(Unit(self, job, request, samples))

    def wake(self) -> None:
        """Have the window look for what there is to send, once the loop is free.

        It may be the window that is taking a row in, of which all is stored: it would take the next one inside of that.
        """
        if not self._waking:
            self._waking = True
            self.backend.home.loop.call_soon(self._look)

    def _look(self) -> None:
        self._waking = False
        self._wake()

    def next_unit(self) -> Unit | None:
        """The next request to send, or None while there is none."""
        while not self._units:
            if not self._takes_rows or not self._rows.admit_next():
                return None
        unit = self._units.popleft()
        return unit if self.reserve(unit) else None

    def gather(self, size: int) -> bool:
        """Admit rows until `size` requests wait to be sent together; False where more may come very soon."""
        while len(self._units) < size:
            if not self._takes_rows or not self._rows.admit_next():
                return not self._units or self.exhausted
        return True

    def reserve(self, unit: Unit) -> bool:
        """Reserve room for `unit`, to be sent now; if False, it comes again later, or the run has stopped."""
        try:
            if self._accounting.reserve(unit):
                return True
            self._units.appendleft(unit)
        except BudgetError as exc:
            self.stop(exc)
        return False

    # What becomes of requests

    def _fly(self, change: int) -> None:
        self.stats.in_flight += change
        if self._counted_as is not None:
            self.stats.in_flight_of[self._counted_as] += change

    def started(self, unit: Unit, *, share: float = 1.0) -> None:
        """`unit` is on its way; `share` of the price online is what its answer costs."""
        unit.attempts += 1
        unit.share = share
        self.stats.requests += 1
        self._fly(1)
        if self._observers.request_started is not None:
            self._observers.request_started(run=self.info, request=unit.request, id=unit.job.id, turn=unit.job.turn)

    def expects(self, unit: Unit, *, share: float) -> None:
        """As `started`, for what an earlier run has sent."""
        unit.share = share
        self._fly(1)

    def withdrawn(self, unit: Unit) -> None:  # noqa: ARG002 - whose it is
        """No answer to a unit that was started is expected any more."""
        self._fly(-1)

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
            turn=unit.job.turn,
            key=unit.job.key,
            request=unit.request,
            response=response,
            latency=latency,
            attempts=unit.attempts,
            cost=self._accounting.cost_of(unit, response),
            identity=self._identity,
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
        self._fly(-1)
        job = unit.job
        if self._observers.request_finished is not None:
            self._observers.request_finished(
                run=self.info, request=unit.request, response=response, latency=latency, id=job.id, turn=job.turn
            )
        self._accounting.answered(unit, response)
        samples, generations, usage = unit.samples, response.generations, response.usage
        for sample, generation in zip(samples, generations, strict=False):
            job.outcomes[sample] = Outcome(generation, None, usage, latency, unit.attempts)
            job.missing -= 1
            usage = None
        if job.missing == 0:
            self._rows.completed(job)
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
        wanted = len(unit.job.outcomes)
        done = f"The server gave {wanted - len(again.samples)} of {wanted} generations and then none"
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
        self._fly(-1)
        self._accounting.unanswered(unit, error, spared=spared)
        delay: float | None = None
        if not (spared and self.gives_way and isinstance(error, TransientError)):  # else it was refused with others
            delay = self.backend.retry.delay(unit, error, now, spared=spared)
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
                id=unit.job.id,
                turn=unit.job.turn,
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

    def pass_on(self) -> None:
        """Nobody is there to take what there is to send: have it fail, so that another LLM is asked."""
        if self._passing_on:  # what comes of one that failed has woken the window
            return
        self._passing_on = True
        try:
            while not self.ended and (self._units or (self._takes_rows and self._rows.admit_next())):
                while self._units:
                    self.refused(self._units.popleft(), self.absence())
        finally:
            self._passing_on = False

    def absence(self) -> GenerationError:
        """The error of a request that is not sent, since nobody is there to take it."""
        return UnavailableError(f"{self.backend.llm.model_name} does not answer; the request was not sent.")

    def _fail(self, unit: Unit, error: GenerationError) -> None:
        """Every sample of `unit` has failed for good."""
        self._accounting.given_up(unit)
        error = error if error.turn is None else _own(error)
        error.attempts, error.turn = unit.attempts, unit.job.turn
        self._accounting.note_failure(unit, error, retried=False)
        job, (first, *others) = unit.job, unit.samples
        for sample in others:
            job.outcomes[sample] = Outcome(error=error, attempts=unit.attempts)
        job.outcomes[first] = Outcome(error=error, usage=error.usage, attempts=unit.attempts)
        job.missing -= len(unit.samples)
        if job.missing == 0:
            self._rows.completed(job)

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
                turn=entry.turn,
                key=entry.key,
                request=unit.request if unit else None,
                response=response,
                latency=latency,
                attempts=unit.attempts if unit else 1,
                batch=batch,
                cost=self._accounting.cost_of(unit, response) if unit else self._accounting.price(response, share),
                identity=self._identity,
            )
        )

    def failed_before(self, entry: Claimed, error: GenerationError, *, share: float) -> None:
        """An entry brought no answer; its row is asked again when it comes."""
        self._accounting.failed_before(entry, error, share)

    # Ending

    def stop(self, error: BaseException | None = None) -> None:
        """End the stream now."""
        self._rows.stop(error)

    def close(self) -> None:
        """The stream is over: nothing more is sent."""
        self._units.clear()
        self.away(None, None)
        self._accounting.close()


def _own(error: GenerationError) -> GenerationError:
    """A copy of an error that another turn has failed with too: a batch fails with one for all."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - it is of a class of the backend's
        return error
    own.__cause__ = error.__cause__
    return own
