"""Provider batches in place of the sliding window: requests are gathered, submitted together, and waited for.

A batch goes through four stations, and the ledger knows of each before the next: intended
(with its entries, before anything is sent), submitted (with the provider's id), and then,
entry by entry, answered, until it is collected. A run that ends anywhere in between finds it
again: nothing is submitted twice, and no answer is read for nothing.

Everything here runs on the portal's loop, so nothing is locked.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from ...backends import sendable
from ...errors import (
    BadRequestError,
    ConfigurationError,
    GenerationError,
    LedgerError,
    RateLimitError,
    TransientError,
)
from ...types import GenerationRequest, GenerationResponse
from ..ledger.batch_records import Batch, records_of
from ..online.window import for_samples
from .calls import BatchCalls
from .claims import Claims

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Hashable

    from ...types import BatchStatus
    from ..calls.jobs import Unit
    from ..calls.parties import Requester
    from ..ledger.batch_records import BatchRecords, Entry
    from ..threads.portal import Portal

# Units taken before the loop may do something else, and answers committed together.
_BREATHE_EVERY = 256
_COMMITTED_TOGETHER = 512


class BatchWindow:
    """Stands where a `Window` does, for a backend whose mode is "batch". Each stream has its own batches."""

    def __init__(self, home: Portal) -> None:
        self._home = home
        self._lines: list[_Line] = []

    def attach(self, stream: Requester) -> None:
        """Take the requests of `stream`: those of batches that an earlier run left, first."""
        records = records_of(stream)
        if records is None:
            stream.stop(
                ConfigurationError(
                    '`mode="batch"` needs a run directory: a batch takes up to a day, and without the ledger in it '
                    'nobody could pick the batch up again. Pass a path as `run_dir=` to `run`, or set `mode="online"`.'
                )
            )
            return
        stream.attached(self.wake)
        line = _Line(stream, records, self._home.loop)
        self._lines.append(line)
        try:
            line.start()
        except LedgerError as exc:
            stream.stop(exc)

    def wake(self) -> None:
        """Rows came, there is room again, or a stream has ended."""
        self._lines = [line for line in self._lines if not line.ended]
        for line in list(self._lines):
            line.wake()


@dataclass(frozen=True, slots=True)
class _Settings:
    """The batch fields of an LLM, or what they are by default."""

    max_open: int
    gather_seconds: float
    max_requests: int
    max_bytes: int
    price_share: float
    online: bool

    @classmethod
    def of(cls, llm: Any) -> Self:
        limits = llm.batch_limits
        return cls(
            max_open=getattr(llm, "batch_max_open", 8),
            gather_seconds=getattr(llm, "batch_gather_seconds", 5.0),
            max_requests=min(getattr(llm, "batch_max_requests", None) or limits.requests, limits.requests),
            max_bytes=limits.bytes,
            price_share=limits.price_share,
            online=getattr(llm, "batch_fallback", None) == "online",
        )


@dataclass(slots=True)
class _Results:
    """The results read of a batch and not given away yet: answers and errors by custom id; the answers' latency."""

    answers: dict[str, GenerationResponse] = field(default_factory=dict)
    errors: dict[str, GenerationError] = field(default_factory=dict)
    latency: float = 0.0

    def lack(self, batch: Batch, custom_id: str) -> bool:
        """Tell whether an entry of `batch` has no result yet."""
        return custom_id in batch.entries and custom_id not in self.answers and custom_id not in self.errors

    def missing_of(self, batch: Batch) -> list[str]:
        """The entries of `batch` that have none."""
        return [custom_id for custom_id in batch.entries if self.lack(batch, custom_id)]


