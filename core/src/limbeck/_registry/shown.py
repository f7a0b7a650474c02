"""Copies for observers: whatever they do to them changes nothing that is sent, keyed or kept."""

from __future__ import annotations

import copy
from dataclasses import is_dataclass
from typing import Any

_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def shown(value: Any) -> Any:
    """A copy that shares no dict, list, set, record or error with `value`, however deep; other objects are the same."""
    try:
        return _copied(value)
    except RecursionError:  # it holds itself
        return copy.copy(value)


def _copied(value: Any) -> Any:
    cls = type(value)
    if cls in _PLAIN:
        return value
    if cls is dict:
        return {name: _copied(part) for name, part in value.items()}
    if cls is list or cls is tuple:
        return cls([_copied(part) for part in value])
    if cls is set:
        return value.copy()
    if isinstance(value, BaseException):
        return _copied_error(value)
    return _copied_record(value) if is_dataclass(cls) else value


def _copied_record(record: Any) -> Any:
    made = copy.copy(record)
    for name in record.__dataclass_fields__:
        part = getattr(record, name)
        if type(part) not in _PLAIN:
            object.__setattr__(made, name, _copied(part))  # it may be frozen
    return made


def _copied_error(error: BaseException) -> BaseException:
    """The error again, with where it was raised; one of a class that cannot be copied is the same."""
    try:
        made = copy.copy(error)
        vars(made).update({name: _copied(part) for name, part in vars(error).items()})
    except Exception:  # noqa: BLE001 - it may be of anybody's class
        return error
    if type(made) is not type(error):
        return error
    made.__cause__, made.__context__ = error.__cause__, error.__context__
    made.__suppress_context__ = error.__suppress_context__
    return made.with_traceback(error.__traceback__)
