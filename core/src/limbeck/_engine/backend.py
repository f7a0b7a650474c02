"""One LLM object as the engine uses it: whatever form its methods have, requests in and typed results out."""

from __future__ import annotations

import asyncio
import json
import math
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from ..errors import BackendError, GenerationError, LedgerError, TransientError
from ..protocols import check_batch_api, check_llm
from ..types import Capabilities, Generation, GenerationResponse, Quota, Usage
from .keys import Keyring, identity_of
from .portal import portal
from .window import window_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..types import GenerationRequest
    from .batches import BatchWindow
    from .portal import Portal
    from .window import Window

Result: TypeAlias = GenerationResponse | GenerationError | LedgerError


class Backend:
    """An LLM with its window, its threads and what it says about itself.

    Attributes:
        billed: whether an answer costs what the LLM's answers cost.
        identity: what identifies its answers.
    """

    billed: ClassVar[bool] = True

    def __init__(self, llm: Any, home: Portal) -> None:
        check_llm(llm)
        self.llm = llm
        self.home = home
        self.timeout: float = getattr(llm, "timeout", 600.0) or math.inf
        self.deadline: float = getattr(llm, "deadline", 3600.0) or math.inf
        self.max_attempts: int = getattr(llm, "max_attempts", 5)
        self.breaker_threshold: int = getattr(llm, "breaker_threshold", 50)
        self.max_concurrency: int = getattr(llm, "max_concurrency", 64)
        capabilities = getattr(llm, "capabilities", None)
        self.native_n = isinstance(capabilities, Capabilities) and capabilities.native_n
        self._batches = callable(getattr(llm, "generate_batch", None))
        self.batch_size = int(getattr(llm, "batch_size", 16)) if self._batches else 1
        self.identity = identity_of(llm)
        self.keyring = Keyring(self.identity)
        self.rpm: float | None = getattr(llm, "rpm", None)
        self.tpm: float | None = getattr(llm, "tpm", None)
        self.online = window_at(self._endpoint(), home)
        self.online.serve(self)
        self.window: Window | BatchWindow = self.online
        if getattr(llm, "mode", "online") == "batch":
            from .batches import BatchWindow

            check_batch_api(llm)
            self.window = BatchWindow(home)
        self._threads: ThreadPoolExecutor | None = None
        self._running: OrderedDict[asyncio.Task[Any], float] = OrderedDict()  # and when each is out of time
        self._watch: asyncio.TimerHandle | None = None
        self._agenerate: Callable[[GenerationRequest], Awaitable[Any]] | None = getattr(llm, "agenerate", None)

    def _endpoint(self) -> str:
        """What shares one server's limits: provider, base URL and model. Weights in the process share with nobody."""
        if not hasattr(self.llm, "identity") or self._batches:
            return f"object {id(self.llm)}"
        return self.endpoint

    @property
    def endpoint(self) -> str:
        """Which server and model this is, in a form that holds in another process too."""
        return json.dumps([self.identity.get(name) for name in ("provider", "base_url", "model_name")])

    async def ask(self, requests: list[GenerationRequest]) -> list[Result]:
        """Send requests together (one, unless the backend takes batches), once; never raises but when cancelled."""
        if self._batches:
            return await self._ask_batch(requests)
        try:
            return [_checked(await self._within_timeout(requests[0]))]
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of backends: one request
            _reraise_cancellation(exc)
            return [self.typed(exc)]

    async def _within_timeout(self, request: GenerationRequest) -> Any:
        """The answer, or `TimeoutError`. As `asyncio.timeout`, with one timer for all: each has the same time."""
        task = asyncio.current_task()
        assert task is not None  # a coroutine on a loop has one
        self._running[task] = self.home.loop.time() + self.timeout
        if self._watch is None:
            self._watch_at(self.home.loop.time() + self.timeout)
        try:
            if self._agenerate is not None:
                return await self._agenerate(request)
            return await self._in_thread(self.llm.generate, request)
        except asyncio.CancelledError:
            if task in self._running or task.uncancel() > 0:  # somebody else's word
                raise
            raise TimeoutError from None
        finally:
            self._running.pop(task, None)

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
            task.cancel()
        self._watch = None

    async def _ask_batch(self, requests: list[GenerationRequest]) -> list[Result]:
        try:
            results = list(await self._in_thread(self.llm.generate_batch, requests))
            if len(results) != len(requests):
                raise BackendError(f"`generate_batch` returned {len(results)} results for {len(requests)} requests.")
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of backends: one batch
            _reraise_cancellation(exc)
            return [self.typed(exc) for _ in requests]
        return [self.typed(result) if isinstance(result, Exception) else self.judged(result) for result in results]

    def judged(self, result: Any) -> Result:
        """What a backend returned, once it is known to be a response."""
        try:
            return _checked(result)
        except BackendError as exc:
            return exc

    def typed(self, error: BaseException) -> GenerationError | LedgerError:
        """What a backend raised, as one of the types that the engine tells apart."""
        if isinstance(error, GenerationError):
            usage: Any = error.usage
            return error if isinstance(usage, Usage | None) else _unreadable(error, usage)
        if isinstance(error, LedgerError):
            return error
        if isinstance(error, TimeoutError):
            return TransientError(f"No answer within {self.timeout:g} seconds.")
        typed = BackendError(f"{type(error).__name__}: {error}")
        typed.__cause__ = error
        return typed

    def _in_thread(self, function: Callable[..., Any], argument: Any) -> Awaitable[Any]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.max_concurrency, thread_name_prefix="limbeck-llm")
        return asyncio.get_running_loop().run_in_executor(self._threads, function, argument)


