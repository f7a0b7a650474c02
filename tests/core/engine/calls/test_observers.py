"""The observers of a run: looked up once, and run in copies of the caller's context."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from typing import Any, cast

from limbeck._engine.calls.observers import Observers

place: ContextVar[str] = ContextVar("place")


class Hooks:
    """Hooks of which one is observed."""

    def __init__(self) -> None:
        self.looked_up: list[str] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def observer(self, hook: str) -> Any:
        self.looked_up.append(hook)
        return self._observe if hook == "limbeck_run_started" else None

    def _observe(self, **facts: Any) -> None:
        self.seen.append((place.get("nowhere"), facts))
        place.set("changed by an observer")


def test_each_hook_is_looked_up_once_and_is_none_where_nobody_observes() -> None:
    hooks = Hooks()
    observers = Observers(cast("Any", hooks), copy_context())
    assert sorted(hooks.looked_up) == sorted(f"limbeck_{name}" for name in Observers.__slots__)
    assert [name for name in Observers.__slots__ if getattr(observers, name) is not None] == ["run_started"]


def test_an_observer_sees_the_callers_context_each_time_as_it_was() -> None:
    hooks = Hooks()
    token = place.set("the caller's")
    observers = Observers(cast("Any", hooks), copy_context())
    place.reset(token)
    assert observers.run_started is not None
    observers.run_started(run=1)
    observers.run_started(run=2)
    assert hooks.seen == [("the caller's", {"run": 1}), ("the caller's", {"run": 2})]
