"""The values that a task may read where its prompts are written down: JSON's own, and those with one form in JSON.

What has no form has no text either that would be the same the next time, so no answer about it
could be found again. Columns that the task does not read may hold anything. The check is made for
every row of a run with a ledger, so a column of plain values costs a look at its type.
"""

from __future__ import annotations

import enum
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..._media.parts import data_url
from ..._media.reading import is_pil
from ...errors import ConfigurationError, RowError
from .copies import plain_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_SCALARS = frozenset({str, int, float, bool, type(None)})
_DEEPEST = 100
_FORMS: tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((enum.Enum,), lambda member: member.value),
    ((set, frozenset), list),
    ((bytes,), lambda value: value.decode("utf-8", "backslashreplace")),  # a `bytearray` is made one before
    ((Decimal, uuid.UUID, os.PathLike, timedelta), str),
    ((Mapping,), dict),
)
# Of models, of dates and times, of arrays and their numbers.
_METHODS: dict[str, dict[str, Any]] = {"model_dump": {"mode": "json"}, "isoformat": {}, "tolist": {}}


def plain(value: Any) -> Any:
    """The form in JSON of a value that JSON lacks: what `json.dumps` takes as its `default`.

    A value of numpy, pandas, polars and the like is the Python value that it stands for. A model
    becomes a dict, a set a list, a date its ISO form, bytes, decimals, UUIDs and paths text, an
    enumeration's member its value. A PIL image, and bytes that are an image, audio or a PDF by their
    first, become a `data:` URL, which can be read again.

    Raises:
        TypeError: it has none.
    """
    found = plain_value(value)
    if found is not value:
        return found
    media = data_url(value)
    if media is not None:
        return media
    for method, options in _METHODS.items():
        if callable(getattr(value, method, None)):
            return getattr(value, method)(**options)
    for classes, form in _FORMS:
        if isinstance(value, classes):
            return form(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"JSON has no form for a value of the type `{type(value).__qualname__}`")


def finite(value: Any, form: Callable[[Any], Any] = plain) -> Any:
    """`value` as JSON gives it back, with null for NaN and the infinities, which JSON has no words for.

    Args:
        form: what stands in JSON for a value that it does not have.
    """
    return json.loads(json.dumps(value, default=form), parse_constant=lambda _: None)


def check_first_rows(rows: Iterable[Any], columns: Collection[str], *, first: int = 0) -> None:
    """Raise unless these columns of all of these rows, numbered from `first`, can be written down.

    Nothing has been asked yet.

    Raises:
        ConfigurationError: one cannot; it names the row, the column and the remedy.
    """
    for number, row in enumerate(rows, first):
        fault = _fault(row, columns)
        if fault is not None:
            raise ConfigurationError(f"{_message(str(number), *fault)} No model was asked.")


def check_row(id: str, row: Any, columns: Collection[str]) -> None:
    """Raise unless these columns of a row can be written down.

    Raises:
        RowError: one cannot; it names the row, the column and the remedy.
    """
    fault = _fault(row, columns)
    if fault is not None:
        raise RowError(_message(id, *fault))


def unwritable(value: Any) -> str | None:
    """The part of a value that JSON cannot hold, or None. Objects that have no form in it are written as texts."""
    return _unwritable(value, (), objects=False)


def _message(id: str, column: str, what: str) -> str:
    return (
        f"Row {id} has {what} in the column `{column}`, for which JSON has no form, so what is asked about it cannot "
        "be written down and found again. Turn it into text, numbers, lists or dicts before this step."
    )


def _fault(row: Any, columns: Collection[str]) -> tuple[str, str] | None:
    """The column that cannot be written and what is in it, or None."""
    if not isinstance(row, dict):
        return None  # which is a failed row for another reason
    for column in columns:
        value = row.get(column)
        if type(value) not in _SCALARS and (what := _unwritable(value, ())) is not None:
            return column, what
    return None


def _unwritable(value: Any, inside: tuple[Any, ...], *, objects: bool = True) -> str | None:
    """The part of a value that JSON cannot hold, or None.

    Args:
        inside: the containers that it is in. objects: whether an object without a form is such a thing.
    """
    cls: type = type(value)
    if cls in _SCALARS:
        return None
    if not issubclass(cls, dict | list | tuple):
        fine = not objects or _has_form(cls) or is_pil(value) or plain_value(value) is not value  # type: ignore[arg-type]  # a class is hashable
        return None if fine else f"a value of the type `{cls.__qualname__}`"
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict) and not all(isinstance(key, str | int | float | None) for key in value):
        return "a dict with keys that are no texts"
    if _SCALARS.issuperset(map(type, parts)):
        return None
    if len(inside) >= _DEEPEST or any(outer is value for outer in inside):
        return "a value that holds itself or is nested too deeply"
    deeper = (*inside, value)
    found = (_unwritable(part, deeper, objects=objects) for part in parts)
    return next((what for what in found if what is not None), None)


@lru_cache(maxsize=256)
def _has_form(cls: type) -> bool:
    """Tell whether `plain` has a form for the objects of a class, or JSON itself."""
    return (
        issubclass(cls, str | int | float)
        or is_dataclass(cls)
        or any(issubclass(cls, classes) for classes, _ in _FORMS)
        or any(callable(getattr(cls, method, None)) for method in _METHODS)
    )
