"""The decision whether a request that brought no answer is sent again, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import RateLimitError, TransientError

if TYPE_CHECKING:
    from ...errors import GenerationError
    from ..calls.jobs import Unit

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempts that a backend's requests have.

    Attributes:
        max_attempts: of one request; refusals for rate are none. rng: the source of jitter.
    """

    max_attempts: int
    rng: random.Random = field(default_factory=random.Random)

    def delay(self, unit: Unit, error: GenerationError, now: float, *, spared: bool = False) -> float | None:
        """Seconds until `unit` is to be sent again after `error`, or None when it is not.

        A unit without a deadline is in a provider batch, where a refusal is an attempt too: no
        deadline would ever end them.

        Args:
            now: the loop's time. spared: it counts as no attempt, whatever it is.
        """
        refused = isinstance(error, RateLimitError)
        if spared or (refused and unit.deadline is not None):
            unit.attempts -= 1
        if spared and not isinstance(error, RateLimitError | TransientError):
            delay = 0.0  # it was refused together with others, and is sent without them
        elif spared:
            delay = backoff(unit.spared, self.rng, retry_after=_asked_for(error))
        elif refused and unit.deadline is not None:
            unit.refusals += 1
            # "At once" is what a clock that runs behind ours says too; who believed it would never stop asking.
            delay = _asked_for(error) or backoff(unit.refusals, self.rng)
        elif not isinstance(error, RateLimitError | TransientError) or unit.attempts >= self.max_attempts:
            return None
        else:
            delay = backoff(unit.attempts, self.rng, retry_after=_asked_for(error))
        return delay if unit.deadline is None or now + delay < unit.deadline else None


def _asked_for(error: GenerationError) -> float | None:
    assert isinstance(error, RateLimitError | TransientError)  # the others are not retried
    return error.retry_after


def backoff(
    attempt: int, rng: random.Random, *, retry_after: float | None = None, longest: float = _LONGEST_SECONDS
) -> float:
    """Seconds to wait after failed attempt number `attempt`, counted from 1.

    Full-jitter exponential (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog,
    2015): uniform between zero and a bound that doubles up to `longest`. What the provider asks
    for is a floor, on which the jitter is added so that waiters do not come back together.
    """
    bound = min(longest, _FIRST_SECONDS * 2 ** min(attempt - 1, 16))
    jitter = rng.uniform(0.0, bound)
    return jitter if retry_after is None else retry_after + jitter
