"""The values that move through a stream: rows on their way in, the requests for each, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ...errors import GenerationError
    from ...types import Generation, Request, Response, Row, StoredEffect, Usage
    from .parties import Requester


@dataclass(frozen=True, slots=True)
class Identified:
    """A row that brings its id along: the path of positions and samples it came by."""

    id: str
    row: Row


@dataclass(frozen=True, slots=True)
class Lineage:
    """The origin of an answer, told where answers of several models meet.

    Attributes:
        model_name: the LLM's name for its model. parameters: of sampling. new: bought in this run.
    """

    model_name: str
    parameters: Mapping[str, Any]
    new: bool


@dataclass(slots=True)
class Outcome:
    """The outcome of one sample of a row: a generation or an error.

    Attributes:
        usage: tokens of the whole response, on the first sample it answered or failed; None on the
            others, so that a sum over samples is what was billed.
        latency: seconds of the attempt that answered. attempts: how often it was sent.
        lineage: what made it, in a re-run. columns: what the task has read of it already.
        turns: the outcomes of the calls of its conversation, in their order; None where it is of one call.
        maker: the LLM's name for its model, where that is not the task's own.
        repairs, fallbacks: the calls among them that told what was wrong, and those of another LLM.
    """

    generation: Generation | None = None
    error: GenerationError | None = None
    usage: Usage | None = None
    latency: float | None = None
    attempts: int = 0
    lineage: Lineage | None = None
    columns: tuple[Any, ...] | None = None
    turns: list[Outcome] | None = None
    maker: str | None = None
    repairs: int = 0
    fallbacks: int = 0


class Call(NamedTuple):
    """What one of several calls about a row took.

    Attributes:
        who: was asked, by its place among the task's LLMs.
    """

    who: int
    usage: Usage | None
    latency: float | None


class Job:
    """One admitted row and what is still missing of it."""

    __slots__ = (
        *("calls", "carried", "id", "index", "key", "mended"),
        *("missing", "outcomes", "request", "row", "settled", "used"),
    )
    turn: str | None = None  # it is no part of a conversation

    def __init__(self, index: int, id: str, row: Row, num_generations: int) -> None:
        self.index = index
        self.id = id
        self.row = row
        self.key = b""
        self.request: Request | None = None
        self.outcomes: list[Outcome] = [Outcome()] * num_generations
        self.missing = num_generations
        self.carried = False  # a re-run takes it as it is
        self.mended = False  # or it is being
        self.settled: Collection[int] = ()  # the samples that a re-run leaves as they are
        self.used: set[int] | None = None  # the stored calls that a re-run has given its turns
        self.calls: list[Call] = []  # where it may be asked about more than once


class Turn:
    """One call of a conversation about a sample of a row: its place there, its request, and what came of it.

    Attributes:
        id: the row's. sample: which of its samples. turn: its place in the conversation (`3`, `3.1` side by side).
        told: called with the outcome. follows: whether all before it in the conversation was stored.
        used: as of its row's `Job`.
    """

    __slots__ = ("follows", "id", "key", "missing", "outcomes", "request", "sample", "told", "turn", "used")

    def __init__(
        self, id: str, sample: int, turn: str | None, request: Request, told: Callable[[Outcome], object]
    ) -> None:
        self.id = id
        self.sample = sample
        self.turn = turn
        self.key = b""
        self.request = request
        self.outcomes: dict[int, Outcome] = {sample: Outcome()}
        self.missing = 1
        self.told = told
        self.follows = False
        self.used: set[int] | None = None


class Unit:
    """One request to send, for some samples of a row."""

    __slots__ = (
        "attempts",
        "cost",
        "deadline",
        "fruitless",
        "job",
        "limited",
        "priced",
        "refusals",
        "request",
        "samples",
        "sent_at",
        "share",
        "spared",
        "stream",
        "together",
    )

    def __init__(self, stream: Requester, job: Job | Turn, request: Request, samples: Sequence[int]) -> None:
        self.stream = stream
        self.job = job
        self.request = request
        self.samples = samples
        self.attempts = 0
        self.refusals = 0  # for rate: these are not attempts
        self.spared = 0  # attempts that found nobody there, while others were answered: these are none either
        self.limited = False  # the last attempt was a refusal for rate
        self.fruitless = 0  # answers that held no generation
        self.sent_at = 0.0
        self.deadline: float | None = None  # on the loop's clock; None while it has only been in a provider batch
        self.share = 1.0  # of the price online
        self.together: int | None = None  # how many may share its next request, once it was refused with others
        self.priced: Response | GenerationError | None = None  # what `cost` is of
        self.cost: float | None = None


class Kept(Protocol):
    """What is stored of the conversations about a row, to who goes through them without asking anything."""

    def answer(self, who: int, turn: Turn) -> Outcome | None:
        """The outcome of a call; None where it is not stored.

        Args:
            who: would be asked, by its place among the task's LLMs.
        """
        ...

    def effect(self, wanted: StoredEffect) -> StoredEffect | None:
        """The effect at the place of one that would be done; None where it is not stored."""
        ...


class Recorded(Protocol):
    """What a run is replayed from, as far as a backend is not asked for it."""

    def failure(self, turn: Turn) -> GenerationError | None:
        """The failure that a conversation went past at a turn, or None for none."""
        ...

    def effect(self, wanted: StoredEffect) -> StoredEffect:
        """The effect in the place of one that would be done; raises `LedgerError` where there is none."""
        ...
