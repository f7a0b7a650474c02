"""What is counted while rows run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from ...types import Usage


@dataclass(slots=True)
class RunStats:
    """Counters of one run, read by whoever watches it.

    Attributes:
        rows_in: rows admitted. rows_done: rows finished, in any order.
        rows_failed: rows with at least one failed generation.
        rows_out: rows that left, after grouping and drops.
        requests: attempts sent. in_flight: attempts without an answer yet.
        reused: generations taken from the ledger.
        retries: attempts repeated after a fault. rate_limited: attempts refused for rate.
        waiting: requests that wait for their next attempt. limited: those of them that were refused for rate.
        away_since, next_try: since when the server does not answer, and when it is tried again (Unix time);
            None while it does.
        batches: provider batches that are open: being submitted, waited for or read.
        failures: generations failed, by the name of the error's type.
        usage: tokens of all answers, and of responses that were paid for and were none.
        cost: US dollars for them, or None while no price was known for any.
    """

    rows_in: int = 0
    rows_done: int = 0
    rows_failed: int = 0
    rows_out: int = 0
    requests: int = 0
    in_flight: int = 0
    reused: int = 0
    retries: int = 0
    rate_limited: int = 0
    waiting: int = 0
    limited: int = 0
    away_since: float | None = None
    next_try: float | None = None
    batches: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None

    @property
    def usage(self) -> Usage:
        """Tokens of all answers so far."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            reasoning_tokens=self.reasoning_tokens,
        )

    def count_usage(self, usage: Usage) -> None:
        """Add one response's tokens; in place, since it happens for every answer."""
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens
        self.reasoning_tokens += usage.reasoning_tokens

    def count_cost(self, cost: float | None) -> None:
        """Add what one response cost, where that is known."""
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost


class WatchedStats(RunStats):
    """The counters of a run as observers see them: live, and not to be set.

    It has none of its own: what is looked for here is found in the run's.
    """

    __slots__ = ("_counted",)
    _counted: RunStats

    def __init__(self, counted: RunStats) -> None:
        object.__setattr__(self, "_counted", counted)

    def __getattr__(self, name: str) -> Any:
        value = getattr(object.__getattribute__(self, "_counted"), name)
        return value.copy() if isinstance(value, Counter) else value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"`{name}` of a run is counted by the run; whoever watches it can only read it")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        return self._counted == (other._counted if isinstance(other, WatchedStats) else other)

    __hash__ = None  # type: ignore[assignment]  # as of what it shows

    def __reduce__(self) -> Any:
        """A copy is of the counters as they stand."""
        return RunStats, tuple(getattr(self, each.name) for each in fields(RunStats))
