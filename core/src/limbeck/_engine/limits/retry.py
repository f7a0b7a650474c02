"""How long to wait before the next attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 60.0


def backoff(attempt: int, rng: random.Random, *, retry_after: float | None = None) -> float:
    """Seconds to wait after failed attempt number `attempt`, counted from 1.

    Full-jitter exponential (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog,
    2015): uniform between zero and a bound that doubles. What the provider asks for is a
    floor, on which the jitter is added so that waiters do not come back together.
    """
    bound = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(attempt - 1, 16))
    jitter = rng.uniform(0.0, bound)
    return jitter if retry_after is None else retry_after + jitter
