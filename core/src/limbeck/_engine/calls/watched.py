"""The counters of a run, for those who may only read them."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from ...types import RunStats


class WatchedStats(RunStats):
    """The counters of a run as observers see them: live, and not to be set.

    It has none of its own: what is looked for here is found in the run's.
    """

    __slots__ = ("_counted",)
    _counted: RunStats

    def __init__(self, counted: RunStats) -> None:
        object.__setattr__(self, "_counted", counted)

    def __getattr__(self, name: str) -> Any:
        value = getattr(object.__getattribute__(self, "_counted"), name)
        return value.copy() if isinstance(value, Counter) else value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"`{name}` of a run is counted by the run; whoever watches it can only read it")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        return self._counted == (other._counted if isinstance(other, WatchedStats) else other)

    __hash__ = None  # type: ignore[assignment]  # as of what it shows

    def __reduce__(self) -> Any:
        """A copy is of the counters as they stand."""
        return RunStats, tuple(getattr(self, each.name) for each in fields(RunStats))
