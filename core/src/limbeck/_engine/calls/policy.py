"""How a run treats failures and order, and when failures are too many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import BreakerError, FailureLimitError, RowError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...errors import GenerationError, RunStoppedError
    from ...types import RunStats

# With a fraction as `max_failed`, the first rows must not decide.
_LEAST_ROWS_FOR_FRACTION = 100


@dataclass(slots=True)
class Policy:
    """How a run treats failures and order.

    Attributes:
        ordered: release rows in input order.
        breaker: failed rows one after another that stop the run; None for never.
        max_failed: failed rows that stop it: a count, or a fraction below 1 of the rows done.
        max_untaken: rows released but not yet taken, so that a slow taker is not run away from.
        ask: False to take stored answers only.
    """

    ordered: bool = True
    breaker: int | None = None
    max_failed: float | None = None
    max_untaken: int | None = None
    ask: bool = True


class Breaker:
    """Says when one more failed row is one too many.

    Args:
        stats: the run's, in which the row is counted already.
    """

    def __init__(self, policy: Policy, stats: RunStats) -> None:
        self._policy = policy
        self._stats = stats
        self._in_a_row = 0
        self._first: GenerationError | None = None

    def succeeded(self) -> None:
        """A row has not failed, or not as a whole."""
        self._in_a_row = 0

    def failed(self, errors: Sequence[GenerationError], *, whole: bool) -> RunStoppedError | None:
        """What is to stop the run, or None.

        Args:
            errors: of the row's samples. whole: whether all of them failed.
        """
        if not whole:
            self.succeeded()
        elif not isinstance(errors[0], RowError):  # a bad row costs nothing, and says nothing of the server
            self._first = self._first if self._in_a_row else errors[0]
            self._in_a_row += 1
        threshold = self._policy.breaker
        if threshold is None or self._in_a_row < threshold:
            return failure_limit(self._stats, self._policy.max_failed, errors[-1])
        assert self._first is not None  # of those in a row
        error = BreakerError(self._in_a_row, self._first)
        error.__cause__ = self._first
        return error


def failure_limit(stats: RunStats, max_failed: float | None, last: GenerationError) -> FailureLimitError | None:
    """The error that stops a run in which more rows failed than `max_failed`, a count or a fraction, allows."""
    if max_failed is None:
        return None
    whole = max_failed >= 1 or max_failed == 0
    allowed = max_failed if whole else max_failed * max(stats.rows_done, _LEAST_ROWS_FOR_FRACTION)
    if stats.rows_failed <= allowed:
        return None
    return FailureLimitError(failed=stats.rows_failed, done=stats.rows_done, max_failed=max_failed, last=last)
