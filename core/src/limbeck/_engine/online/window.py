"""The sliding window of one endpoint: requests in flight up to its limits, whichever streams they come from.

Everything but `serve` runs on the portal's loop, so little is locked. A worker is a permit: it
sends one request after another and ends when there is none to send, or no room. A request
that must wait before its next attempt leaves its worker and waits in a heap, so no permit is
held across a pause. A worker takes the next request only when the answer of the last one is
committed, where there is a ledger.

A backend's coroutine runs in its worker's task, so it may cancel that task, now or by a timer
later, or swallow a cancellation. A worker that was cancelled by nobody of ours ends, and another
goes on with what it had in hand: nothing of it reaches the next request. A worker that does not
come back is abandoned.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
import weakref
from dataclasses import replace
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

from ...errors import (
    BackendError,
    BadRequestError,
    GenerationError,
    LedgerError,
    RateLimitError,
    TransientError,
    UnavailableError,
)
from ...types import Response
from ..calls.log import log
from ..calls.parties import Shared
from ..ledger.batch_records import refusal_of_online
from ..limits.allowances import quota_of
from ..limits.controller import Controller
from ..limits.cycle import Cycle
from ..limits.outage import Outage
from .gathering import Gathering

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextvars import Context

    from ...types import Request
    from ..calls.jobs import Unit
    from ..calls.parties import Requester, Result
    from ..threads.portal import Portal
    from .backend import Backend

_SMALLEST_FIRST_SECONDS = 1000.0
_PAUSE_SECONDS = 1.0  # after a refusal that says nothing of one, where the request itself is given up


class _Hand:
    """The work that a worker holds, and another may go on with: requests sent together, and their results so far.

    Attributes:
        units: the requests; none where the worker was abandoned. fresh: whether they are the worker's first.
        results: what came of them, after `latency` seconds; None until then. commit: done once the answers are on disk.
    """

    __slots__ = ("commit", "fresh", "latency", "results", "units")

    def __init__(self, units: list[Unit]) -> None:
        self.fresh = True
        self.take(units)

    def take(self, units: list[Unit]) -> None:
        """Take other requests, or none."""
        self.units = units
        self.results: list[Result] | None = None
        self.latency = 0.0
        self.commit: asyncio.Future[Any] | None = None


class Window:
    """Sends the requests of its streams to one endpoint, in turn.

    Args:
        home: where it runs.
    """

    def __init__(self, home: Portal) -> None:
        self.home = home
        self.controller = Controller(ceiling=1)
        self._outage = Outage()
        self._backends: weakref.WeakSet[Backend] = weakref.WeakSet()
        self._serving = threading.Lock()  # backends are made in any thread
        self._loop = home.loop
        self._streams: list[Requester] = []
        self._turn = 0
        self._workers: dict[asyncio.Task[None], _Hand] = {}  # the loop itself holds tasks weakly
        self._cycle = Cycle(home.loop)
        self._later: list[tuple[float, int, Unit]] = []
        self._sequence = count()
        self._timer: asyncio.TimerHandle | None = None
        self._gathering = Gathering()
        self._failing_together = False  # what is told now is one word for several units
        self._next_together: float | None = None  # when they are sent again

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

    def attach(self, stream: Requester) -> None:
        """Take the requests of `stream` too, in turn with those of the others."""
        if (refusal := refusal_of_online(stream)) is not None:
            stream.stop(refusal)
            return
        self._streams.append(stream)
        self._configure()  # a backend may have gone
        stream.attached(self.wake)
        if self._outage.away:
            self._tell_away(self._loop.time())
        self.wake()

    def take(self, unit: Unit) -> None:
        """Send `unit` too, which a provider batch left unanswered."""
        self._send_later(unit, 0.0)

    def wake(self) -> None:
        """Something may be there to send: a row came, or there is room again."""
        while self._has_room and self._cycle.takes_beginners:
            units = self._next()
            if not units:
                return
            self._cycle.count_beginner()
            self._begin(_Hand(units))

    @property
    def _has_room(self) -> bool:
        """True if one more worker may begin; a probe may, whoever still waits for a server that is away."""
        return self._outage.away or len(self._workers) < self.controller.limit

    def _begin(self, hand: _Hand) -> None:
        """A worker, in the context of whoever's requests it sends."""
        context = hand.units[0].stream.context
        task = self._loop.create_task(self._work(hand, context), context=context.copy())
        self._workers[task] = hand

    def _next(self) -> list[Unit]:
        """The next units to send together: one, or up to a batch for a backend that takes batches."""
        if self.home.closing:
            return []
        now = self._loop.time()
        ready = max(self.controller.ready_at(now), self._outage.ready_at())
        if ready > now:
            if ready < inf:
                self._wake_at(ready)
            if self._outage.away:
                self._pass_on()
            return []
        unit = self._next_unit(now)
        if unit is None:
            return []
        units = [unit]
        if self._outage.away:
            self._outage.probe = unit
        self.controller.sent(now)
        self._cycle.sent(now, self.wake)
        size = unit.together or unit.stream.backend.batch_size
        while len(units) < size and (unit := self._companion(units[0], now)) is not None:
            units.append(unit)
        for unit in units:
            unit.sent_at = now  # the controller's word for it: a task begins a little later
        return units

    def _pass_on(self) -> None:
        """Have those whose requests others answer too ask them, while nobody is there."""
        waiting = [entry for entry in self._later if entry[2].stream.gives_way]
        if waiting:
            self._later = [entry for entry in self._later if not entry[2].stream.gives_way]
            heapq.heapify(self._later)
        for _, _, unit in waiting:
            if not unit.stream.ended:
                unit.stream.waits(unit, for_it=False)
                unit.stream.refused(unit, unit.stream.absence())
        for stream in [stream for stream in self._streams if stream.gives_way]:
            stream.pass_on()

    def _next_unit(self, now: float) -> Unit | None:
        if self._later:
            unit = self._due(now)
            if unit is not None and unit.stream.reserve(unit):
                return unit
        for _ in range(len(self._streams)):
            self._turn = (self._turn + 1) % len(self._streams)
            stream = self._streams[self._turn]
            ready = self._gathering.ready_at(stream, now)
            if ready > now:
                self._wake_at(ready)
                continue
            unit = stream.next_unit()
            if unit is not None:
                return unit
            if stream.ended:
                self._streams = [other for other in self._streams if not other.ended]
                return self._next_unit(now)
        return None

    def _companion(self, first: Unit, now: float) -> Unit | None:
        """A unit to send together with `first`: one that is due again, as small a part as it, else a new one."""
        stream = first.stream
        if self._later:
            due, _, unit = self._later[0]
            if due <= now and unit.stream is stream and unit.together == first.together and not stream.ended:
                heapq.heappop(self._later)
                stream.waits(unit, for_it=False)
                return unit if stream.reserve(unit) else None
        return stream.next_unit() if first.together is None else None

    def _due(self, now: float) -> Unit | None:
        while self._later:
            due, _, unit = self._later[0]
            if unit.stream.ended:
                heapq.heappop(self._later)
            elif due <= now:
                heapq.heappop(self._later)
                unit.stream.waits(unit, for_it=False)
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

    async def _work(self, hand: _Hand, context: Context) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine on a loop has one
        try:
            await self._send_in_turn(hand, task, context)
        except asyncio.CancelledError:
            if self.home.closing:
                raise
        except (Exception, KeyboardInterrupt, SystemExit) as exc:  # noqa: BLE001 - a defect, which the takers must hear of instead of waiting
            _stop(hand.units, exc)
            hand.units = []
        finally:
            abandoned = self._workers.pop(task, None) is None
        if abandoned:
            return
        if hand.units:  # another caller's, or this worker was cancelled by the backend: another takes its place
            hand.fresh = True
            self._begin(hand)
        elif self._has_room:
            self.wake()

    async def _send_in_turn(self, hand: _Hand, task: asyncio.Task[None], context: Context) -> None:
        while hand.units and hand.units[0].stream.context is context and not task.cancelling():
            if not hand.units[0].stream.ended:
                await self._send(hand, task)
            elif hand.results is not None:  # of another worker
                _withdraw(hand.units)
            if not hand.units:
                return
            self._outage.lost(hand.units[0])  # if nothing was heard of it
            hand.take([])
            hand.fresh = False
            await self._cycle.wait()
            if self._outage.away or len(self._workers) <= self.controller.limit:
                hand.take(self._next())

    async def _send(self, hand: _Hand, task: asyncio.Task[None]) -> None:
        """Send what is in hand, unless that was done, and take in what came of it.

        Raises:
            CancelledError: by nobody of ours, or with the loop; `hand` holds how far it came.
        """
        units = hand.units
        stream = units[0].stream
        stream.running.add(task)
        try:
            if hand.results is None:
                now = self._started(units, stream)
                hand.results = await stream.backend.ask(list(map(for_samples, units)), stream.tell)
                hand.latency = self._loop.time() - now
                if task.cancelling():
                    raise asyncio.CancelledError
            if stream.ledger is not None and hand.units:
                await _commit(hand, stream)
        except asyncio.CancelledError as exc:
            self._interrupted(hand, stream, exc)
            if not stream.ended:
                raise
            task.uncancel()  # the stream was stopped, not the worker
            return
        finally:
            stream.running.discard(task)
        if _refused_together(hand):
            self._divide(hand)
            return
        answered = self._measure(hand)
        self._failing_together = isinstance(hand.results, Shared)
        for unit, result in zip(hand.units, hand.results or (), strict=False):
            self._ended(unit, result, hand.latency)
        self._failing_together, self._next_together = False, None
        if answered and len(self._workers) < self.controller.limit:
            self.wake()

    def _started(self, units: list[Unit], stream: Requester) -> float:
        """Say that requests are on their way, and when they went."""
        now = self._loop.time()
        for unit in units:
            if unit.deadline is None:
                unit.deadline = now + stream.backend.deadline
            stream.started(unit)
        return now

    def _interrupted(self, hand: _Hand, stream: Requester, error: asyncio.CancelledError) -> None:
        """The stream or the loop has ended, or the backend has cancelled the task: in this request, or before."""
        if stream.ended or self.home.closing:
            _withdraw(hand.units)
        elif hand.results is None and hand.fresh:  # nobody but these requests could
            hand.results = [stream.backend.typed(error) for _ in hand.units]
        elif hand.results is None:
            _withdraw(hand.units)  # they are sent again
        elif hand.commit is not None and hand.commit.cancelled():
            hand.commit = None  # a store of somebody else's: they are handed to it again

    def abandon(self, task: asyncio.Task[None]) -> None:
        """Go on without a worker whose attempt is out of time, and has not ended though it was cancelled.

        Its requests have failed; what it may still bring is dropped.
        """
        hand = self._workers.pop(task, None)
        if hand is None:
            return
        units, hand.units = hand.units, []
        try:
            self._give_up(units, task)
        except Exception as exc:  # noqa: BLE001 - a defect, as above
            _stop(units, exc)
        self.wake()

    def _give_up(self, units: list[Unit], task: asyncio.Task[None]) -> None:
        stream = units[0].stream
        stream.running.discard(task)
        for unit in units:
            if stream.ended:
                stream.withdrawn(unit)
            else:
                self._ended(unit, stream.backend.typed(TimeoutError()), 0.0)
        self._outage.lost(units[0])

    # Taking in the result

    def _measure(self, hand: _Hand) -> bool:
        """Tell the controller of the answers to what was sent together, one request to the server; False for none."""
        answers = [
            (unit, result)
            for unit, result in zip(hand.units, hand.results or (), strict=False)
            if isinstance(result, Response)
        ]
        if not answers:
            return False
        unit, response = answers[0]
        self._heard(unit)
        used = [usage.input_tokens + usage.output_tokens for _, each in answers if (usage := each.usage) is not None]
        self.controller.answered(
            self._loop.time(),
            latency=hand.latency,
            sent_at=unit.sent_at,
            in_flight=len(self._workers),
            tokens=sum(used) if used else None,
            quota=quota_of(response.quota, longest=unit.stream.backend.deadline),
        )
        return True

    def _divide(self, hand: _Hand) -> None:
        """Send in halves what was refused together, so that what is at fault is alone in the end.

        The smallest are sent first: rows that fail for good are heard of early, should it be the fault of all.
        """
        now, half = self._loop.time(), (len(hand.units) + 1) // 2
        self._heard(hand.units[0])
        for unit, error in zip(hand.units, hand.results or (), strict=True):
            assert isinstance(error, GenerationError)  # it was refused
            unit.together = half
            if unit.stream.failed(unit, error, now, spared=True) is not None:
                self._send_later(unit, -_SMALLEST_FIRST_SECONDS / half)

    def _ended(self, unit: Unit, result: Result, latency: float) -> None:
        if isinstance(result, Response):
            self._answered(unit, result, latency)
        elif isinstance(result, LedgerError):
            unit.stream.withdrawn(unit)
            unit.stream.stop(result)
        else:
            self._failed(unit, result)

    def _answered(self, unit: Unit, response: Response, latency: float) -> None:
        again = unit.stream.answered(unit, response, latency)
        if again is not None:
            self._send_later(again, 0.0)

    def _failed(self, unit: Unit, error: GenerationError) -> None:
        now = self._loop.time()
        spared = self._is_away(unit, error, now)
        delay = unit.stream.failed(unit, error, now, spared=spared)
        if isinstance(error, RateLimitError):
            self._heed(error, unit, delay)
        elif isinstance(error, TransientError):
            self.controller.faulted()
        if delay is not None:
            if spared and self._outage.away:
                delay = 0.0  # a probe decides when the server is asked again
            log.info("row %s is asked again in %.1f s: %s", unit.job.id, delay, error)
            self._send_at(unit, self._together_at(now + delay))

    def _is_away(self, unit: Unit, error: GenerationError, now: float) -> bool:
        """Tell whether `error` says nothing of the request, since nobody is there to take it."""
        stream, outage, was_away = unit.stream, self._outage, self._outage.away
        # A time-out or a 500 does not begin an absence, and does not end one.
        if not isinstance(error, UnavailableError) and not (was_away and isinstance(error, TransientError)):
            if not isinstance(error, TransientError | BackendError):
                self._heard(unit)
            return False
        spared = outage.found_nobody(
            unit,
            now,
            in_flight=len(self._workers),
            patience=inf if stream.gives_way else stream.backend.deadline,
            answered_before=stream.stats.reused > 0 or stream.gives_way,
            retry_after=error.retry_after,
        )
        if outage.away:
            self._tell_away(now)
            if not was_away:
                name = stream.info.model_name
                log.warning("%s does not answer, and is asked again now and then: %s", name, error)
        elif was_away:
            self._tell_back("%s has not answered for as long as a row's requests may take.")
        return spared

    def _heard(self, unit: Unit) -> None:
        if self._outage.heard(unit.sent_at):
            self._tell_back("%s answers again.")

    def _tell_away(self, now: float) -> None:
        since = self._outage.since
        assert since is not None  # it is away
        clock = time.time() - now  # the loop's clock has another beginning
        for stream in self._streams:
            stream.away(since + clock, self._outage.next_try + clock)

    def _tell_back(self, message: str) -> None:
        for stream in self._streams:
            stream.away(None, None)
        for name in dict.fromkeys(stream.info.model_name for stream in self._streams):
            log.warning(message, name)

    def _heed(self, refusal: RateLimitError, unit: Unit, delay: float | None) -> None:
        """Leave the server alone for as long as it asks, but nobody for longer than a row's requests may take."""
        longest = unit.stream.backend.deadline
        wait = min(refusal.retry_after or delay or _PAUSE_SECONDS, longest)
        quota = quota_of(refusal.quota, longest=longest)
        self.controller.refused(self._loop.time(), sent_at=unit.sent_at, wait=wait, quota=quota)
        log.info(
            "%s refused a request for rate; its pace is %s a second", unit.stream.info.model_name, self.controller.pace
        )

    def _together_at(self, when: float) -> float:
        """The time at which a unit is sent again: that of the first of those that have failed with it."""
        if not self._failing_together:
            return when
        self._next_together = when if self._next_together is None else self._next_together
        return self._next_together

    def _send_later(self, unit: Unit, delay: float) -> None:
        self._send_at(unit, self._loop.time() + delay)

    def _send_at(self, unit: Unit, when: float) -> None:
        if not unit.stream.ended:
            unit.stream.waits(unit, for_it=True)
            heapq.heappush(self._later, (when, next(self._sequence), unit))
            self._wake_at(when)


