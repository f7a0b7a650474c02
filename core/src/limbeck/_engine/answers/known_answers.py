"""Known answers: those in the run's own ledger or a cache, and those that a re-run leaves as they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from ...errors import GenerationError
from ...types import GenerationResponse, PaidAnswer
from ..calls.jobs import Outcome, Turn
from ..ledger.step_ledger import StepLedger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from ...protocols import StepLedgerProtocol, TurnLedgerProtocol
    from ...types import Request, RunStats, StoredAnswer
    from ..calls.jobs import Job, Recorded
    from ..calls.keys import Keyring
    from .cache import ResponseCache
    from .rerun import Rerun


class KnownAnswers:
    """Fill in the known answers to a row before a model is asked.

    Args:
        keyring: of the LLM. stats: the run's, where what is used again is counted.
        recorded: what the run is replayed from, if it is.
        asks: whether a model is asked at all; where none is, what failed is given as it failed.
    """

    def __init__(
        self,
        keyring: Keyring,
        stats: RunStats,
        *,
        ledger: StepLedgerProtocol | None,
        cache: ResponseCache | None,
        rerun: Rerun | None,
        recorded: Recorded | None = None,
        asks: bool = True,
    ) -> None:
        self._keyring = keyring
        self._stats = stats
        self._ledger = ledger
        self._cache = cache
        self._rerun = rerun
        self._recorded = recorded
        self._asks = asks

    def fill_in(self, job: Job, request: Request) -> Sequence[int]:
        """The samples of a row that a model is to be asked for; the others are filled in.

        Raises:
            ConfigurationError: the condition of the re-run names a column that no row has.
            LedgerError: the ledger or the cache cannot be read.
        """
        if self._ledger is None and self._cache is None:
            return range(job.missing)
        job.key = self._keyring.key(request)
        if self._rerun is not None:
            return self.left_as_it_is(job, self._rerun)
        rest = self._from_ledger(job)
        return self._from_cache(job, request, rest, self._cache) if self._cache is not None and rest else rest

    def of_turn(self, turn: Turn) -> Outcome | None:
        """The known outcome of a turn of a conversation, or None where a model is to be asked.

        Raises:
            RowError: the request holds what JSON cannot. LedgerError: as `fill_in`.
        """
        if self._ledger is None and self._cache is None and self._recorded is None:
            return None
        turn.key = self._keyring.key(turn.request)
        if self._rerun is not None:
            stored = self._rerun.turn(turn)
            self._stats.reused += stored is not None and stored.generation is not None
            return stored
        found = None if self._ledger is None else self._turns.find_turn(turn.id, turn.sample, turn.turn, turn.key)
        if found is None and self._cache is not None:
            found = self._cached_turn(turn, self._cache)
        if found is None and self._recorded is not None:
            found = self._recorded.failure(turn)
        if found is None and not self._asks and isinstance(self._ledger, StepLedger):
            found = self._ledger.failed_turn(turn.id, turn.sample, turn.turn, turn.key)
        if isinstance(found, GenerationError):
            return Outcome(error=found, attempts=found.attempts)
        if found is None:
            if turn.follows and turn.turn and isinstance(self._ledger, StepLedger):
                self._ledger.tell_difference(turn.id, turn.sample, turn.turn)
            return None
        self._stats.reused += 1
        return Outcome(found.generation, None, found.usage, found.latency, found.attempts)

    def failure_of(self, job: Job, sample: int) -> Outcome | None:
        """The failure of a row's one call that was mended by another, which is stored too; None for none.

        Raises:
            LedgerError: as `fill_in`.
        """
        found = None if self._ledger is None else self._turns.find_turn(job.id, sample, None, job.key)
        if found is None and self._recorded is not None and job.request is not None:
            turn = Turn(job.id, sample, None, job.request, _nobody)
            turn.key = self._keyring.key(job.request)
            found = self._recorded.failure(turn)
        return Outcome(error=found, attempts=found.attempts) if isinstance(found, GenerationError) else None

    @property
    def _turns(self) -> TurnLedgerProtocol:
        return cast("TurnLedgerProtocol", self._ledger)  # which was looked at before the run

    def _cached_turn(self, turn: Turn, cache: ResponseCache) -> StoredAnswer | None:
        for answer, origin in cache.take(turn.key, 1):
            if self._ledger is not None:
                _let_finish(self._ledger.keep(_copied(turn, turn.sample, turn.request, answer, origin)))
            return answer
        return None

    def left_as_it_is(self, job: Job, rerun: Rerun) -> Sequence[int]:
        """The samples of a row that a re-run asks about; the others are filled in as they are.

        Raises:
            ConfigurationError, LedgerError: as `fill_in`.
        """
        outcomes = rerun.outcomes(job, job.request)
        rest = [sample for sample, outcome in enumerate(outcomes) if outcome is None]
        job.outcomes = [outcome or Outcome() for outcome in outcomes]
        job.missing = len(rest)
        job.carried = not rest
        kept = [outcome for outcome in outcomes if outcome is not None]
        self._stats.reused += sum(call.generation is not None for each in kept for call in each.turns or [each])
        return rest

    def _from_ledger(self, job: Job) -> list[int]:
        if self._ledger is None:
            return list(range(job.missing))
        rest = []
        for sample, answer in enumerate(self._ledger.find(job.id, job.key, job.missing)):
            if answer is None:
                rest.append(sample)
            else:
                self._use(job, sample, answer)
        return rest

    def _from_cache(self, job: Job, request: Request, samples: list[int], cache: ResponseCache) -> list[int]:
        """Take what the cache has, with a copy into the ledger; the samples that it has not."""
        rest = list(samples)
        for answer, origin in cache.take(job.key, len(samples)):
            sample = rest.pop(0)
            self._use(job, sample, answer)
            if self._ledger is not None:
                _let_finish(self._ledger.keep(_copied(job, sample, request, answer, origin)))
        return rest

    def _use(self, job: Job, sample: int, answer: StoredAnswer) -> None:
        job.outcomes[sample] = Outcome(answer.generation, None, answer.usage, answer.latency, answer.attempts)
        job.missing -= 1
        self._stats.reused += 1


def _copied(job: Job | Turn, sample: int, request: Request, answer: StoredAnswer, origin: str) -> PaidAnswer:
    """An answer out of the cache as it is kept here: it was paid for elsewhere, so it has neither tokens nor cost."""
    return PaidAnswer(
        row=job.id,
        samples=[sample],
        turn=job.turn,
        key=job.key,
        request=request,
        response=GenerationResponse(generations=[answer.generation], model=answer.model),
        latency=answer.latency or 0.0,
        attempts=answer.attempts,
        cost=0.0,
        origin=origin,
    )


def _nobody(_outcome: Outcome) -> None:
    """Nobody waits for it."""


_unfinished: set[asyncio.Future[None]] = set()  # the loop itself holds tasks weakly


def _let_finish(keeping: Awaitable[None]) -> None:
    """Have it done without waiting; a ledger that fails says so at the next answer that is bought."""
    future = asyncio.ensure_future(keeping)
    _unfinished.add(future)
    future.add_done_callback(_finished)


def _finished(done: asyncio.Future[None]) -> None:
    _unfinished.discard(done)
    if not done.cancelled():
        done.exception()
