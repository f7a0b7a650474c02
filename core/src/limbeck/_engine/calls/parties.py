"""The two sides of a request, as far as what lies between them knows them: who asks, and who answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ...errors import GenerationError, LedgerError
from ...types import Response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence
    from contextvars import Context

    from ...protocols import StepLedgerProtocol
    from ...types import Request, RunInfo, RunStats
    from .jobs import Unit

Result: TypeAlias = Response | GenerationError | LedgerError
"""What comes of one request."""
Tell: TypeAlias = "Callable[[str], object]"
"""Takes a word for what was left out of an answer."""


class Shared(list[Any]):
    """The results of requests that were sent together, where one word from the server is that of all."""


class UnitSender(Protocol):
    """An endpoint's window, to a provider batch that left requests unanswered."""

    def take(self, unit: Unit) -> None:
        """Send `unit` too."""
        ...


class Answerer(Protocol):
    """A backend, to those who send it requests.

    Attributes:
        llm: the user's object. identity: what identifies its answers. endpoint: which server and model it is.
        batch_size: requests sent together. timeout: seconds of one attempt. deadline: of all that a row has.
        online: what sends single requests.
    """

    llm: Any
    identity: dict[str, Any]
    batch_size: int
    timeout: float
    deadline: float

    @property
    def online(self) -> UnitSender: ...

    @property
    def endpoint(self) -> str: ...

    async def ask(self, requests: list[Request], tell: Tell) -> list[Result]:
        """Send requests together, once; never raises but when cancelled."""
        ...

    def judged(self, result: Any, tell: Tell) -> Result:
        """The result of a backend, once it is known to be a response."""
        ...

    def typed(self, error: BaseException) -> GenerationError | LedgerError:
        """The exception of a backend as one of the types that the engine tells apart."""
        ...


class Claimed(Protocol):
    """An entry of a provider batch: what it is for, and which unit waits for it, if any."""

    row: str
    samples: Sequence[int]
    key: bytes
    turn: str | None
    unit: Unit | None


class Requester(Protocol):
    """A stream, to the windows that send its requests and bring back what came of them.

    Attributes:
        info: its run. stats: the counters of that. running: the asyncio tasks that end with it.
        context: the variables of its caller. ledger: where answers are kept. ended: whether the stream is over.
        gives_way: whether others are asked where the server is away.
    """

    info: RunInfo
    stats: RunStats
    running: set[asyncio.Task[None]]
    context: Context
    ledger: StepLedgerProtocol | None
    ended: bool
    gives_way: bool

    @property
    def backend(self) -> Answerer: ...
    @property
    def exhausted(self) -> bool:
        """True if no further row will come."""
        ...

    @property
    def asks(self) -> bool:
        """True if a model is asked at all."""
        ...

    def attached(self, wake: Callable[[], object]) -> None:
        """A window has taken it in, and is told by `wake` when there may be something to send."""
        ...

    def tell(self, word: str) -> None:
        """Warn that a part of an answer was left out."""
        ...

    def next_unit(self) -> Unit | None:
        """The next request to send, or None while there is none."""
        ...

    def gather(self, size: int) -> bool:
        """Have `size` requests ready to be sent together; False where there are some, and more may come very soon."""
        ...

    def reserve(self, unit: Unit) -> bool:
        """Reserve room in the budget for `unit`; if there is none (False), `next_unit` gives it when there is."""
        ...

    def started(self, unit: Unit, *, share: float = 1.0) -> None:
        """`unit` is on its way; `share` of the price online is what its answer costs."""
        ...

    def expects(self, unit: Unit, *, share: float) -> None:
        """As `started`, for what an earlier run has sent."""
        ...

    def keep(self, unit: Unit, response: Response, latency: float) -> Awaitable[None] | None:
        """Have an answer on disk, and wait for it; None where there is no ledger."""
        ...

    def keep_all(self, answers: Sequence[tuple[Unit, Response]], latency: float) -> Awaitable[None] | None:
        """As `keep`, for what was sent together; None where the ledger takes them one by one."""
        ...

    def keep_entry(
        self, entry: Claimed, response: Response, latency: float, *, batch: str, share: float
    ) -> Awaitable[None]:
        """As `keep`, for an entry of a provider batch, whose row may not have come."""
        ...

    def answered(self, unit: Unit, response: Response, latency: float) -> Unit | None:
        """Give an answer to its row; the unit that asks for generations still missing, if any."""
        ...

    def failed(self, unit: Unit, error: GenerationError, now: float, *, spared: bool = False) -> float | None:
        """Seconds until `unit` is to be sent again, or None when it has failed for good.

        Args:
            now: the loop's time. spared: the server was away: it counts as no attempt.
        """
        ...

    def refused(self, unit: Unit, error: GenerationError) -> None:
        """`unit` cannot be sent at all."""
        ...

    def pass_on(self) -> None:
        """Have others asked for all there is to send now."""
        ...

    def absence(self) -> GenerationError:
        """The error of a request that is not sent, since nobody is there."""
        ...

    def failed_before(self, entry: Claimed, error: GenerationError, *, share: float) -> None:
        """As `failed`, for a row that has not come."""
        ...

    def withdrawn(self, unit: Unit) -> None:
        """No answer to `unit`, which was started, is expected any more."""
        ...

    def waits(self, unit: Unit, *, for_it: bool) -> None:
        """`unit` has begun to wait for its next attempt, or does not wait any more."""
        ...

    def away(self, since: float | None, next_try: float | None) -> None:
        """The server does not answer since then, and is tried again then (Unix time); None: it does again."""
        ...

    def stop(self, error: BaseException | None = None) -> None:
        """End now."""
        ...


class RequestWindow(Protocol):
    """The sender of the requests of streams: an endpoint's window, or provider batches."""

    def attach(self, stream: Requester) -> None:
        """Take the requests of `stream` too."""
        ...

    def wake(self) -> None:
        """Something may be there to send, or a stream has ended."""
        ...
