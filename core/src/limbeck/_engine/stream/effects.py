"""The effects of conversations: run side by side, and stored before anything is made of them."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakValueDictionary

from ...errors import EffectError, LedgerError, described
from ...types import StoredEffect
from ..calls.keys import KEY_SIZE
from ..ledger.step_ledger import StepLedger
from ..threads.attempts import OutOfTimeError, ending_of
from ..threads.pool import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from contextvars import Context

    from ...protocols import TurnLedgerProtocol
    from ...types import RunStats
    from ..calls.turns import Do
    from .parts import Terms

_MOST_THREADS = 1024  # each effect has a bound of its own; a thread that never returns keeps nobody else's place
_END = "return"  # stands in the ledger for the end of a conversation


class Place(NamedTuple):
    """The place of an effect: a row's id, a sample of it, and the turn of its conversation."""

    row: str
    sample: int
    turn: str


class Effects:
    """Does the effects of one run.

    Args:
        running: the asyncio tasks that end with the run. context: the variables of its caller.
        stats: its counters. stop: ends the run, with the error.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        running: set[asyncio.Task[None]],
        context: Context,
        stats: RunStats,
        stop: Callable[[BaseException], object],
    ) -> None:
        self._recorded = terms.recorded
        self._ledger = cast("TurnLedgerProtocol | None", terms.ledger)
        self._rerun = terms.rerun
        self._running = running
        self._context = context
        self._stats = stats
        self._stop = stop
        self._threads = Threads(_MOST_THREADS, name="effect")
        # Of the functions that are being called; a lambda, say, is made anew for each row.
        self._places: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()
        self.under_way = 0
        self._notes: set[asyncio.Future[None]] = set()  # the loop itself holds them weakly

    def stored(self, key: bytes, place: Place, effect: Do) -> StoredEffect | None:
        """An earlier run's effect in the place of one with this key; raises `LedgerError`."""
        if self._rerun is not None:
            return self._rerun.effect(*place, key)
        found = None if self._ledger is None else self._ledger.find_effect(*place, key)
        if found is None and self._recorded is not None:
            return self._recorded.effect(without_result(effect, key, place))
        return found

    def failed(self, key: bytes, place: Place) -> StoredEffect | None:
        """An earlier run's effect there that failed, for where none is done; raises `LedgerError`."""
        return self._ledger.failed_effect(*place, key) if isinstance(self._ledger, StepLedger) else None

    def note_end(self, place: Place) -> None:
        """Note that a conversation went on from turns that failed, to its end at `place`: no run repeats them."""
        if self._ledger is not None:
            kept = asyncio.ensure_future(self._ledger.keep_effect(StoredEffect(**place._asdict(), key=b"", name=_END)))
            self._notes.add(kept)
            kept.add_done_callback(self._noted)

    def _noted(self, kept: asyncio.Future[None]) -> None:
        self._notes.discard(kept)
        if not kept.cancelled():
            kept.exception()  # the ledger's, which says so at the next answer

    def begin(self, effect: Do, key: bytes, place: Place, told: Callable[[Any, Any], object]) -> None:
        """Do an effect; `told` gets its result, and the error in its place."""
        doing = self._tell(effect, key, place, told)
        task = asyncio.get_running_loop().create_task(doing, context=self._context.copy())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self.under_way += 1
        self._stats.effects += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.under_way -= 1
        if not task.cancelled() and (defect := task.exception()) is not None:
            self._stop(defect)  # or its conversation would wait for ever

    async def _tell(self, effect: Do, key: bytes, place: Place, told: Callable[[Any, Any], object]) -> None:
        try:
            outcome = await self._do(effect, key, place)
        finally:
            self._stats.effects -= 1
        if outcome is not None:
            told(*outcome)

    async def _do(self, effect: Do, key: bytes, place: Place) -> tuple[Any, Any] | None:
        """The outcome of an effect, once it is stored; None where it could not be, which ends the run."""
        function = _counted_as(effect)
        places = self._places.get(function)
        if places is None:
            places = self._places[function] = asyncio.Semaphore(effect.max_concurrency)
        async with places:
            began = time.monotonic()
            result, error = await ending_of(lambda: self._called(effect), effect.timeout)
        text, fault = _json_of(effect, result) if error is None else (None, _fault_of(effect, error))
        if self._ledger is not None:
            stored = replace(
                without_result(effect, key, place), result=text, error=fault, seconds=time.monotonic() - began
            )
            try:
                await self._ledger.keep_effect(stored)
            except LedgerError as exc:
                self._stop(exc)
                return None
        return outcome_of(text, fault, cause=error)

    async def _called(self, effect: Do) -> Any:
        context = copy_context()  # of this task
        if inspect.iscoroutinefunction(effect.function) or inspect.iscoroutinefunction(
            getattr(effect.function, "__call__", None)  # noqa: B004 - a coroutine's, not whether there is one
        ):
            return await effect.function(*effect.arguments, **effect.named)
        result = await self._threads.call(lambda _: context.run(_call, effect), None)
        return await result if inspect.isawaitable(result) else result


