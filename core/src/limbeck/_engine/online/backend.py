"""One LLM object as the engine uses it: whatever form its methods have, requests in and typed results out."""

from __future__ import annotations

import copy
import json
import math
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from ...errors import BackendError, GenerationError, LedgerError, TransientError, described, has_message
from ...protocols import check_batch_api, check_llm
from ...types import Capabilities, Generation, GenerationResponse, Quota, Usage
from ..calls.keys import Keyring, identity_of
from ..limits.allowances import batched, setting, wait_of
from ..threads.pool import Threads
from ..threads.portal import portal
from .attempts import Attempts, Turn
from .window import window_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...types import GenerationRequest
    from ..batch.window import BatchWindow
    from ..threads.portal import Portal
    from .window import Window

Result: TypeAlias = GenerationResponse | GenerationError | LedgerError


class Backend:
    """An LLM with its window, its threads and what it says about itself.

    Attributes:
        billed: whether an answer costs what the LLM's answers cost.
        identity: what identifies its answers. attempts: its calls that are under way.
    """

    billed: ClassVar[bool] = True

    def __init__(self, llm: Any, home: Portal) -> None:
        check_llm(llm)
        self.llm = llm
        self.home = home
        self.timeout: float = setting(llm, "timeout", 600.0, none=math.inf)
        self.deadline: float = setting(llm, "deadline", 3600.0, none=math.inf)
        self.max_attempts: int = setting(llm, "max_attempts", 5, whole=True, none=1)
        self.breaker_threshold: int | None = setting(llm, "breaker_threshold", 50, whole=True)
        self.max_concurrency: int = setting(llm, "max_concurrency", 64, whole=True, none=64)
        capabilities = getattr(llm, "capabilities", None)
        self.native_n = isinstance(capabilities, Capabilities) and capabilities.native_n
        self._batches = callable(getattr(llm, "generate_batch", None))
        together = setting(llm, "batch_size", 16, whole=True, none=16) if self._batches else 1
        self.batch_size = int(min(together, _MOST))
        self.identity = identity_of(llm)
        self.keyring = Keyring(self.identity)
        self.rpm: float | None = setting(llm, "rpm", None)
        self.tpm: float | None = setting(llm, "tpm", None)
        in_batches = batched(llm)
        if in_batches:
            check_batch_api(llm)
        self.online = window_at(self._endpoint(), home)
        self.online.serve(self)  # which it is fit for
        self.window: Window | BatchWindow = self.online
        if in_batches:
            from ..batch.window import BatchWindow

            self.window = BatchWindow(home)
        self._threads: Threads | None = None
        self.attempts = Attempts(home.loop, self.timeout)
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

    async def ask(self, requests: list[GenerationRequest], *, turn: Turn | None = None) -> list[Result]:
        """Send requests together (one, unless the backend takes batches), once; never raises but when cancelled.

        Args:
            turn: waited for before they are sent.
        """
        if self._batches:
            return await self._ask_batch(requests, turn)
        result, error = await self.attempts.ending(self._answer, requests[0], turn=turn)
        return [self.judged(result) if error is None else self.typed(error)]

    def _answer(self, request: GenerationRequest) -> Awaitable[Any]:
        if self._agenerate is not None:
            return self._agenerate(request)
        return self._in_thread(self.llm.generate, request)

    async def _ask_batch(self, requests: list[GenerationRequest], turn: Turn | None) -> list[Result]:
        together = partial(_together, self.llm)
        returned, failure = await self.attempts.ending(self._in_thread, together, requests, turn=turn)
        if failure is not None:
            error = self.typed(failure)
            others = len(requests) - 1
            return [error, *[_without_usage(error)] * others] if others else [error]
        return [self.typed(result) if isinstance(result, Exception) else self.judged(result) for result in returned]

    def judged(self, result: Any) -> Result:
        """What a backend returned, once it is known to be a response."""
        try:
            return _checked(result)
        except BackendError as exc:
            return exc

    def typed(self, error: BaseException) -> GenerationError | LedgerError:
        """What a backend raised, as one of the types that the engine tells apart."""
        if isinstance(error, LedgerError):
            return error
        if isinstance(error, GenerationError) and has_message(error):
            usage: Any = error.usage
            return _readable(error) if usage is None or _are_tokens(usage) else _uncounted(error, usage)
        if isinstance(error, TimeoutError):
            return TransientError(f"No answer within {self.timeout:g} seconds.")
        typed = BackendError(described(error))
        typed.__cause__ = error
        return typed

    def _in_thread(self, function: Callable[..., Any], argument: Any) -> Awaitable[Any]:
        if self._threads is None:
            self._threads = Threads(self.max_concurrency)
        return self._threads.call(function, argument)


def _together(llm: Any, requests: list[GenerationRequest]) -> list[Any]:
    results = list(llm.generate_batch(requests))
    if len(results) != len(requests):
        raise BackendError(f"`generate_batch` returned {len(results)} results for {len(requests)} requests.")
    return results


def _readable(error: GenerationError) -> GenerationError:
    """The error without what the engine cannot read of it: it may be of a class of the backend's."""
    if getattr(error, "retry_after", None) is not None:
        error.retry_after = wait_of(error.retry_after)  # type: ignore[attr-defined]  # it has it
    for name in ("raw", "model"):
        if not isinstance(getattr(error, name), str | None):
            setattr(error, name, None)
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


def _uncounted(error: GenerationError, usage: object) -> BackendError:
    """In place of an error whose tokens cannot be counted."""
    what = usage if isinstance(usage, Usage) else type(usage).__name__
    return BackendError(f"The backend's {type(error).__name__} has {what} as its `usage`: {error}")


_TEXT = (str, type(None))
_RESPONSE_PARTS: tuple[tuple[str, Any], ...] = (
    ("generations", (list, tuple)),
    ("usage", (Usage, type(None))),
    ("quota", (Quota, type(None))),
    ("model", _TEXT),
)
_GENERATION_PARTS: tuple[tuple[str, Any], ...] = (("text", _TEXT), ("finish_reason", _TEXT), ("reasoning", _TEXT))
_MOST = 2**63  # what the ledger can hold


def _checked(response: Any) -> GenerationResponse:
    """The response, once all its parts are what they should be: a backend may be anybody's."""
    if not isinstance(response, GenerationResponse):
        raise BackendError(f"The backend returned {type(response).__name__}, not a GenerationResponse.")
    fault = _fault_of(response, _RESPONSE_PARTS, "response")
    if fault is not None:
        raise BackendError(fault)
    if response.usage is not None and not _are_tokens(response.usage):
        raise BackendError(f"The backend's `usage` holds what are no numbers of tokens: {response.usage}.")
    generations: Any = response.generations
    for generation in generations:
        if not isinstance(generation, Generation):
            fault = f"The backend's `generations` hold {type(generation).__name__}, not Generation."
        else:
            fault = _fault_of(generation, _GENERATION_PARTS, "generation")
        if fault is not None:
            raise BackendError(fault, usage=response.usage)
    return response


def _fault_of(whole: Any, parts: tuple[tuple[str, Any], ...], what: str) -> str | None:
    for name, kinds in parts:
        part = getattr(whole, name)
        if not isinstance(part, kinds):
            return f"The backend's {what} has {type(part).__name__} as its `{name}`."
    return None


def _are_tokens(usage: Any) -> bool:
    if not isinstance(usage, Usage):
        return False
    counts: tuple[Any, ...] = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
    return all(isinstance(count, int) and 0 <= count < _MOST for count in counts)


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
    if home.usable and not (home.closing or home.loop.is_closed()):
        home.submit(_closer(llm)())
