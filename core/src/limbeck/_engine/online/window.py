"""The sliding window of one endpoint: requests in flight up to its limits, whichever streams they come from.

Everything but `serve` runs on the portal's loop, so little is locked. A worker is a permit: it
sends one request after another and ends when there is none to send, or no room. A request
that must wait before its next attempt leaves its worker and waits in a heap, so no permit is
held across a pause. A worker takes the next request only when the answer of the last one is
committed, where there is a ledger.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import threading
import weakref
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from ...errors import AuthenticationError, GenerationError, LedgerError, RateLimitError, TransientError
from ...types import GenerationResponse, PaidAnswer
from ..ledger.batch_records import refusal_of_online
from ..limits.allowances import quota_of
from ..limits.controller import Controller
from ..limits.cycle import Cycle
from ..limits.retry import backoff

if TYPE_CHECKING:
    from ...types import GenerationRequest
    from ..calls.jobs import Unit
    from ..stream.stream import Stream
    from ..threads.portal import Portal
    from .backend import Backend, Result


class Window:
    """Sends the requests of its streams to one endpoint, in turn.

    Args:
        home: where it runs. rng: the source of jitter.
    """

    def __init__(self, home: Portal, *, rng: random.Random | None = None) -> None:
        self.home = home
        self.controller = Controller(ceiling=1)
        self._backends: weakref.WeakSet[Backend] = weakref.WeakSet()
        self._serving = threading.Lock()  # backends are made in any thread
        self._loop = home.loop
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._streams: list[Stream] = []
        self._turn = 0
        self._workers = 0
        self._cycle = Cycle(home.loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self._later: list[tuple[float, int, Unit]] = []
        self._sequence = count()
        self._timer: asyncio.TimerHandle | None = None

    # Admission

    def serve(self, backend: Backend) -> None:
        """Take a backend in. Where several say how much one endpoint bears, the least of it counts."""
        with self._serving:
            first = not self._backends
            self._backends.add(backend)
        self._configure(fresh=first)

    def _configure(self, *, fresh: bool = False) -> None:
        with self._serving:
            backends = list(self._backends)
        ceiling = min(backend.max_concurrency for backend in backends)
        if fresh:
            self.controller = Controller(ceiling=ceiling)
        self.controller.configure(
            ceiling=ceiling,
            rpm=min((backend.rpm for backend in backends if backend.rpm is not None), default=None),
            tpm=min((backend.tpm for backend in backends if backend.tpm is not None), default=None),
        )

    def attach(self, stream: Stream) -> None:
        """Take the requests of `stream` too, in turn with those of the others."""
        if (refusal := refusal_of_online(stream)) is not None:
            stream.stop(refusal)
            return
        self._streams.append(stream)
        self._configure()  # a backend may have gone
        if stream.observers.run_started is not None:
            stream.observers.run_started(run=stream.info)
        self.wake()

    def take(self, unit: Unit) -> None:
        """Send `unit` too, which a provider batch left unanswered."""
        self._retry(unit, 0.0)

    def wake(self) -> None:
        """Something may be there to send: a row came, or there is room again."""
        while self._workers < self.controller.limit and self._cycle.has_room:
            units = self._next()
            if not units:
                return
            self._workers += 1
            task = self._loop.create_task(self._work(units))
            self._tasks.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(self._tasks.discard)

    def _next(self) -> list[Unit]:
        """The next units to send together: one, or up to a batch for a backend that takes batches."""
        if self.home.closing:
            return []
        now = self._loop.time()
        ready = self.controller.ready_at(now)
        if ready > now:
            self._wake_at(ready)
            return []
        unit = self._next_unit(now)
        if unit is None:
            return []
        units = [unit]
        self.controller.sent(now)
        self._cycle.chosen(self.wake)
        size = unit.stream.backend.batch_size
        while len(units) < size and (unit := units[0].stream.next_unit()) is not None:
            units.append(unit)
        for unit in units:
            unit.sent_at = now  # the controller's word for it: a task begins a little later
        return units

    def _next_unit(self, now: float) -> Unit | None:
        if self._later:
            unit = self._due(now)
            if unit is not None and unit.stream.affords(unit):
                return unit
        for _ in range(len(self._streams)):
            self._turn = (self._turn + 1) % len(self._streams)
            stream = self._streams[self._turn]
            unit = stream.next_unit()
            if unit is not None:
                return unit
            if stream.ended:
                self._streams = [other for other in self._streams if not other.ended]
                return self._next_unit(now)
        return None

    def _due(self, now: float) -> Unit | None:
        while self._later:
            due, _, unit = self._later[0]
            if unit.stream.ended:
                heapq.heappop(self._later)
            elif due <= now:
                heapq.heappop(self._later)
                unit.stream.stats.waiting -= 1
                unit.stream.stats.limited -= unit.limited
                return unit
            else:
                self._wake_at(due)
                return None
        return None

    def _wake_at(self, when: float) -> None:
        if self._timer is not None and not self._timer.cancelled() and self._loop.time() < self._timer.when() <= when:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self.wake)

    # Sending

    async def _work(self, units: list[Unit]) -> None:
        try:
            while units:
                if not units[0].stream.ended:  # it may have been stopped since they were taken
                    await self._send(units)
                await self._cycle.wait_for_room()
                units = self._next() if self._workers <= self.controller.limit else []
        except (Exception, KeyboardInterrupt, SystemExit) as exc:  # noqa: BLE001 - a defect, which the takers must hear of instead of waiting
            for unit in units:
                unit.stream.stop(exc)
        finally:
            self._workers -= 1
            if self._workers < self.controller.limit:
                self.wake()

    async def _send(self, units: list[Unit]) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine on a loop has one
        now = self._loop.time()
        for unit in units:
            self._started(unit, task, now)
        try:
            results = await units[0].stream.backend.ask(
                [for_samples(unit) for unit in units], turn=self._cycle.wait_to_send
            )
            latency = self._loop.time() - now
            if units[0].stream.ledger is not None:
                results = await self._kept(units, results, latency)
        except asyncio.CancelledError:
            if not all(unit.stream.ended for unit in units):
                raise
            task.uncancel()  # the stream was stopped, not the worker
            return
        finally:
            for unit in units:
                unit.stream.stats.in_flight -= 1
                unit.stream.running.discard(task)
        for unit, result in zip(units, results, strict=True):
            self._ended(unit, result, latency)

    def _started(self, unit: Unit, task: asyncio.Task[Any], now: float) -> None:
        unit.attempts += 1
        if unit.deadline is None:
            unit.deadline = now + unit.stream.backend.deadline
        stream = unit.stream
        stream.running.add(task)
        stream.stats.requests += 1
        stream.stats.in_flight += 1
        if stream.observers.request_started is not None:
            stream.observers.request_started(run=stream.info, request=unit.request)

    async def _kept(self, units: list[Unit], results: list[Result], latency: float) -> list[Result]:
        """The results, once the answers among them are on disk; a stream whose ledger fails gets that instead."""
        try:
            commits = [
                unit.stream.ledger.keep(_paid(unit, result, latency))
                for unit, result in zip(units, results, strict=True)
                if unit.stream.ledger is not None and isinstance(result, GenerationResponse)
            ]
            if len(commits) == 1:
                await commits[0]
            else:
                await asyncio.gather(*commits)
        except LedgerError as exc:
            return [exc] * len(units)
        return results

    # Taking in the result

    def _ended(self, unit: Unit, result: Result, latency: float) -> None:
        if isinstance(result, GenerationResponse):
            self._answered(unit, result, latency)
        elif isinstance(result, LedgerError):
            unit.stream.stop(result)
        else:
            self._failed(unit, result)

    def _answered(self, unit: Unit, response: GenerationResponse, latency: float) -> None:
        stream, usage = unit.stream, response.usage
        self.controller.answered(
            self._loop.time(),
            latency=latency,
            sent_at=unit.sent_at,
            in_flight=self._workers,
            tokens=usage.input_tokens + usage.output_tokens if usage is not None else None,
            quota=quota_of(response.quota, longest=stream.backend.deadline),
        )
        if stream.observers.request_finished is not None:
            stream.observers.request_finished(run=stream.info, request=unit.request, response=response, latency=latency)
        again = stream.answered(unit, response, latency)
        if again is not None:
            self._retry(again, 0.0)
        if self._workers < self.controller.limit:
            self.wake()

    def _failed(self, unit: Unit, error: GenerationError) -> None:
        stream = unit.stream
        stream.unanswered(unit, error)
        delay = self._delay(unit, error)
        if stream.observers.request_failed is not None:
            stream.observers.request_failed(
                run=stream.info,
                request=unit.request,
                error=error,
                attempt=unit.attempts,
                will_retry=delay is not None,
            )
        if isinstance(error, AuthenticationError):
            stream.stop(error)
        elif delay is None:
            stream.failed(unit, error)
        else:
            stream.retried(unit, error)
            self._retry(unit, delay)

    def _delay(self, unit: Unit, error: GenerationError) -> float | None:
        """Seconds to wait before another attempt, or None when there is to be none."""
        now = self._loop.time()
        unit.limited = isinstance(error, RateLimitError)
        if isinstance(error, RateLimitError):
            unit.attempts -= 1
            unit.refusals += 1
            unit.stream.stats.rate_limited += 1
            # "At once" is what a clock that runs behind ours says too; who believed it would never stop asking.
            wait = error.retry_after or backoff(unit.refusals, self._rng)
            longest = unit.stream.backend.deadline  # nobody is left alone for longer
            quota = quota_of(error.quota, longest=longest)
            self.controller.refused(now, sent_at=unit.sent_at, wait=min(wait, longest), quota=quota)
            delay = wait  # the gate spaces those that wait out
        elif isinstance(error, TransientError):
            self.controller.faulted()
            if unit.attempts >= unit.stream.backend.max_attempts:
                return None
            unit.stream.stats.retries += 1
            delay = backoff(unit.attempts, self._rng, retry_after=error.retry_after)
        else:
            return None
        assert unit.deadline is not None  # set when it was first sent
        return delay if now + delay < unit.deadline else None

    def _retry(self, unit: Unit, delay: float) -> None:
        if not unit.stream.ended:
            when = self._loop.time() + delay
            unit.stream.stats.waiting += 1
            unit.stream.stats.limited += unit.limited
            heapq.heappush(self._later, (when, next(self._sequence), unit))
            self._wake_at(when)


def for_samples(unit: Unit) -> GenerationRequest:
    """The request of `unit`, for as many generations as it has samples."""
    wanted = len(unit.samples)
    return unit.request if unit.request.num_generations == wanted else replace(unit.request, num_generations=wanted)


def _paid(unit: Unit, response: GenerationResponse, latency: float) -> PaidAnswer:
    return PaidAnswer(
        row=unit.job.id,
        samples=unit.samples,
        key=unit.job.key,
        request=unit.request,
        response=response,
        latency=latency,
        attempts=unit.attempts,
        cost=unit.stream.cost_of(unit, response),
    )


_windows: weakref.WeakValueDictionary[str, Window] = weakref.WeakValueDictionary()


def window_at(endpoint: str, home: Portal) -> Window:
    """The window of an endpoint, shared by every backend that reaches it."""
    window = _windows.get(endpoint)
    if window is None or window.home is not home:
        window = _windows[endpoint] = Window(home)
    return window
