"""One LLM object as the engine uses it: whatever form its methods have, requests in and typed results out."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import weakref
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ...backends import legible, legible_usage, sendable
from ...errors import (
    BackendError,
    BadRequestError,
    GenerationError,
    LedgerError,
    TransientError,
    described,
    has_message,
)
from ...protocols import check_batch_api, check_model
from ...types import Capabilities, Generation, GenerationResponse
from ..calls.keys import Keyring, identity_of
from ..calls.kinds import KINDS
from ..calls.log import log
from ..calls.parties import Shared
from ..limits.allowances import batched, setting, wait_of
from ..limits.retry import Retry
from ..threads.blocking import watched
from ..threads.pool import Threads
from ..threads.portal import portal
from .window import window_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...types import GenerationRequest, ModelKind, Request
    from ..calls.parties import RequestWindow, Result, Tell
    from ..threads.portal import Portal


# Seconds that an attempt is given to end once it was cancelled. What it brings in that time counts.
_GRACE = 1.0


def told_nobody(_word: str) -> None:
    """Nobody is there to be told."""


class Backend:
    """An LLM with its window, its threads and what it says about itself.

    Attributes:
        billed: whether an answer costs what the LLM's answers cost.
        identity: what identifies its answers. online: the window of its endpoint.
        in_batches: whether it is asked through its provider's batches. batches: what does that, once it is needed.
    """

    billed: ClassVar[bool] = True
    kind: ModelKind = "llm"

    def __init__(self, llm: Any, home: Portal) -> None:
        check_model(self.kind, llm)
        self.llm = llm
        self.home = home
        self.timeout: float = setting(llm, "timeout", 600.0, none=math.inf)
        self.deadline: float = setting(llm, "deadline", 3600.0, none=math.inf)
        self.max_attempts: int = setting(llm, "max_attempts", 5, whole=True, none=1)
        self.breaker_threshold: int | None = setting(llm, "breaker_threshold", 50, whole=True)
        self.max_concurrency: int = setting(llm, "max_concurrency", 64, whole=True, none=64)
        capabilities = getattr(llm, "capabilities", None)
        self.native_n = isinstance(capabilities, Capabilities) and capabilities.native_n
        self._chat_only = isinstance(capabilities, Capabilities) and not capabilities.completions
        self._no_prefill = isinstance(capabilities, Capabilities) and not capabilities.prefill
        self._batches = callable(getattr(llm, "generate_batch", None))
        together = setting(llm, "batch_size", 16, whole=True, none=16) if self._batches else 1
        self.batch_size = int(min(together, _MOST))
        self.identity = identity_of(llm)
        self.keyring = Keyring(self.identity)
        self.rpm: float | None = setting(llm, "rpm", None)
        self.tpm: float | None = setting(llm, "tpm", None)
        self.retry = Retry(self.max_attempts)
        self.in_batches = batched(llm)
        if self.in_batches:
            check_batch_api(llm)
        self.online = window_at(self._endpoint(), home)
        self.online.serve(self)  # which it is fit for
        self.batches: RequestWindow | None = None
        self._threads: Threads | None = None
        self._told_of_blocking = False
        self._running: OrderedDict[asyncio.Task[Any], float] = OrderedDict()  # and when each is out of time
        self._late: dict[asyncio.Task[Any], asyncio.TimerHandle] = {}  # cancelled; the timer abandons it
        self._watch: asyncio.TimerHandle | None = None
        self._agenerate: Callable[[GenerationRequest], Awaitable[Any]] | None = getattr(llm, "agenerate", None)

    def _endpoint(self) -> str:
        """The key under which limits are shared: provider, base URL and model. Weights in the process share none."""
        if not hasattr(self.llm, "identity") or self._batches:
            return f"object {id(self.llm)}"
        return self.endpoint

    @property
    def endpoint(self) -> str:
        """The server and the model, in a form that holds in another process too."""
        return json.dumps([self.identity.get(name) for name in ("provider", "base_url", "model_name")])

    async def ask(self, requests: list[Any], tell: Tell = told_nobody) -> list[Result]:
        """Send requests together (one, unless the backend takes batches), once; never raises but when cancelled."""
        if self._batches:
            return await self._ask_those_sendable(requests, tell)
        task = asyncio.current_task()
        try:
            self._check_form(requests[0])
            request = sendable(requests[0], self.llm)
            return [_checked(await self._within_timeout(self._agenerate or self._generate, request), tell)]
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of backends: one request
            _reraise_cancellation(exc, task)
            return [self.typed(exc, tell)]

    def _check_form(self, request: GenerationRequest) -> None:
        """Raise for a form of request that the backend says it cannot take."""
        if request.prompt is not None and self._chat_only:
            what, capability = "a raw `prompt`", "completions"
        elif self._no_prefill and request.prefill is not None:
            what, capability = "a last message of the assistant to go on with", "prefill"
        else:
            return
        raise BadRequestError(
            f"`{type(self.llm).__name__}` does not take {what} (it lacks the capability `{capability}`). Use a backend "
            "that has it; `limbeck show llm NAME` lists what each can do."
        )

    async def _within_timeout(self, call: Callable[[Any], Awaitable[Any]], argument: Any) -> Any:
        """Return the result of a call, or raise `TimeoutError`.

        The form of `asyncio.timeout` with one timer for all calls: each has the same time.

        The call may not end though it is cancelled: then its worker is abandoned.
        """
        task = asyncio.current_task()
        assert task is not None  # a coroutine on a loop has one
        self._running[task] = self.home.loop.time() + self.timeout
        if self._watch is None:
            self._watch_at(self.home.loop.time() + self.timeout)
        try:
            try:
                return await watched(call(argument), self._blocks)
            finally:  # however it ends: a word of ours that is left would be taken for somebody else's next time
                late = self._running.pop(task, None) is None
                others = task.uncancel() if late else task.cancelling()
                if late:
                    self._late.pop(task).cancel()
        except asyncio.CancelledError:
            if not late or others > 0:
                raise
            raise TimeoutError from None

    def _watch_at(self, when: float) -> None:
        """Look at `when` for what is out of time. The timer does not keep the backend alive."""
        self._watch = self.home.loop.call_at(when, _expire_if_alive, weakref.ref(self))

    def expire(self) -> None:
        """Cancel what is out of time, and look again when the next one would be."""
        now = self.home.loop.time()
        while self._running:
            task, when = next(iter(self._running.items()))
            if when > now:
                self._watch_at(when)
                return
            del self._running[task]
            self._late[task] = self.home.loop.call_later(_GRACE, self.online.abandon, task)
            task.cancel()
        self._watch = None

    async def _ask_those_sendable(self, requests: list[GenerationRequest], tell: Tell) -> list[Result]:
        """Ask a batch without the requests that hold what the backend does not take: they fail alone."""
        ready = [self._sendable(request, tell) for request in requests]
        sent = [each for each in ready if not isinstance(each, GenerationError | LedgerError)]
        results = iter(await self._ask_batch(sent, tell) if sent else ())
        return [each if isinstance(each, GenerationError | LedgerError) else next(results) for each in ready]

    def _sendable(self, request: GenerationRequest, tell: Tell) -> GenerationRequest | GenerationError | LedgerError:
        try:
            return sendable(request, self.llm)
        except GenerationError as exc:
            return self.typed(exc, tell)

    async def _ask_batch(self, requests: list[GenerationRequest], tell: Tell) -> list[Result]:
        task = asyncio.current_task()
        try:
            for request in requests:
                self._check_form(request)
            results = await self._within_timeout(self._generate_batch, requests)
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of backends: one batch
            _reraise_cancellation(exc, task)
            return _for_each(self.typed(exc, tell), len(requests))
        return [
            self.typed(result, tell) if isinstance(result, Exception) else self.judged(result, tell)
            for result in results
        ]

    def judged(self, result: Any, tell: Tell = told_nobody) -> Result:
        """The result of a backend, once it is known to be a response."""
        try:
            return _checked(result, tell)
        except BackendError as exc:
            return exc

    def typed(self, error: BaseException, tell: Tell = told_nobody) -> GenerationError | LedgerError:
        """The exception of a backend as one of the types that the engine tells apart."""
        if isinstance(error, LedgerError):
            return error
        if isinstance(error, GenerationError) and has_message(error):
            return _readable(error, tell)
        if isinstance(error, TimeoutError):
            return TransientError(f"No answer within {self.timeout:g} seconds.")
        typed = BackendError(described(error))
        typed.__cause__ = error
        return typed

    def _generate(self, request: GenerationRequest) -> Awaitable[Any]:
        return self._in_thread(self.llm.generate, request)

    def _generate_batch(self, requests: list[GenerationRequest]) -> Awaitable[Any]:
        return self._in_thread(partial(_together, self.llm), requests)

    def _in_thread(self, function: Callable[..., Any], argument: Any) -> Awaitable[Any]:
        if self._threads is None:
            # A batch is mostly of weights in this process, which bear no second call beside the first.
            hangs = _teller_of_hanging(self.llm, self.timeout, frees=not self._batches)
            self._threads = Threads(self.max_concurrency, frees=not self._batches, hangs=hangs)
        return self._threads.call(function, argument)

    def _blocks(self, seconds: float) -> None:
        """Tell, once, that nothing else could go on meanwhile."""
        if not self._told_of_blocking:
            self._told_of_blocking = True
            log.warning(
                "`agenerate` of %s kept the event loop to itself for %.1f s, and all other requests waited. Let it "
                "await an asynchronous client, or name the method `generate`: then it runs in threads.",
                type(self.llm).__name__,
                seconds,
            )


def _teller_of_hanging(llm: Any, timeout: float, *, frees: bool) -> Callable[[], None]:
    """The function that tells, once, of a call that does not return."""
    told = False

    def tell() -> None:
        nonlocal told
        if not told:
            told = True
            log.warning(
                "A call of `%s` of %s has not returned within its `timeout`, %g s. It has failed, and %s until it "
                "returns. Give the call a time limit of its own, as HTTP clients have one.",
                "generate" if frees else "generate_batch",
                type(llm).__name__,
                timeout,
                "its thread is left behind" if frees else "keeps its place in the window",
            )

    return tell


def _together(llm: Any, requests: list[GenerationRequest]) -> list[Any]:
    results = list(llm.generate_batch(requests))
    if len(results) != len(requests):
        raise BackendError(f"`generate_batch` returned {len(results)} results for {len(requests)} requests.")
    return results


def _expire_if_alive(reference: weakref.ref[Backend]) -> None:
    backend = reference()
    if backend is not None:
        backend.expire()


def _reraise_cancellation(error: BaseException, task: asyncio.Task[Any] | None) -> None:
    """Let through what the engine itself asked of `task`; a backend's own exit or cancellation is its failure."""
    if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
        raise error
    if isinstance(error, GeneratorExit) and _running_task() is not task:  # it is closed from outside, with its loop
        raise error


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None


