"""Known answers: those in the run's own ledger or a cache, and those that a re-run leaves as they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...types import GenerationResponse, PaidAnswer
from ..calls.jobs import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from ...protocols import StepLedgerProtocol
    from ...types import Request, RunStats, StoredAnswer
    from ..calls.jobs import Job
    from ..calls.keys import Keyring
    from .cache import ResponseCache
    from .rerun import Rerun


class KnownAnswers:
    """Fill in the known answers to a row before a model is asked.

    Args:
        keyring: of the LLM. stats: the run's, where what is used again is counted.
    """

    def __init__(
        self,
        keyring: Keyring,
        stats: RunStats,
        *,
        ledger: StepLedgerProtocol | None,
        cache: ResponseCache | None,
        rerun: Rerun | None,
    ) -> None:
        self._keyring = keyring
        self._stats = stats
        self._ledger = ledger
        self._cache = cache
        self._rerun = rerun

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
            return self._left_as_it_is(job, request, self._rerun)
        rest = self._from_ledger(job)
        return self._from_cache(job, request, rest, self._cache) if self._cache is not None and rest else rest

    def _left_as_it_is(self, job: Job, request: Request, rerun: Rerun) -> Sequence[int]:
        outcomes = rerun.outcomes(job, request)
        rest = [sample for sample, outcome in enumerate(outcomes) if outcome is None]
        job.outcomes = [outcome or Outcome() for outcome in outcomes]
        job.missing = len(rest)
        job.carried = not rest
        self._stats.reused += sum(outcome is not None and outcome.generation is not None for outcome in outcomes)
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


def _copied(job: Job, sample: int, request: Request, answer: StoredAnswer, origin: str) -> PaidAnswer:
    """An answer out of the cache as it is kept here: it was paid for elsewhere, so it has neither tokens nor cost."""
    return PaidAnswer(
        row=job.id,
        samples=[sample],
        key=job.key,
        request=request,
        response=GenerationResponse(generations=[answer.generation], model=answer.model),
        latency=answer.latency or 0.0,
        attempts=answer.attempts,
        cost=0.0,
        origin=origin,
    )


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