def _expire_if_alive(reference: weakref.ref[Backend]) -> None:
    backend = reference()
    if backend is not None:
        backend.expire()


def _reraise_cancellation(error: BaseException) -> None:
    """Let through what the engine itself asked for; a backend's own `SystemExit` or cancellation is its failure."""
    task = asyncio.current_task()
    if isinstance(error, GeneratorExit) or (isinstance(error, asyncio.CancelledError) and task and task.cancelling()):
        raise error


def _checked(response: Any) -> GenerationResponse:
    """The response, once all its parts are what they should be: a backend may be anybody's."""
    if not isinstance(response, GenerationResponse):
        raise BackendError(f"The backend returned {type(response).__name__}, not a GenerationResponse.")
    parts: tuple[tuple[str, Any, Any], ...] = (
        ("generations", response.generations, list | tuple),
        ("usage", response.usage, Usage | None),
        ("quota", response.quota, Quota | None),
    )
    for name, part, kind in parts:
        if not isinstance(part, kind):
            raise BackendError(f"The backend's response has {type(part).__name__} as its `{name}`.")
    for generation in response.generations:
        fault = _fault_of(generation)
        if fault is not None:
            raise BackendError(fault, usage=response.usage)
    return response


def _fault_of(generation: Any) -> str | None:
    if not isinstance(generation, Generation):
        return f"The backend's `generations` hold {type(generation).__name__}, not Generation."
    text: Any = generation.text
    if not isinstance(text, str | None):
        return f"The backend's generation has {type(text).__name__} as its `text`."
    return None


def _unreadable(error: GenerationError, usage: object) -> BackendError:
    """In place of an error whose tokens cannot be counted."""
    return BackendError(f"The backend's {type(error).__name__} has {type(usage).__name__} as its `usage`: {error}")


_backends: weakref.WeakValueDictionary[int, Backend] = weakref.WeakValueDictionary()


def backend_of(llm: Any) -> Backend:
    """The backend of this LLM object, shared by every task that holds it.

    It lives as long as somebody holds it; then the LLM's client is closed on the loop that made it.
    """
    home = portal()
    backend = _backends.get(id(llm))
    if backend is None or backend.home is not home:
        backend = _backends[id(llm)] = Backend(llm, home)
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
    if home.usable and not home.loop.is_closed():
        home.submit(_closer(llm)())
