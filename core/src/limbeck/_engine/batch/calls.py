"""The calls to a provider's batch API: each made again while it fails for now, and none that could submit twice."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, TypeVar

from ...errors import (
    AuthenticationError,
    BackendError,
    BadRequestError,
    BatchError,
    GenerationError,
    RateLimitError,
    TransientError,
)
from ..threads.attempts import ending_of, leave

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from ...types import BatchSearch, BatchStatus, GenerationResponse
    from ..calls.parties import Answerer
    from ..ledger.batch_records import Batch, BatchRecords
    from ..threads.attempts import Ending

T = TypeVar("T")
Reason: TypeAlias = Literal["refused", "failed", "unreachable"]

_READ_AHEAD = 64  # results
_GROWTH, _LONGEST = 1.5, 10.0  # of an interval, and as a multiple of the first


class BatchCalls:
    """A backend's batch API, with the patience that it needs.

    Every method raises `AuthenticationError` for a key that is refused, and `BatchError` for
    what waiting does not mend, or did not within the backend's `deadline`.
    """

    def __init__(self, backend: Answerer, records: BatchRecords, *, step: str) -> None:
        self._backend = backend
        self._api: Any = backend.llm
        self._records = records
        self._step = step
        self._first_interval: float = getattr(backend.llm, "batch_poll_seconds", 60.0)

    async def submit(self, batch: Batch) -> str:
        """Submit `batch`, once; its id.

        Only a refusal says that it was not accepted. After anything else it is looked for, before it is
        sent again or given up.
        """
        pauses, limit = self._intervals(), self._time_limit()
        while True:
            try:
                return await self._once(lambda: self._api.submit_batch(batch.lines, self._records.intent(batch)))
            except (AuthenticationError, BadRequestError, RateLimitError) as exc:
                failure: GenerationError = exc
            except GenerationError as exc:
                failure = exc
                if (found := await self.find(batch)) is not None:
                    return found
            if not await self._pause(next(pauses), failure, limit):
                await self._refuse(batch, failure)

    async def _refuse(self, batch: Batch, cause: GenerationError) -> NoReturn:
        """Note that a batch is not at the provider, and say why."""
        error = cause if isinstance(cause, AuthenticationError) else self.error("refused", batch, cause)
        await self._records.ended(batch, "failed", str(error))
        raise error from (None if error is cause else cause)

    async def find(self, batch: Batch) -> str | None:
        """The id of a batch that may have been accepted, or None where it was not.

        It is not there only when two searches, an interval apart, say so: what was accepted a
        moment ago may be missing from the provider's list.
        """
        missed = False
        for pause in self._intervals():
            search: BatchSearch = await self._persist(lambda: self._api.find_batch(self._records.intent(batch)), batch)
            if search.id is not None:
                return search.id
            if search.decided and missed:
                return None
            missed = search.decided
            await asyncio.sleep(pause)
        raise AssertionError("intervals never end")

    async def ended(self, batch: Batch, *, fresh: bool) -> BatchStatus:
        """Wait until `batch` has ended, and return its status. A `fresh` one is first given an interval."""
        for pause in self._intervals():
            if fresh:
                await asyncio.sleep(pause)
            fresh = True
            status: BatchStatus = await self._persist(lambda: self._api.poll_batch(batch.id), batch)
            if status.state != "running":
                return status
        raise AssertionError("intervals never end")

    async def results(self, batch: Batch) -> AsyncGenerator[tuple[str, GenerationResponse | GenerationError]]:
        """The results of `batch`, as they are read; from the first again where the reading breaks off.

        The time for that is over when no reading has come further for as long as the deadline.
        """
        pauses, limit, furthest = self._intervals(), self._time_limit(), 0
        while True:
            number = 0
            try:
                async with aclosing(self._read(batch)) as results:
                    async for custom_id, result in results:
                        yield custom_id, result
                        number += 1
                        if number > furthest:
                            furthest, limit = number, self._time_limit()
            except Exception as exc:  # noqa: BLE001 - the isolation boundary of backends: one batch
                failure = self.typed(exc)
            else:
                return
            if not await self._pause(next(pauses), failure, limit):
                self._give_up(failure, batch)

    async def _read(self, batch: Batch) -> AsyncGenerator[tuple[str, Any]]:
        """Read the results of `batch` in a task of its own; each has the time of an attempt."""
        read: asyncio.Queue[Ending] = asyncio.Queue(_READ_AHEAD)
        fetching = asyncio.create_task(_fetch(self._api, batch, read))
        try:
            while True:
                async with asyncio.timeout(None if math.isinf(self._backend.timeout) else self._backend.timeout):
                    result, error = await read.get()
                if error is not None:
                    raise self.typed(error) from error
                if result is None:
                    return
                yield result
        finally:
            leave(fetching)

    # Patience

    async def _persist(self, call: Callable[[], Awaitable[T]], batch: Batch) -> T:
        limit = self._time_limit()
        for pause in self._intervals():
            try:
                return await self._once(call)
            except GenerationError as exc:
                failure = exc
            if not await self._pause(pause, failure, limit):
                self._give_up(failure, batch)
        raise AssertionError("intervals never end")

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T:
        result: T
        result, error = await ending_of(call, self._backend.timeout)
        if error is None:
            return result
        if isinstance(error, GenerationError):
            raise error
        raise self.typed(error) from error

    def typed(self, error: BaseException) -> GenerationError:
        """The API's error, raised or given as a result, as one of the types that the engine tells apart."""
        typed = self._backend.typed(error)
        return typed if isinstance(typed, GenerationError) else BackendError(f"LedgerError: {typed}")

    async def _pause(self, seconds: float, failure: GenerationError, limit: float) -> bool:
        """Wait before another attempt; False where there is to be none: it would not help, or be too late."""
        if not isinstance(failure, TransientError | RateLimitError):
            return False
        seconds = max(seconds, failure.retry_after or 0.0)
        if asyncio.get_running_loop().time() + seconds > limit:
            return False
        await asyncio.sleep(seconds)
        return True

    def _intervals(self) -> Iterator[float]:
        """Seconds to wait, growing from the first interval to ten times that."""
        seconds = self._first_interval
        while True:
            yield seconds
            seconds = min(seconds * _GROWTH, self._first_interval * _LONGEST)

    def _time_limit(self) -> float:
        return asyncio.get_running_loop().time() + self._backend.deadline

    def _give_up(self, failure: GenerationError, batch: Batch) -> NoReturn:
        if isinstance(failure, AuthenticationError):
            raise failure
        raise self.error("unreachable", batch, failure) from failure

    def error(self, reason: Reason, batch: Batch, cause: GenerationError) -> BatchError:
        """The error of a batch as a whole."""
        return BatchError(reason, step=self._step, batch=batch.id, requests=batch.requests, cause=cause)


async def _fetch(api: Any, batch: Batch, read: asyncio.Queue[Ending]) -> None:
    """Put the results of `batch` into `read`, then None, or what was raised."""
    last: BaseException | None = None
    try:
        async with aclosing(api.fetch_batch(batch.id)) as results:
            async for result in results:
                await read.put((result, None))
    except GeneratorExit:  # it is closed with its loop
        raise
    except BaseException as exc:  # noqa: BLE001 - the isolation boundary of backends: one batch
        last = exc
    await read.put((None, last))