def _readable(error: GenerationError, tell: Tell) -> GenerationError:
    """The error without what the engine cannot read of it: it may be of a class of the backend's."""
    if getattr(error, "retry_after", None) is not None:
        error.retry_after = wait_of(error.retry_after)  # type: ignore[attr-defined]  # it has it
    for name in ("raw", "model"):
        if not isinstance(getattr(error, name), str | None):
            setattr(error, name, None)
    error.usage, odd = legible_usage(error.usage)
    if odd:
        tell(odd)
    return error


def _without_usage(error: GenerationError | LedgerError) -> GenerationError | LedgerError:
    """The error of a whole batch for its other requests: what it cost is counted once."""
    if not isinstance(error, GenerationError) or error.usage is None:
        return error
    try:
        free = copy.copy(error)
    except Exception:  # noqa: BLE001 - it is of a class of the backend's
        return error
    free.usage = None
    return free


_MOST = 2**63  # what the ledger can hold


def _checked(response: Any, tell: Tell) -> GenerationResponse:
    """The response with all that can be read of it: a backend may be anybody's, and its texts are paid for."""
    if not isinstance(response, GenerationResponse):
        raise BackendError(f"The backend returned {type(response).__name__}, not a GenerationResponse.")
    given: Any = response.generations
    if not isinstance(given, list | tuple):
        raise BackendError(f"The backend's response has {type(given).__name__} as its `generations`.")
    whole, left_out = legible(response)
    if whole is response:
        return response
    for word in left_out:
        tell(word)
    for before, generation in zip(given, whole.generations, strict=True):
        if not isinstance(before, Generation):
            fault = f"The backend's `generations` hold {type(before).__name__}, not Generation."
            raise BackendError(fault, usage=whole.usage)
        if generation.text is None and before.text is not None:
            fault = f"The backend's generation has {type(before.text).__name__} as its `text`."
            raise BackendError(fault, usage=whole.usage)
    return whole


