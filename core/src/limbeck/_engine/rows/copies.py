"""Copies of rows, so that who changes a list or a dict in one changes nobody else's.

Rows that came of one row hold the same objects, along branches, across samples, and back to the
source. Whatever runs an author's code on a row gives it a copy. This is done for every row at
every step, so a row of plain values costs one pass of C code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...types import Row

_SCALARS = frozenset({str, int, float, bool, type(None)})


def own_row(row: Row) -> Row:
    """A copy of `row` that shares no dict, list or set with it, however deep; other objects are the same."""
    try:
        return _own_dict(row, {})
    except RecursionError:  # nothing that JSON could hold
        return dict(row)


def _own_dict(value: dict[Any, Any], made: dict[int, Any]) -> dict[Any, Any]:
    if _SCALARS.issuperset(map(type, value.values())):
        return dict(value)
    own = made[id(value)] = {}
    for name, part in value.items():
        own[name] = part if type(part) in _SCALARS else _own(part, made)
    return own


def _own_list(value: list[Any], made: dict[int, Any]) -> list[Any]:
    if _SCALARS.issuperset(map(type, value)):
        return value.copy()
    own = made[id(value)] = []
    own.extend(part if type(part) in _SCALARS else _own(part, made) for part in value)
    return own


def _own(value: Any, made: dict[int, Any]) -> Any:
    """A copy of a container. `made` are those that were copied, so that what holds itself ends."""
    cls = type(value)
    if cls is dict:
        return made[id(value)] if id(value) in made else _own_dict(value, made)
    if cls is list:
        return made[id(value)] if id(value) in made else _own_list(value, made)
    if cls is tuple:
        return tuple([_own(part, made) for part in value])
    return value.copy() if cls is set else value
