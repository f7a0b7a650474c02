"""The values that move through a stream: rows on their way in, the requests for each, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...errors import GenerationError
    from ...types import Generation, Request, Response, Row, Usage
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
        lineage: what made it, in a re-run. columns: what the task has read of a stored answer already.
    """

    generation: Generation | None = None
    error: GenerationError | None = None
    usage: Usage | None = None
    latency: float | None = None
    attempts: int = 0
    lineage: Lineage | None = None
    columns: tuple[Any, ...] | None = None


class Job:
    """One admitted row and what is still missing of it."""

    __slots__ = ("carried", "id", "index", "key", "missing", "outcomes", "request", "row")

    def __init__(self, index: int, id: str, row: Row, num_generations: int) -> None:
        self.index = index
        self.id = id
        self.row = row
        self.key = b""
        self.request: Request | None = None
        self.outcomes: list[Outcome] = [Outcome()] * num_generations
        self.missing = num_generations
        self.carried = False  # a re-run takes it as it is


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
        "stream",
        "together",
    )

    def __init__(self, stream: Requester, job: Job, request: Request, samples: Sequence[int]) -> None:
        self.stream = stream
        self.job = job
        self.request = request
        self.samples = samples
        self.attempts = 0
        self.refusals = 0  # for rate: these are not attempts
        self.limited = False  # the last attempt was one
        self.fruitless = 0  # answers that held no generation
        self.sent_at = 0.0
        self.deadline: float | None = None  # on the loop's clock; None while it has only been in a provider batch
        self.share = 1.0  # of the price online
        self.together: int | None = None  # how many may share its next request, once it was refused with others
        self.priced: Response | GenerationError | None = None  # what `cost` is of
        self.cost: float | None = None