class KindBackend(Backend):
    """A model that writes no text, as the engine uses it: a request may be that of several rows."""

    def __init__(self, model: Any, home: Portal, kind: ModelKind) -> None:
        self.kind = kind
        self._kind = KINDS[kind]
        super().__init__(model, home)
        if self._kind.joined is not None:
            self.batch_size = int(min(setting(model, "batch_size", 1, whole=True, none=1), _MOST))
        self._native: Callable[[Any], Awaitable[Any]] | None = getattr(model, self._kind.native, None)

    async def ask(self, requests: list[Any], tell: Tell = told_nobody) -> list[Result]:
        """Send requests as one, once; each gets a response of its own. Never raises but when cancelled."""
        task = asyncio.current_task()
        try:
            response = await self._within_timeout(self._native or self._blocking, self._joined(requests))
            return self._parted(response, requests, tell)
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of backends: one request
            _reraise_cancellation(exc, task)
            return _for_each(self.typed(exc, tell), len(requests))

    def judged(self, result: Any, tell: Tell = told_nobody) -> Result:
        raise NotImplementedError(f"there are no provider batches of {self.kind}s: {result!r}, {tell}")

    def _joined(self, requests: list[Any]) -> Request:
        return requests[0] if self._kind.joined is None else self._kind.joined(requests)

    def _parted(self, response: Any, requests: list[Any], tell: Tell) -> list[Result]:
        wanted = self._kind.response
        if not isinstance(response, wanted):
            raise BackendError(f"The backend returned {type(response).__name__}, not {wanted.__name__}.")
        usage, odd = legible_usage(response.usage)
        if odd:
            tell(odd)
        model = response.model if isinstance(response.model, str) else None
        return [*self._kind.parted(replace(response, usage=usage, model=model), requests)]

    def _blocking(self, request: Request) -> Awaitable[Any]:
        return self._in_thread(getattr(self.llm, self._kind.blocking), request)


