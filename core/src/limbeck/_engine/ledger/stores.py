"""The place of a run's answers: a directory, the store that a URL's scheme names, or an object of the caller's.

The built-in ledger is used as it is. Anybody else's store stands behind a guard: what it raises
becomes a `LedgerError` that names it, and ends the run instead of leaving it waiting.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..._registry.registry import default_registry
from ...errors import ConfigurationError, LedgerError, LimbeckError, UnknownNameError
from ...protocols import check_ledger, keeps_turns
from .ledger import Ledger, release_ledger, shared_ledger
from .step_ledger import StepLedger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from ...errors import GenerationError
    from ...protocols import LedgerProtocol, StepLedgerProtocol, TurnLedgerProtocol
    from ...types import Durability, FailedCall, PaidAnswer, StoredAnswer, StoredEffect, StoredRequests


def open_store(
    where: str | Path | None, ledger: LedgerProtocol | None, durability: Durability, requests: StoredRequests
) -> Store | None:
    """The store of a run, or None where it keeps nothing. Give it back with `close_store`.

    Args:
        where: a run directory, or a URL whose scheme a plugin has. ledger: a store of the caller's.

    Raises:
        ConfigurationError: both are given.
        LedgerError: it cannot be used, or nothing installed has the URL's scheme.
        RegistryError: the plugin that has it cannot be loaded, or the object is no store.
    """
    if ledger is not None:
        if where is not None:
            raise ConfigurationError("`run_dir` and `ledger` exclude each other: both say where answers are kept.")
        check_ledger(ledger)
        return ForeignLedger(ledger)
    if where is None:
        return None
    if is_url(where):
        return _shared_foreign(str(where), durability, requests)
    return shared_ledger(where, durability=durability, requests=requests)


def opened_step(
    store: Store,
    name: str,
    config: Mapping[str, Any],
    identity: dict[str, Any],
    asked_with: Mapping[str, Any],
) -> StepLedgerProtocol:
    """The part of a step; the built-in ledger is told who answers, and with which configuration.

    Args:
        config: of the step. identity: of the LLM's answers.
        asked_with: the configuration of the step as it asks now, which a re-run changes.

    Raises:
        LedgerError: the step is running there already, or the store cannot be read.
    """
    step = store.step(name, config)
    if isinstance(step, StepLedger):
        step.identify(identity, asked_with)
    return step


def close_store(store: Store) -> None:
    """The counterpart of `open_store`: what it opened is closed when its last user is done."""
    if isinstance(store, Ledger):
        release_ledger(store)
    else:
        _release_foreign(store)


def is_url(where: str | Path) -> bool:
    """Tell whether `where` is the URL of a store, not a directory."""
    return isinstance(where, str) and "://" in where


def check_keeps_turns(step: StepLedgerProtocol | None, name: str) -> None:
    """Raise `ConfigurationError` where a step of conversations has a store that keeps none."""
    if isinstance(step, ForeignStep) and not step.keeps_turns:
        raise ConfigurationError(
            f"Task {name!r} asks more than once about a row, and the store of this run keeps one answer a row: it has "
            "no `find_turn`, `find_effect` and `keep_effect` (`limbeck.protocols.TurnLedgerProtocol`). Use a directory "
            "as `run_dir`, or another store."
        )


class ForeignLedger:
    """A guard around a store that is not the built-in one."""

    folder = None  # it has no directory, so nothing else is kept beside it

    def __init__(self, ledger: LedgerProtocol) -> None:
        self._ledger = ledger

    def step(self, name: str, config: Mapping[str, Any]) -> ForeignStep:
        """Call the store's own method."""
        return ForeignStep(_guarded(self._ledger.step, name, config), self._ledger)

    def close(self) -> None:
        """Call the store's own method."""
        _guarded(self._ledger.close)


