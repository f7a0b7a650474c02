"""The effects of conversations: run side by side, and stored before anything is made of them."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from contextvars import copy_context
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ...errors import EffectError, LedgerError, described
from ...types import StoredEffect
from ..calls.keys import KEY_SIZE
from ..ledger.step_ledger import StepLedger
from ..threads.attempts import ending_of
from ..threads.pool import Threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from ...protocols import TurnLedgerProtocol
    from ..calls.turns import Do
    from .parts import Terms

_MOST_THREADS = 1024  # each effect has a bound of its own; a thread that never returns keeps nobody else's place


class Place(NamedTuple):
    """The place of an effect: a row's id, a sample of it, and the turn of its conversation."""

    row: str
    sample: int
    turn: str


class Effects:
    """Does the effects of one run.

    Args:
        running: the asyncio tasks that end with the run. context: the variables of its caller.
        stop: ends the run, with the error.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        running: set[asyncio.Task[None]],
        context: Context,
        stop: Callable[[BaseException], object],
    ) -> None:
        self._recorded = terms.recorded
        self._ledger = cast("TurnLedgerProtocol | None", terms.ledger)
        self._rerun = terms.rerun
        self._running = running
        self._context = context
        self._stop = stop
        self._threads = Threads(_MOST_THREADS, name="effect")
        self._places: dict[Any, asyncio.Semaphore] = {}
        self.under_way = 0

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

    def begin(self, effect: Do, key: bytes, place: Place, told: Callable[[Any, Any], object]) -> None:
        """Do an effect; `told` gets its result, and the error in its place."""
        doing = self._do(effect, key, place, told)
        task = asyncio.get_running_loop().create_task(doing, context=self._context.copy())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self.under_way += 1
        task.add_done_callback(self._ended)

    def _ended(self, _task: asyncio.Task[None]) -> None:
        self.under_way -= 1

    async def _do(self, effect: Do, key: bytes, place: Place, told: Callable[[Any, Any], object]) -> None:
        places = self._places.get(effect.function)
        if places is None:
            places = self._places[effect.function] = asyncio.Semaphore(effect.max_concurrency)
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
                return
        told(*outcome_of(text, fault, cause=error))

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
    if isinstance(error, TimeoutError):
        return f"`{effect.name}` did not return within {effect.timeout:g} seconds."
    return f"`{effect.name}` raised {described(error)}"


def effect_key(effect: Do) -> bytes:
    """The digest of an effect's name and arguments."""
    return blake2b(
        f"{effect.name}\0{arguments_text(effect)}".encode("utf-8", "surrogatepass"), digest_size=KEY_SIZE
    ).digest()


def arguments_text(effect: Do) -> str:
    """The arguments as JSON; what that cannot hold stands as its type's name."""
    named = dict(effect.named)
    try:
        return json.dumps([list(effect.arguments), named], sort_keys=True, default=_named_type)
    except (TypeError, ValueError, RecursionError):  # keys of several types, a value that holds itself
        return json.dumps([[_named_type(value) for value in effect.arguments], sorted(named)])


def _named_type(value: Any) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
