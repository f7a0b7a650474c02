"""Copies of rows, so that who changes a list or a dict in one changes nobody else's.

Rows that came of one row hold the same objects, along branches, across samples, and back to the
source. Whatever runs an author's code on a row gives it a copy. This is done for every row at
every step, so a row of plain values costs one pass of C code.

A row that comes in, and what a task reads, is made of plain Python values too: a template, a
condition and a file treat an array of numpy's, or what pandas calls missing, as something else
than the list and the None that it stands for.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._media.parts import MediaPart

if TYPE_CHECKING:
    from ...types import Row

_Made: TypeAlias = dict[int, Any]  # the copies of containers, by what they were made of, so that a ring ends
_Other: TypeAlias = Callable[[Any, _Made], Any]  # what a value becomes that is neither a scalar nor a plain container

_TEXT = frozenset({str})
_SCALARS = frozenset({str, int, float, bool, type(None)})
# Packages whose values stand for Python's, and the methods that say which: the first that a value has.
_FOREIGN = frozenset({"numpy", "pandas", "polars", "pyarrow", "torch", "jax", "jaxlib", "tensorflow"})
_METHODS = (
    "to_pydatetime",
    "to_pytimedelta",
    "as_py",
    "to_pybytes",
    "to_pylist",
    "to_dicts",
    "to_list",
    "tolist",
    "numpy",
)
_MISSING = frozenset({"NAType", "NaTType"})  # of pandas
_FINER_THAN_PYTHON = frozenset({"ns", "ps", "fs", "as"})
_LONGER_THAN_PYTHON = frozenset({"Y", "M"})  # as durations, which have no length in days


def own_row(row: Row) -> Row:
    """A copy of `row` that shares no dict, list or set with it, however deep; other objects are the same."""
    return _copied(row, _other)


def plain_row(row: Row) -> Row:
    """A copy as `own_row` gives it, in which values of numpy, pandas, polars and the like are Python's own.

    What pandas alone has is written in words: a period or an offset as its text, an interval as a dict of its ends. So
    is a time beyond the years of Python. A `bytearray` and a `memoryview` are `bytes`.
    """
    return _copied(row, _plain_other)


def plain_value(value: Any) -> Any:
    """The Python value that a value of numpy, pandas, polars and the like stands for; any other is given as it is."""
    return value if _is_plain(type(value)) else _plain_other(value, {})


def taken_row(row: Any) -> Any:
    """A row that comes in as a plain dict of its own. What is no row is given as it is: `row_fault` says why."""
    if type(row) is dict:
        return plain_row(row)
    if not is_row(row):
        return row
    names = list(row.keys())
    return plain_row({name: row[name] for name in names}) if len(set(names)) == len(names) else row


def is_row(row: object) -> bool:
    """Tell whether a row can be made of it: a mapping, or what has keys like one (`sqlite3.Row`), and is no table."""
    if isinstance(row, Mapping):
        return True
    return hasattr(row, "keys") and hasattr(row, "__getitem__") and not _is_tabular(row)


def row_fault(row: Any) -> str | None:
    """The reason why an incoming row is no row, and the remedy; or None."""
    if isinstance(row, dict):
        if _TEXT.issuperset(map(type, row)):
            return None
        return next((odd_name(name) for name in row if not isinstance(name, str)), None)
    if is_row(row):
        names = list(row.keys())
        twice = [name for name in names if names.count(name) > 1]
        return f"The row has two columns of the name {twice[0]!r}. Give one of them another name." if twice else None
    return f"A row must be a dict of columns, not {type(row).__name__}.{_remedy(row)}"


def odd_name(name: object) -> str:
    """The message about a column whose name is no text."""
    return f"A column is named {name!r}, which is no text. Give it a text as its name, such as {str(name)!r}."


def _remedy(row: Any) -> str:
    if _is_tabular(row):
        return " Give the table itself, or `yield from` its rows."
    if is_dataclass(row):
        return " Write `dataclasses.asdict(row)`."
    if hasattr(row, "model_dump"):
        return " Write `row.model_dump()`."
    return " Write `row._asdict()`." if hasattr(row, "_asdict") else ""


def _is_tabular(value: Any) -> bool:
    return len(getattr(value, "shape", ())) > 1 or hasattr(value, "to_pylist")


def _copied(row: Row, other: _Other) -> Row:
    try:
        return _own_dict(row, {}, other)
    except RecursionError:  # nothing that JSON could hold
        return dict(row)


def _own_dict(value: Mapping[Any, Any], made: _Made, other: _Other) -> dict[Any, Any]:
    if _SCALARS.issuperset(map(type, value.values())):
        return dict(value)
    own = made[id(value)] = {}
    for name, part in value.items():
        own[name] = part if type(part) in _SCALARS else _own(part, made, other)
    return own


def _own_list(value: Any, made: _Made, other: _Other) -> list[Any]:
    if _SCALARS.issuperset(map(type, value)):
        return list(value)
    own = made[id(value)] = []
    own.extend(part if type(part) in _SCALARS else _own(part, made, other) for part in value)
    return own


def _own(value: Any, made: _Made, other: _Other) -> Any:
    """A copy of a container."""
    cls = type(value)
    if cls is dict:
        return made[id(value)] if id(value) in made else _own_dict(value, made, other)
    if cls is list:
        return made[id(value)] if id(value) in made else _own_list(value, made, other)
    if cls is tuple:
        return tuple([_own(part, made, other) for part in value])
    return value.copy() if cls is set else other(value, made)


def _other(value: Any, made: _Made) -> Any:
    """A copy of a container of another class, which stays of that class; any other object as it is."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_own(part, made, _other) for part in value))
    if not isinstance(value, dict | list | deque | set | bytearray):
        return value
    if id(value) not in made:
        own: Any = copy.copy(value)
        made[id(value)] = own
        if isinstance(value, dict | list | deque):
            for name, part in value.items() if isinstance(value, dict) else enumerate(value):
                own[name] = _own(part, made, _other)
    return made[id(value)]