class ForeignStep:
    """A guard around one step's part of such a store."""

    def __init__(self, step: StepLedgerProtocol, ledger: LedgerProtocol) -> None:
        self._step = step
        self._ledger = ledger

    def find(self, row: str, key: bytes, samples: int) -> Sequence[StoredAnswer | None]:
        """Call the store's own method, and check that it gives as many as were asked for."""
        found: Sequence[StoredAnswer | None] = _guarded(self._step.find, row, key, samples)
        if len(found) != samples:
            raise LedgerError(f"{_blamed(self._step.find)} gave {len(found)} answers where {samples} were asked for.")
        return found

    async def keep(self, answer: PaidAnswer) -> None:
        """Call the store's own method."""
        await _awaited(self._step.keep, answer)

    def keep_failure(self, failure: FailedCall) -> None:
        """Call the store's own method."""
        _guarded(self._step.keep_failure, failure)

    @property
    def keeps_turns(self) -> bool:
        """True if the store has what conversations need."""
        return keeps_turns(self._step)

    def find_turn(self, row: str, sample: int, turn: str | None, key: bytes) -> StoredAnswer | GenerationError | None:
        """Call the store's own method."""
        found: StoredAnswer | GenerationError | None = _guarded(self._turns.find_turn, row, sample, turn, key)
        return found

    def find_effect(self, row: str, sample: int, turn: str, key: bytes) -> StoredEffect | None:
        """Call the store's own method."""
        found: StoredEffect | None = _guarded(self._turns.find_effect, row, sample, turn, key)
        return found

    async def keep_effect(self, effect: StoredEffect) -> None:
        """Call the store's own method."""
        await _awaited(self._turns.keep_effect, effect)

    @property
    def _turns(self) -> TurnLedgerProtocol:
        return cast("TurnLedgerProtocol", self._step)  # which was looked at before the run

    def close(self) -> None:
        """Call the store's own method."""
        _guarded(self._step.close)


Store: TypeAlias = Ledger | ForeignLedger


def _guarded(method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return method(*arguments, **options)
    except LimbeckError:
        raise
    except Exception as exc:  # as above
        raise _fault(method, exc) from exc


async def _awaited(method: Callable[..., Awaitable[None]], argument: Any) -> None:
    try:
        await method(argument)
    except LimbeckError:
        raise
    except Exception as exc:  # the isolation boundary of stores: one call
        raise _fault(method, exc) from exc


def _fault(method: Callable[..., Any], cause: Exception) -> LedgerError:
    return LedgerError(
        f"{_blamed(method)} raised {type(cause).__name__}: {cause}. What it kept before is as safe as it says; "
        "mend the cause, and run again with the same store."
    )


def _blamed(method: Callable[..., Any]) -> str:
    holder = getattr(method, "__self__", method)
    holder = holder if isinstance(holder, type) else type(holder)
    return f"`{method.__name__}` of the store `{holder.__module__}.{holder.__qualname__}`"


# Those that a URL named, shared by all steps of a chain.


@dataclass(slots=True)
class _Shared:
    store: ForeignLedger
    users: int = 0


_shared: dict[str, _Shared] = {}
_sharing = threading.Lock()


def _shared_foreign(url: str, durability: Durability, requests: StoredRequests) -> ForeignLedger:
    with _sharing:
        if url not in _shared:
            _shared[url] = _Shared(ForeignLedger(_opened(url, durability, requests)))
        _shared[url].users += 1
        return _shared[url].store


def _opened(url: str, durability: Durability, requests: StoredRequests) -> LedgerProtocol:
    scheme = url.partition("://")[0].lower()
    try:
        cls = default_registry().get("ledger", scheme)
    except UnknownNameError as exc:
        raise LedgerError(
            f"`run_dir` is a URL of the scheme {scheme!r}, for which no store is installed. {exc} "
            "A directory is given as a path without `://`."
        ) from exc
    opened: LedgerProtocol = _guarded(cls.from_url, url, durability=durability, requests=requests)
    check_ledger(opened)
    return opened


def _release_foreign(store: ForeignLedger) -> None:
    with _sharing:
        url = next((url for url, shared in _shared.items() if shared.store is store), None)
        if url is None:
            return  # the caller's own, who closes it
        _shared[url].users -= 1
        if _shared[url].users:
            return
        del _shared[url]
    store.close()
