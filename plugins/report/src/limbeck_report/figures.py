"""The figures of a run, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from array import array

    from limbeck.runs import State


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One step's yield. What is not known is None.

    Attributes:
        kind: "source", "step", "task", "router", "join", "global" or "sink". after: the steps before it.
        rows_in, rows_out, rows_failed: rows. failures: failed generations by the error's type.
        requests: attempts sent. reused: answers that were in the ledger before.
        repaired, fell_back: rows that an answer asked for again, or of another LLM, has saved.
        repair_calls, fallback_calls: the answers for that.
        cost: in US dollars. seconds: from its first row to its last.
    """

    name: str
    kind: str | None = None
    after: list[str] | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    rows_failed: int | None = None
    failures: dict[str, int] = field(default_factory=dict)
    requests: int | None = None
    reused: int | None = None
    retries: int | None = None
    rate_limited: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    model_name: str | None = None
    repaired: int | None = None
    repair_calls: int | None = None
    fell_back: int | None = None
    fallback_calls: int | None = None

    @property
    def came_in(self) -> int | None:
        """Rows from a step before it: a source has none."""
        return None if self.kind == "source" else self.rows_in

    @property
    def went_out(self) -> int | None:
        """Rows for a step after it: a sink has none."""
        return None if self.kind == "sink" else self.rows_out

    @property
    def good(self) -> float | None:
        """The share of the rows that did not fail, from 0 to 1."""
        if not self.rows_in or self.rows_failed is None:
            return None
        return max(0.0, 1 - self.rows_failed / self.rows_in)


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason why generations of a step failed.

    Attributes:
        type: the error's. count: generations, or rows where that is all there is. message: one of them, cut.
    """

    step: str
    type: str
    count: int
    message: str | None


@dataclass(frozen=True, slots=True)
class Spending:
    """The use of one model by one step, in all runs of the directory: its answers, and failures that were paid for.

    Attributes:
        model: as the server calls itself, else as the step does. cost: in US dollars, None where no price is known.
    """

    step: str
    model: str | None
    answers: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of one quantity."""

    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of one step in the ledger, as columns of equal length, in the order they were written.

    Attributes:
        ids: in the ledger. at: when, in seconds since 1970. failed: 1 for a failure.
        latencies: seconds, NaN where there is none. lengths: characters of the answer, -1 where there is none.
    """

    ids: array[int]
    at: array[float]
    latencies: array[float]
    lengths: array[int]
    failed: array[int]


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of a step's answers, in seconds, and their lengths, in characters."""

    step: str
    answers: int
    latency: Spread | None
    length: Spread | None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One run.

    Attributes:
        folder: the run directory. pipeline: its name.
        state, error: how it stands (as `limbeck runs` lists it); what stopped it.
        started: ISO 8601, UTC. seconds: how long it took; of the ledger's calls, pauses are left out.
        source: which file the steps' rows are from: "report" or "ledger". Tokens by model are always the ledger's.
        resume: what to type to go on. notes: what the reader must know to judge the figures.
        calls: every call, by step; not in the JSON.
    """

    folder: str
    pipeline: str
    state: State
    error: str | None
    started: str | None
    seconds: float | None
    source: Literal["report", "ledger"]
    steps: list[StepFigures]
    reasons: list[Reason]
    spending: list[Spending]
    timings: list[Timing]
    resume: str | None
    notes: list[str]
    calls: dict[str, Calls] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the single calls, for JSON."""
        from dataclasses import asdict, fields

        kept = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "calls"}
        lists = {name: [asdict(each) for each in kept[name]] for name in ("steps", "reasons", "spending", "timings")}
        return {"version": 1, **kept, **lists}