def _plain_other(value: Any, made: _Made) -> Any:
    """The plain value that a value of another class stands for; any other object as it is."""
    if isinstance(value, MediaPart):
        return value  # as a plain dict it would have no content
    if isinstance(value, Mapping):
        return made[id(value)] if id(value) in made else _own_dict(value, made, _plain_other)
    if isinstance(value, list | deque):
        return made[id(value)] if id(value) in made else _own_list(value, made, _plain_other)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if not _is_foreign(type(value)):
        return _other(value, made)
    found = _pythons(value)
    return found if type(found) in _SCALARS or found is value else _own(found, {}, _plain_other)


def _is_plain(cls: type) -> bool:
    return not _is_foreign(cls) and not issubclass(cls, bytearray | memoryview)


def _is_foreign(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _FOREIGN


def _pythons(value: Any) -> Any:
    """The value of a foreign package in Python's types; itself where it has no such form."""
    name = type(value).__name__
    if name in _MISSING:
        return None
    try:
        if type(value).__module__.partition(".")[0] == "numpy":
            return _of_numpy(value)
        return _OF_PANDAS[name](value) if name in _OF_PANDAS else _by_method(value)
    except Exception:  # noqa: BLE001 - of a package's own methods; what has no form in Python has one in words
        return value.isoformat() if hasattr(value, "isoformat") else value


def _by_method(value: Any) -> Any:
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        return value.astype(object).where(value.notna(), None).to_dict("records")
    if hasattr(value, "freqstr") and hasattr(value, "is_on_offset"):  # which pandas alone has
        return value.freqstr
    method = next((method for method in _METHODS if callable(getattr(value, method, None))), None)
    return value if method is None else getattr(value, method)()


_OF_PANDAS: dict[str, Callable[[Any], Any]] = {
    "Timestamp": lambda value: value.as_unit("us").to_pydatetime(),  # else it warns of nanoseconds
    "Period": str,
    "Interval": lambda value: {"left": value.left, "right": value.right, "closed": value.closed},
}


def _of_numpy(value: Any) -> Any:
    """An array as a list, and a scalar as a number, a text or a time to the microsecond; records as dicts."""
    if not hasattr(value, "dtype") or not hasattr(value, "tolist"):
        return value
    names = value.dtype.names
    if names is not None:
        return {name: value[name] for name in names} if value.shape == () else list(value)
    if value.dtype.kind in "mM":
        return list(value) if value.shape else _time_of_numpy(value)
    return value.astype(float).tolist() if value.dtype.char == "g" else value.tolist()  # Python has no longer float


def _time_of_numpy(value: Any) -> Any:
    """A time or a duration; as its text where Python has no such, and as a number where it has no unit."""
    kind = value.dtype.kind
    unit = value.dtype.str.partition("[")[2].rstrip("]").lstrip("0123456789")
    if kind == "m" and unit in _LONGER_THAN_PYTHON:
        return str(value)
    found = (value.astype(f"{kind}8[us]") if unit in _FINER_THAN_PYTHON else value).tolist()
    return str(value) if isinstance(found, int) and unit else found
