"""The sliding window of one LLM: at most W requests in flight, whichever streams they come from.

Everything here runs on the portal's loop, so nothing is locked. A worker is a permit: it
sends one request after another and ends when there is none to send. A request that must
wait before its next attempt leaves its worker and waits in a heap, so no permit is held
across a pause.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from ..errors import AuthenticationError, BackendError, GenerationError, RateLimitError, TransientError
from ..protocols import check_llm
from ..types import Capabilities, GenerationResponse
from .portal import portal
from .retry import backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..types import GenerationRequest
    from .portal import Portal
    from .stream import Stream, Unit

# A backend that never suspends (an in-process model) must still let the loop breathe.
_BREATHE_EVERY = 64


class Window:
    """Sends the requests of its streams to one LLM, in turn.

    Args:
        llm: anything `check_llm` accepts. home: where it runs.
        rng: the source of jitter.
    """

    def __init__(self, llm: Any, home: Portal, *, rng: random.Random | None = None) -> None:
        self.llm = llm
        self._home = home
        self._loop = home.loop
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self.limit: int = getattr(llm, "max_concurrency", 64)
        self._timeout: float = getattr(llm, "timeout", 600.0)
        self._deadline: float = getattr(llm, "deadline", 3600.0)
        self._max_attempts: int = getattr(llm, "max_attempts", 5)
        capabilities = getattr(llm, "capabilities", None)
        self.native_n = isinstance(capabilities, Capabilities) and capabilities.native_n
        self._streams: list[Stream] = []
        self._turn = 0
        self._workers = 0
        self._later: list[tuple[float, int, Unit]] = []
        self._sequence = count()
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._batch_size = int(getattr(llm, "batch_size", 16)) if callable(getattr(llm, "generate_batch", None)) else 1
        self._ask = self._asker()

    def _asker(self) -> Callable[[Any], Awaitable[Any]]:
        agenerate = getattr(self.llm, "agenerate", None)
        if agenerate is not None:
            return agenerate  # type: ignore[no-any-return]  # checked by `check_llm`
        return lambda request: self._in_thread(self.llm.generate, request)

    def _in_thread(self, function: Callable[..., Any], argument: Any) -> Awaitable[Any]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.limit, thread_name_prefix="limbeck-llm")
        return self._loop.run_in_executor(self._threads, function, argument)

    # Admission

    def attach(self, stream: Stream) -> None:
        """Take the requests of `stream` too, in turn with those of the others."""
        self._streams.append(stream)
        if stream.observers.run_started is not None:
            stream.observers.run_started(run=stream.info)
        self.wake()

    def wake(self) -> None:
        """Something may be there to send: a row came, or there is room again."""
        while self._workers < self.limit:
            units = self._next()
            if not units:
                return
            self._workers += 1
            self._loop.create_task(self._work(units)).add_done_callback(_surface)

    def _next(self) -> list[Unit]:
        """The next units to send together: one, or up to a batch for a backend that takes batches."""
        if self._is_paused():
            return []
        unit = self._next_unit()
        units = [unit] if unit is not None else []
        while units and len(units) < self._batch_size and (unit := self._next_unit()) is not None:
            units.append(unit)
        return units

    def _is_paused(self) -> bool:
        if self._paused_until == 0.0:
            return False
        if self._loop.time() < self._paused_until:
            self._wake_at(self._paused_until)
            return True
        self._paused_until = 0.0
        return False

    def _next_unit(self) -> Unit | None:
        if self._later:
            unit = self._due()
            if unit is not None:
                return unit
        for _ in range(len(self._streams)):
            self._turn = (self._turn + 1) % len(self._streams)
            stream = self._streams[self._turn]
            unit = stream.next_unit()
            if unit is not None:
                return unit
            if stream.ended:
                self._streams = [other for other in self._streams if not other.ended]
                return self._next_unit()
        return None

    def _due(self) -> Unit | None:
        while self._later:
            due, _, unit = self._later[0]
            if unit.stream.ended:
                heapq.heappop(self._later)
            elif due <= self._loop.time():
                heapq.heappop(self._later)
                unit.stream.stats.waiting -= 1
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
        sent = 0
        try:
            while units:
                await self._send(units)
                sent += 1
                if sent % _BREATHE_EVERY == 0:
                    await asyncio.sleep(0)
                units = self._next() if self._workers <= self.limit else []
        finally:
            self._workers -= 1

    async def _send(self, units: list[Unit]) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine on a loop has one
        for unit in units:
            self._started(unit, task)
        started = self._loop.time()
        try:
            results = await self.ask_once([_for_samples(unit) for unit in units])
        except asyncio.CancelledError:
            if not all(unit.stream.ended for unit in units):
                raise
            task.uncancel()  # the stream was stopped, not the worker
            return
        finally:
            for unit in units:
                unit.stream.stats.in_flight -= 1
                unit.stream.running.discard(task)
        latency = self._loop.time() - started
        for unit, result in zip(units, results, strict=True):
            self._ended(unit, result, latency)

    def _started(self, unit: Unit, task: asyncio.Task[Any]) -> None:
        unit.attempts += 1
        if unit.deadline is None:
            unit.deadline = self._loop.time() + self._deadline
        stream = unit.stream
        stream.running.add(task)
        stream.stats.requests += 1
        stream.stats.in_flight += 1
        if stream.observers.request_started is not None:
            stream.observers.request_started(run=stream.info, request=unit.request)

    async def ask_once(self, requests: list[GenerationRequest]) -> list[GenerationResponse | GenerationError]:
        """Send requests together (one, unless the backend takes batches), once: each one's response or typed error."""
        return await (self._ask_batch(requests) if self._batch_size > 1 else self._ask_one(requests[0]))

    async def _ask_one(self, request: GenerationRequest) -> list[GenerationResponse | GenerationError]:
        try:
            async with asyncio.timeout(self._timeout):
                return [_checked(await self._ask(request))]
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of backends: one request
            return [_typed(exc, self._timeout)]

    async def _ask_batch(self, requests: list[GenerationRequest]) -> list[GenerationResponse | GenerationError]:
        try:
            results = list(await self._in_thread(self.llm.generate_batch, requests))
            if len(results) != len(requests):
                raise BackendError(f"`generate_batch` returned {len(results)} results for {len(requests)} requests.")
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of backends: one batch
            return [_typed(exc, self._timeout)] * len(requests)
        return [
            _typed(result, self._timeout) if isinstance(result, Exception) else _checked_or_error(result)
            for result in results
        ]

    # Taking in the result

    def _ended(self, unit: Unit, result: GenerationResponse | GenerationError, latency: float) -> None:
        stream = unit.stream
        if isinstance(result, GenerationResponse):
            if stream.observers.request_finished is not None:
                stream.observers.request_finished(
                    run=stream.info, request=unit.request, response=result, latency=latency
                )
            again = stream.answered(unit, result, latency)
            if again is not None:
                self._retry(again, 0.0)
            return
        delay = self._delay(unit, result)
        if stream.observers.request_failed is not None:
            stream.observers.request_failed(
                run=stream.info,
                request=unit.request,
                error=result,
                attempt=unit.attempts,
                will_retry=delay is not None,
            )
        if isinstance(result, AuthenticationError):
            stream.stop(result)
        elif delay is None:
            stream.failed(unit, result)
        else:
            self._retry(unit, delay)

    def _delay(self, unit: Unit, error: GenerationError) -> float | None:
        """Seconds to wait before another attempt, or None when there is to be none."""
        if isinstance(error, RateLimitError):
            unit.attempts -= 1
            unit.refusals += 1
            unit.stream.stats.rate_limited += 1
            delay = backoff(unit.refusals, self._rng, retry_after=error.retry_after)
            self._paused_until = max(self._paused_until, self._loop.time() + (error.retry_after or delay))
        elif isinstance(error, TransientError) and unit.attempts < self._max_attempts:
            unit.stream.stats.retries += 1
            delay = backoff(unit.attempts, self._rng, retry_after=error.retry_after)
        else:
            return None
        assert unit.deadline is not None  # set when it was first sent
        return delay if self._loop.time() + delay < unit.deadline else None

    def _retry(self, unit: Unit, delay: float) -> None:
        if not unit.stream.ended:
            unit.stream.stats.waiting += 1
            heapq.heappush(self._later, (self._loop.time() + delay, next(self._sequence), unit))
            self._wake_at(self._loop.time() + delay)

    async def aclose(self) -> None:
        """Close the LLM's client and threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        aclose = getattr(self.llm, "aclose", None)
        if aclose is not None:
            await aclose()


def _for_samples(unit: Unit) -> GenerationRequest:
    wanted = len(unit.samples)
    return unit.request if unit.request.num_generations == wanted else replace(unit.request, num_generations=wanted)


def _checked(response: Any) -> GenerationResponse:
    if not isinstance(response, GenerationResponse):
        raise BackendError(f"The backend returned {type(response).__name__}, not a GenerationResponse.")
    return response


def _checked_or_error(response: Any) -> GenerationResponse | GenerationError:
    try:
        return _checked(response)
    except BackendError as exc:
        return exc


def _typed(error: Exception, timeout: float) -> GenerationError:
    if isinstance(error, GenerationError):
        return error
    if isinstance(error, TimeoutError):
        return TransientError(f"No answer within {timeout:g} seconds.")
    typed = BackendError(f"{type(error).__name__}: {error}")
    typed.__cause__ = error
    return typed


def _surface(task: asyncio.Task[None]) -> None:
    """A worker's own failure is a defect of ours: show it instead of losing a permit in silence."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "A Limbeck worker failed", "exception": error, "task": task})


_windows: weakref.WeakValueDictionary[int, Window] = weakref.WeakValueDictionary()


def window_of(llm: Any) -> Window:
    """The window of this LLM object, shared by every task that holds it.

    It lives as long as somebody holds it; then the LLM's client is closed on the loop that made it.
    """
    home = portal()
    window = _windows.get(id(llm))
    if window is None or window._home is not home:  # noqa: SLF001 - its own module
        check_llm(llm)
        window = _windows[id(llm)] = Window(llm, home)
        home.on_shutdown(id(window), _closer(llm))
        weakref.finalize(window, _close_later, home, id(window), llm).atexit = False
    return window


def _closer(llm: Any) -> Callable[[], Any]:
    async def close() -> None:
        aclose = getattr(llm, "aclose", None)
        if aclose is not None:
            await aclose()

    return close


def _close_later(home: Portal, key: int, llm: Any) -> None:
    home.on_shutdown(key, None)
    if home.usable and not home.loop.is_closed():
        home.submit(_closer(llm)())
