"""The parts that a stream is assembled from."""

from __future__ import annotations

from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ..._registry.registry import Registry
    from ...protocols import StepLedgerProtocol
    from ...types import PipelineInfo, Request, Row
    from ..answers.cache import ResponseCache
    from ..answers.rerun import Rerun
    from ..calls.jobs import Job, Recorded
    from ..calls.observers import Observers
    from ..money.budget import Account
    from ..money.prices import Pricing
    from ..online.backend import Backend
    from .conversation import Talk
    from .mending import Mending


class Work(Protocol):
    """The parts of a task that a stream needs."""

    @property
    def name(self) -> str: ...
    @property
    def num_generations(self) -> int: ...
    @property
    def reads(self) -> Collection[str]:
        """The columns of its rows that it declares to read."""
        ...

    def prepare(self, row: Row) -> Request:
        """The request for one sample of `row`; raises `RowError`."""
        ...

    def finish(self, job: Job) -> list[Row]:
        """The rows that come of a row. May turn an outcome into a failure; raises `LimbeckError` to stop the run."""
        ...


class Source(Protocol):
    """The source of rows: `take` gives a row, `EMPTY` or `END`, and never waits."""

    def take(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Asking:
    """A task that is about to ask.

    Attributes:
        work: the task's own part. backend: who answers. registry: where prices and observers are found.
        observers: of the run; None for the registry's. pipeline: the one that it is a part of.
        context: the context variables of whoever called; what authors wrote is run in copies of it.
        further: other LLMs that it may ask. talk: its conversations; None where a row is asked about once.
        mending: the ways in which its answers may be mended, or None.
        recorded: what the run is replayed from, if it is.
    """

    work: Work
    backend: Backend
    registry: Registry
    observers: Observers | None = None
    pipeline: PipelineInfo | None = None
    context: Context = field(default_factory=copy_context)
    further: Sequence[Backend] = ()
    talk: Talk | None = None
    mending: Mending | None = None
    recorded: Recorded | None = None

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All who may be asked, the task's own LLM first."""
        return (self.backend, *self.further)


@dataclass(frozen=True, slots=True)
class Receiver:
    """The functions that take the rows that come out of a stream.

    Attributes:
        emit: takes a row's id and the rows that came of it.
        finished: called once at the end, with what stopped the run or None.
        failed: takes the rows that failed, with their errors.
    """

    emit: Callable[[str, list[Row]], object]
    finished: Callable[[BaseException | None], object]
    failed: Callable[[Job], object] | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """The stores and the budget of a stream; without any, it asks about all rows, and does not know what that costs.

    Attributes:
        ledger: where answers are kept and looked for. pricing: of its answers.
        account: what may be spent; None for all that is asked.
        cache: answers of other runs. rerun: which rows are asked about again; None for a run of all.
        further: of each further LLM. recorded: what the run is replayed from, if it is.
    """

    ledger: StepLedgerProtocol | None = None
    pricing: Pricing | None = None
    account: Account | None = None
    cache: ResponseCache | None = None
    rerun: Rerun | None = None
    further: Sequence[Terms] = ()
    recorded: Recorded | None = None