def without_result(effect: Do, key: bytes, place: Place) -> StoredEffect:
    """An effect that would be done, as it would be stored."""
    return StoredEffect(**place._asdict(), key=key, name=effect.name, arguments=arguments_text(effect))


def _call(effect: Do) -> Any:
    return effect.function(*effect.arguments, **effect.named)


def _counted_as(effect: Do) -> Hashable:
    """The function of an effect, as its calls are counted: one that is made anew for each row is the same."""
    function: Any = effect.function
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is not None:
        return id(code), id(getattr(function, "__self__", None))
    try:
        hash(function)
    except Exception:  # noqa: BLE001 - whatever an author's `__hash__` raises
        return id(function)
    return cast("Hashable", function)


def outcome_of(text: str | None, fault: str | None, *, cause: BaseException | None = None) -> tuple[Any, Any]:
    """The result of an effect, or the error in its place."""
    if fault is None:
        return json.loads(text or "null"), None
    error = EffectError(fault)
    error.__cause__ = cause
    return None, error


def _json_of(effect: Do, result: Any) -> tuple[str | None, str | None]:
    try:
        return json.dumps(result, allow_nan=False), None
    except (TypeError, ValueError, RecursionError) as exc:
        return None, (
            f"`{effect.name}` returned what JSON cannot hold: {exc}. Return plain values: they are stored, and a "
            "resumed run gets them from there."
        )


def _fault_of(effect: Do, error: BaseException) -> str:
    if isinstance(error, OutOfTimeError):
        return f"`{effect.name}` did not return within {effect.timeout:g} seconds."
    cause = error.__cause__
    if isinstance(cause, StopIteration | GeneratorExit):  # which come out of a thread as a cause
        error = cause
    return f"`{effect.name}` raised {described(error)}"


def effect_key(effect: Do, place: Place, owner: object, past: Callable[[], Any]) -> bytes:
    """The digest of an effect's name and arguments; and of its place and past, where these may not say all of it.

    Args:
        owner: whose methods are known by their names. past: all that its conversation knew, as values for JSON.
    """
    text = None if not _is_known_by_name(effect.function, owner) else _json_arguments(effect)
    if text is None:
        text = "\0".join((arguments_text(effect), *map(str, place), _json_text(past())))
    return blake2b(f"{effect.name}\0{text}".encode("utf-8", "surrogatepass"), digest_size=KEY_SIZE).digest()


def _is_known_by_name(function: Any, owner: object) -> bool:
    """Tell whether a function is what is found under its name; a lambda is not, nor what closes over a row."""
    if inspect.ismethod(function):
        return function.__self__ is owner or isinstance(function.__self__, type)
    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is function


def _json_arguments(effect: Do) -> str | None:
    """The arguments as JSON; None where that cannot hold them."""
    try:
        return json.dumps([list(effect.arguments), dict(effect.named)], sort_keys=True)
    except (TypeError, ValueError, RecursionError):  # keys of several types, a value that holds itself
        return None


def arguments_text(effect: Do) -> str:
    """The arguments as JSON; what that cannot hold stands as its type's name."""
    return _json_text([*effect.arguments], dict(effect.named))


def _json_text(values: list[Any], named: dict[str, Any] | None = None) -> str:
    whole = values if named is None else [values, named]
    try:
        return json.dumps(whole, sort_keys=True, default=_named_type)
    except (TypeError, ValueError, RecursionError):
        return json.dumps([[_named_type(value) for value in values], sorted(named or ())])


def _named_type(value: Any) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