def _for_each(error: GenerationError | LedgerError, count: int) -> list[Result]:
    """The error of several requests for each of them; what was paid for it is counted once."""
    others = [_without_usage(error)] * (count - 1) if count > 1 else []
    return Shared([error, *others])


_backends: weakref.WeakValueDictionary[tuple[int, str], Backend] = weakref.WeakValueDictionary()


def backend_of(llm: Any, kind: ModelKind = "llm") -> Backend:
    """The backend of this object of a model, shared by every task that holds it.

    It lives as long as somebody holds it; then the model's client is closed on the loop that made it.
    """
    home = portal()
    backend = _backends.get((id(llm), kind))
    if backend is None or backend.home is not home:
        backend = Backend(llm, home) if kind == "llm" else KindBackend(llm, home, kind)
        _backends[id(llm), kind] = backend
        home.on_shutdown(id(backend), _closer(llm))
        weakref.finalize(backend, _close_later, home, id(backend), llm).atexit = False
    return backend


def _closer(llm: Any) -> Callable[[], Any]:
    async def close() -> None:
        aclose = getattr(llm, "aclose", None)
        if aclose is not None:
            await aclose()

    return close


def _close_later(home: Portal, key: int, llm: Any) -> None:
    home.on_shutdown(key, None)
    if home.usable and not (home.closing or home.loop.is_closed()):
        home.submit(_closer(llm)())
