"""The ways that rows take: where they may leave, where branches part and are joined again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._step import GlobalStep
from ...errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a graph that the rows of one origin may come by. A step over all rows ends a region, and begins one.

    Attributes:
        waits: the steps in it that wait until all that may come of a row has come (joins, and those
            that take rows in order), each with the names of the steps that lead to it, the origin's too.
        parts: for each join, the last step that every row on its way there comes by.
        exits: the leaves, and the steps over all rows, that it ends at, by name, in topological order.
    """

    waits: Mapping[str, frozenset[str]]
    parts: Mapping[str, str]
    exits: Sequence[str]


def regions_of(steps: Mapping[str, Any], edges: Sequence[tuple[str, str]]) -> dict[str, Region]:
    """The regions by the name of their origin, in topological order.

    Args:
        steps: by name, in topological order. edges: from and to, by name.

    Raises:
        ConfigurationError: a join is reached by the rows of several origins.
    """
    downstream: dict[str, list[str]] = {name: [] for name in steps}
    for before, after in edges:
        downstream[before].append(after)
    led_to = {after for _, after in edges}
    regions = {
        name: _region(steps, downstream, name)
        for name, step in steps.items()
        if name not in led_to or isinstance(step, GlobalStep)
    }
    for join in steps:
        origins = [name for name, region in regions.items() if join in region.parts]
        if len(origins) > 1:
            raise ConfigurationError(
                f"The join {join!r} puts together again what came of one row, and is reached from "
                f"{' and '.join(map(repr, origins))}, whose rows have nothing to do with each other."
            )
    return regions


def _region(steps: Mapping[str, Any], downstream: Mapping[str, Sequence[str]], origin: str) -> Region:
    ends = {name for name, step in steps.items() if isinstance(step, GlobalStep) and name != origin}
    way = {name: () if name in ends else downstream[name] for name in steps}
    reached = _reached(way, origin)
    inside = [name for name in steps if name in reached]
    waits = {
        each: frozenset(name for name in inside if name != each and each in _reached(way, name))
        for each in inside
        if hasattr(steps[each], "joined") or getattr(steps[each], "in_order", False)
    }
    parts = {
        join: [name for name in inside if name in leading and join not in _reached(way, origin, without=name)][-1]
        for join, leading in waits.items()
        if hasattr(steps[join], "joined")
    }
    return Region(waits, parts, [name for name in inside if name in ends or not downstream[name]])


def _reached(way: Mapping[str, Sequence[str]], start: str, *, without: str = "") -> set[str]:
    """Find all steps downstream of `start`, itself included, where `without` is not to be passed."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found and name != without:
            found.add(name)
            waiting += way[name]
    return found