class _Line:
    """One stream's batches: from its requests to batches, and from their results to its rows."""

    def __init__(self, stream: Requester, records: BatchRecords, loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._records = records
        self._stats = stream.stats
        self._loop = loop
        self._api: Any = stream.backend.llm
        self._settings = _Settings.of(self._api)
        self._calls = BatchCalls(stream.backend, records, step=stream.info.task)
        self._max_open = self._settings.max_open
        self._again: deque[Unit] = deque()  # what a batch left unanswered
        self._gathering: dict[Hashable, Batch] = {}  # one a group
        self._full: deque[Batch] = deque()  # these wait until fewer are open
        self._open: dict[str, Batch] = {}
        self._claims = Claims()
        self._collecting = 0  # batches whose results are being read: they may leave something for the next
        self._last_unit_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        """True if the stream is over. Batches that are open then stay noted in the ledger."""
        return self._stream.ended

    def start(self) -> None:
        """Go on with what an earlier run left, and take the first rows."""
        for batch in self._records.open_batches() if self._stream.asks else ():
            if batch.id is not None and not batch.entries:
                self._records.read_already(batch)
                continue
            for entry in batch.entries.values():
                self._claims.expect(entry)
            self._launch(batch)
        self.wake()

    def _stop(self) -> None:
        """The rows are done, or nobody wants them. What is open may hold answers for others, and stays noted."""
        if self._timer is not None:
            self._timer.cancel()

    # From rows to batches

    def wake(self) -> None:
        """Take what requests there are; submit what is full, or what waits for rows that do not come."""
        if self.ended:
            self._stop()
            return
        units_taken = 0
        while not self._full and not self.ended:
            if units_taken == _BREATHE_EVERY:
                self._loop.call_soon(self.wake)
                return
            unit = self._next()
            if unit is None:
                self._end_gathering()
                return
            units_taken += 1
            self._last_unit_at = self._loop.time()
            self._place(unit)

    def _next(self) -> Unit | None:
        """The next request to place, what a batch left unanswered first."""
        if not self._again:
            return self._stream.next_unit()
        unit = self._again.popleft()
        return unit if self._stream.reserve(unit) else None

    def _end_gathering(self) -> None:
        """There is nothing to take just now: batches are closed at the end of the rows, or when none come for long."""
        if not self._gathering or self.ended:
            return
        idle = self._loop.time() - self._last_unit_at
        if (self._stream.exhausted and not self._collecting) or idle >= self._settings.gather_seconds:
            for group in list(self._gathering):
                self._close(group)
        elif self._timer is None:
            self._timer = self._loop.call_at(self._last_unit_at + self._settings.gather_seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.wake()

    def _place(self, unit: Unit) -> None:
        """Put a request into the batch that is gathered of its group, unless one that is open has it already."""
        claimed, rest = self._claims.claim(unit)
        for entry in claimed:
            assert entry.unit is not None  # it has just been claimed for one
            self._stream.expects(entry.unit, share=self._settings.price_share)
            if entry.response is not None:
                self._answered(entry.unit, entry.response, entry.latency)
        if rest is not None and not self.ended:
            self._gather(rest)

    def _gather(self, unit: Unit) -> None:
        try:
            group = self._group_of(unit)
            batch = self._gathering.get(group) or Batch()
            request = for_samples(unit)
            assert isinstance(request, GenerationRequest)  # only LLMs have batches
            request = sendable(request, self._api)
            line: bytes = self._api.encode_batch_entry(batch.next_id(), request)
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of backends: one request
            self._stream.refused(unit, self._calls.typed(exc))
            return
        if len(line) > self._settings.max_bytes:
            error = BadRequestError(f"The request is larger than a whole batch may be ({len(line)} bytes).")
            self._stream.refused(unit, error)
        elif batch.requests and batch.size + len(line) > self._settings.max_bytes:
            self._close(group)
            self._gather(unit)
        else:
            self._gathering[group] = batch
            batch.add(unit, line)
            if batch.requests >= self._settings.max_requests:
                self._close(group)

    def _group_of(self, unit: Unit) -> Hashable:
        """The group of a request, where its backend has any: no batch holds requests of two."""
        batch_group = getattr(self._api, "batch_group", None)
        if batch_group is None:
            return None
        group: Hashable = batch_group(unit.request)
        hash(group)
        return group

    def _close(self, group: Hashable) -> None:
        self._full.append(self._gathering.pop(group))
        self._launch_full()

    def _launch_full(self) -> None:
        while self._full and len(self._open) < self._max_open:
            self._launch(self._full.popleft())

    # A batch on its way

    def _launch(self, batch: Batch) -> None:
        self._open[batch.token] = batch
        self._stats.batches += 1
        task = self._loop.create_task(self._attended(batch), context=self._stream.context.copy())
        self._stream.running.add(task)  # so that it ends with the stream
        task.add_done_callback(self._stream.running.discard)

    async def _attended(self, batch: Batch) -> None:
        """Bring a batch home; what goes wrong with it as a whole stops the run."""
        try:
            await self._follow(batch)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the taker must hear of it instead of waiting
            self._stream.stop(exc)
        else:
            self._launch_full()
            self.wake()

    def _home(self, batch: Batch) -> None:
        """Nothing is to be expected of a batch any more, and the ledger knows it."""
        del self._open[batch.token]
        self._stats.batches -= 1

    async def _follow(self, batch: Batch) -> None:
        fresh = bool(batch.lines)
        if fresh:
            await self._submit(batch)
        elif batch.id is None and not await self._found(batch):
            return
        status = await self._calls.ended(batch, fresh=fresh)
        if status.state == "failed":
            await self._fail(batch, status)
        else:
            await self._collect(batch)

    async def _submit(self, batch: Batch) -> None:
        await self._records.intend(batch)
        for entry in batch.entries.values():
            assert entry.unit is not None  # a batch of this run has all its units
            self._stream.started(entry.unit, share=self._settings.price_share)
        batch.id = await self._calls.submit(batch)
        batch.lines = []
        await self._records.submitted(batch)

    async def _found(self, batch: Batch) -> bool:
        """Tell whether a batch with a noted intent was in fact submitted; if not, its rows are free for another."""
        batch.id = await self._calls.find(batch)
        if batch.id is not None:
            await self._records.submitted(batch)
            return True
        await self._records.ended(batch, "lost", "It never reached the provider.")
        self._home(batch)
        for unit in self._drop(batch):
            unit.attempts = 0
            self._again.append(unit)
        return False

    async def _fail(self, batch: Batch, status: BatchStatus) -> None:
        """A batch failed as a whole: for what is in the account's queue, for now, or for good."""
        error = status.error or BadRequestError("The provider does not say why.")
        await self._records.ended(batch, "failed", str(error))
        self._home(batch)
        if isinstance(error, RateLimitError) and self._open:
            self._max_open = len(self._open)  # there is room for another when one of these has ended
            for unit in self._drop(batch):
                unit.attempts -= 1
                self._again.append(unit)
        elif isinstance(error, TransientError):
            for unit in self._drop(batch):
                self._failed(unit, error)
        else:
            raise self._calls.error("failed", batch, error) from error

    def _drop(self, batch: Batch) -> list[Unit]:
        """Expect nothing of a batch any more; the units that waited for it."""
        units = []
        for entry in batch.entries.values():
            if entry.unit is None:
                self._claims.forget(entry)
            else:
                self._stream.withdrawn(entry.unit)
                units.append(entry.unit)
        batch.entries = {}
        return units

    # Results

    async def _collect(self, batch: Batch) -> None:
        """Read the results. It is noted as read before the last of them are given away, which may end the run."""
        self._collecting += 1
        results = _Results()
        await self._read(batch, results)
        if results.missing_of(batch):  # a file that was cut short on its way is no reason to buy again
            await self._read(batch, results)
        for custom_id in results.missing_of(batch):
            results.errors[custom_id] = TransientError(f"The batch {batch.id!r} ended without a word on this request.")
        await self._commit(batch, results)
        await self._records.ended(batch, "collected")
        self._home(batch)
        self._give(batch, results)
        for custom_id, error in results.errors.items():
            self._unanswered(batch.entries.pop(custom_id), error)
        self._collecting -= 1  # now what follows from the answers is all there

    async def _read(self, batch: Batch, results: _Results) -> None:
        async with aclosing(self._calls.results(batch)) as lines:
            async for custom_id, result in lines:
                if not results.lack(batch, custom_id):  # read before, or not ours
                    continue
                if len(results.answers) >= _COMMITTED_TOGETHER:
                    await self._commit(batch, results)
                    self._give(batch, results)
                checked = (
                    result if isinstance(result, Exception) else self._stream.backend.judged(result, self._stream.tell)
                )
                if isinstance(checked, Exception):
                    results.errors[custom_id] = self._calls.typed(checked)
                else:
                    assert isinstance(checked, GenerationResponse)  # only LLMs have batches
                    results.answers[custom_id] = checked

    async def _commit(self, batch: Batch, results: _Results) -> None:
        """Have answers on disk. A row that comes meanwhile still finds its entry waiting."""
        results.latency = max(time.time() - batch.at, 0.0)
        commits = [
            self._kept(custom_id, batch.entries[custom_id], response, results.latency)
            for custom_id, response in results.answers.items()
        ]
        for commit in commits:
            await commit

    def _give(self, batch: Batch, results: _Results) -> None:
        """Give committed answers to the rows that wait for them."""
        for custom_id, response in results.answers.items():
            entry = batch.entries.pop(custom_id)
            if entry.unit is None:
                entry.response, entry.latency = response, results.latency  # for its row, when it comes
            else:
                self._answered(entry.unit, response, results.latency)
        results.answers = {}

    def _unanswered(self, entry: Entry, error: GenerationError) -> None:
        if entry.unit is None:
            self._claims.forget(entry)
            self._stream.failed_before(entry, error, share=self._settings.price_share)
        else:
            self._failed(entry.unit, error)

    def _kept(self, custom_id: str, entry: Entry, response: GenerationResponse, latency: float) -> Awaitable[None]:
        share = self._settings.price_share
        return self._stream.keep_entry(entry, response, latency, batch=custom_id, share=share)

    def _answered(self, unit: Unit, response: GenerationResponse, latency: float) -> None:
        again = self._stream.answered(unit, response, latency)
        if again is not None:
            self._ask_again(again)

    def _failed(self, unit: Unit, error: GenerationError) -> None:
        if self._stream.failed(unit, error, self._loop.time()) is not None:
            self._ask_again(unit)

    def _ask_again(self, unit: Unit) -> None:
        """Ask for what a batch left unanswered: in the next one, or at once and one by one."""
        if self._settings.online:
            self._stream.backend.online.take(unit)
        else:
            self._again.append(unit)
