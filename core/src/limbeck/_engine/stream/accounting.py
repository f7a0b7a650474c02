"""The accounting of a stream: what requests took, what they cost, and what the ledger notes of those that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import RateLimitError
from ...types import FailedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...errors import GenerationError
    from ...types import Response, RunStats
    from ..calls.jobs import Unit
    from ..calls.parties import Claimed
    from .parts import Terms


class Accounting:
    """Counts what responses took, once each, whether they were answers or not.

    Args:
        identity: what identifies the LLM, where it is not the task's own.
        wake: has the requests' window look again for what can be sent.
    """

    def __init__(
        self, terms: Terms, stats: RunStats, *, identity: Mapping[str, Any] | None = None, wake: Callable[[], object]
    ) -> None:
        self._identity = identity
        self._pricing = terms.pricing
        self._account = terms.account
        self._ledger = terms.ledger
        self._stats = stats
        self._wake = wake
        self._open = True

    def reserve(self, unit: Unit) -> bool:
        """Reserve room in the budget for `unit`, to be sent now; return False if there is none yet.

        Raises:
            BudgetError: it never will.
        """
        return self._account is None or self._account.reserve(unit, self._wake)

    def cost_of(self, unit: Unit, response: Response | GenerationError) -> float | None:
        """US dollars for what came of `unit`, looked up once, or None where that is unknown."""
        if unit.priced is not response:
            unit.priced, unit.cost = response, self.price(response, unit.share)
        return unit.cost

    def price(self, response: Response | GenerationError, share: float) -> float | None:
        """US dollars for a response, at `share` of the price online, or None where that is unknown."""
        cost = None if self._pricing is None else self._pricing.cost(response.usage)
        return None if cost is None else cost * share

    def answered(self, unit: Unit, response: Response) -> None:
        """An answer came."""
        usage, cost = response.usage, self.cost_of(unit, response)
        if usage is not None:
            self._stats.count_usage(usage)
        self._stats.count_cost(cost)
        if self._account is not None:
            self._account.answered(unit, usage, cost)

    def unanswered(self, unit: Unit, error: GenerationError, *, spared: bool) -> None:
        """An attempt brought no answer, perhaps a response that was paid for; a spared one counts as no request."""
        cost = self.cost_of(unit, error)
        if error.usage is not None:
            self._stats.count_usage(error.usage)
            self._stats.count_cost(cost)
        if self._account is not None:
            refused = spared or isinstance(error, RateLimitError)
            self._account.unanswered(unit, error.usage, cost, refused=refused)

    def given_up(self, unit: Unit) -> None:
        """`unit` is not sent any more: what was held for it is free again."""
        if self._account is not None:
            self._account.unanswered(unit, None, None, refused=False)

    def note_failure(self, unit: Unit, error: GenerationError, *, retried: bool) -> None:
        """Note a call that failed in the ledger; one that is made again only where something was paid for it."""
        if self._ledger is None or not self._open or (retried and error.usage is None):
            return
        self._ledger.keep_failure(
            FailedCall(
                row=unit.job.id,
                samples=unit.samples,
                turn=unit.job.turn,
                key=unit.job.key,
                request=unit.request,
                error=error,
                attempts=unit.attempts,
                cost=unit.cost if unit.priced is error else None,
                retried=retried,
                identity=self._identity,
            )
        )

    def failed_before(self, entry: Claimed, error: GenerationError, share: float) -> None:
        """An entry of an earlier run's batch brought no answer, and its row, which is asked again, has not come."""
        if self._ledger is None or error.usage is None:
            return
        cost = self.price(error, share)
        self._stats.count_usage(error.usage)
        self._stats.count_cost(cost)
        if self._account is not None:
            self._account.charge(error.usage, cost)
        self._ledger.keep_failure(
            FailedCall(
                row=entry.row,
                samples=entry.samples,
                turn=entry.turn,
                key=entry.key,
                request=None,
                error=error,
                attempts=1,
                cost=cost,
                retried=True,
                identity=self._identity,
            )
        )

    def close(self) -> None:
        """The stream is over. What is still in flight may be billed: it counts as spent."""
        self._open = False
        if self._account is not None:
            self._account.close()