async def _commit(hand: _Hand, stream: Requester) -> None:
    """Wait until the answers among the results are on disk; a stream whose ledger fails gets that instead."""
    assert hand.results is not None  # it was asked
    try:
        if hand.commit is None:
            answers = [
                (unit, result)
                for unit, result in zip(hand.units, hand.results, strict=True)
                if isinstance(result, Response)
            ]
            together = stream.keep_all(answers, hand.latency) if len(answers) > 1 else None
            commits = [together] if together is not None else [stream.keep(*answer, hand.latency) for answer in answers]
            hand.commit = _together([commit for commit in commits if commit is not None])
        await hand.commit
    except LedgerError as exc:
        hand.results = [exc] * len(hand.units)


def _together(commits: list[Awaitable[None]]) -> asyncio.Future[Any]:
    if len(commits) == 1:
        return asyncio.ensure_future(commits[0])
    return asyncio.gather(*commits)


def _refused_together(hand: _Hand) -> bool:
    """Tell whether several requests were refused with one word, which says of none that it is at fault."""
    shared = isinstance(hand.results, Shared) and len(hand.units) > 1
    return shared and hand.results is not None and isinstance(hand.results[0], BadRequestError)


def _withdraw(units: list[Unit]) -> None:
    for unit in units:
        unit.stream.withdrawn(unit)


def _stop(units: list[Unit], error: BaseException) -> None:
    for unit in units:
        unit.stream.stop(error)


def for_samples(unit: Unit) -> Request:
    """The request of `unit`, for as many generations as it has samples."""
    wanted = len(unit.samples)
    if unit.request.num_generations == wanted:
        return unit.request
    return replace(unit.request, num_generations=wanted)  # type: ignore[arg-type]  # only of what has several


_windows: weakref.WeakValueDictionary[str, Window] = weakref.WeakValueDictionary()


def window_at(endpoint: str, home: Portal) -> Window:
    """The window of an endpoint, shared by every backend that reaches it."""
    window = _windows.get(endpoint)
    if window is None or window.home is not home:
        window = _windows[endpoint] = Window(home)
    return window
