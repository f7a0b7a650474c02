"""Equality of rows, as 16 bytes that equal rows share and others do not.

Values are equal that are of one kind and have one value: 1 and 1.0 are, as are a list and a tuple
of the same items, and NaN is itself; a text is no bytes, no day and no number, and true is not 1.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from limbeck.errors import RowError, described
from limbeck.files import plain, plain_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from limbeck.types import Row

_MOST_DIGITS = 5_000  # of a decimal that is compared with whole numbers: "1e999999999" has a billion
_MICROSECOND = timedelta(microseconds=1)


class IncomparableError(RowError):
    """A column holds a value that equals nothing but itself."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(
            f"The column {column!r} holds a value that cannot be compared with those of other rows: "
            f"{why.rstrip('.')}. Name the columns to compare in `columns`, without this one."
        )


def digest(row: Row, columns: Sequence[str], salt: bytes = b"") -> bytes:
    """16 bytes that tell the values of `columns`, or of the whole row, from any others.

    Raises:
        RowError: the row lacks a column.
        IncomparableError: a column holds a value that equals nothing but itself.
    """
    parts = [_column(row, name) for name in columns] if columns else sorted(_named(row, name) for name in row)
    return blake2b(b"".join(parts), digest_size=16, key=salt).digest()


def _named(row: Row, name: str) -> bytes:
    return _form(name) + _column(row, name)


def _column(row: Row, name: str) -> bytes:
    if name not in row:
        raise RowError(f"The row lacks the column `{name}`, which is compared.")
    try:
        return _form(row[name])
    except RecursionError:
        raise IncomparableError(name, "it holds itself, or is nested too deeply") from None
    except Exception as exc:  # of a value's own methods
        raise IncomparableError(name, str(exc) if type(exc) is _Single else described(exc)) from exc


class _Single(TypeError):  # noqa: N818 - it never leaves this module
    """A value equals nothing but itself."""


# Forms: bytes that equal values share. None begins as another one goes on, for each says how long it is.


def _form(value: Any) -> bytes:
    if type(value) is str:
        return _sized(b"s", value.encode("utf-8", "surrogatepass"))
    if value is None:
        return b"n"
    value = plain_value(value)
    form = next((form for cls, form in _FORMS if isinstance(value, cls)), _of_an_object)
    return form(value)


def _sized(kind: bytes, body: bytes) -> bytes:
    return b"%s%d:%s" % (kind, len(body), body)


def _counted(kind: bytes, parts: list[bytes]) -> bytes:
    return b"%s%d:%s" % (kind, len(parts), b"".join(parts))


def _truth(value: bool) -> bytes:
    return b"t" if value else b"f"


def _text(value: str) -> bytes:
    return _form(str.__str__(value))


def _list(value: Iterable[Any]) -> bytes:
    return _counted(b"l", [_form(part) for part in value])


def _set(value: Iterable[Any]) -> bytes:
    return _counted(b"e", sorted(_form(part) for part in value))


def _dict(value: Mapping[Any, Any]) -> bytes:
    return _counted(b"d", sorted(_form(key) + _form(part) for key, part in value.items()))


def _moment(value: datetime) -> bytes:
    """A time as microseconds; those with a zone are equal if they are the same moment."""
    distance = value.utcoffset()
    since = (value.replace(tzinfo=None) - datetime.min) // _MICROSECOND  # noqa: DTZ901 - without zones on both sides
    return _sized(b"w", b"%d" % since) if distance is None else _sized(b"z", b"%d" % (since - distance // _MICROSECOND))


def _duration(value: timedelta) -> bytes:
    return _sized(b"g", b"%d" % (value // _MICROSECOND))


# Numbers


def _complex(value: complex) -> bytes:
    return _number(value.real) if value.imag == 0 else b"c" + _number(value.real) + _number(value.imag)


def _number(value: Any) -> bytes:
    whole = _whole(value)
    return _sized(b"r", _fraction(value).encode()) if whole is None else _sized(b"i", b"%x" % whole)


def _whole(value: Any) -> int | None:
    """A number that is whole as an integer, or None."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not value.is_finite() or value.adjusted() > _MOST_DIGITS or value != value.to_integral_value():
        return None
    return int(value)


def _fraction(value: Any) -> str:
    """The text of a number that is not whole: that of the float that equals it, where there is one."""
    if isinstance(value, float):
        return float.hex(value)
    if value.is_nan():
        return "nan"
    nearest = float(value)
    if Decimal(nearest) == value:
        return nearest.hex()
    sign, digits, exponent = value.as_tuple()
    significant = "".join(map(str, digits)).rstrip("0")
    return f"{sign} {significant} {exponent + len(digits) - len(significant)}"


# Objects


def _of_an_object(value: Any) -> bytes:
    """A value of any other class: its form in JSON, or else its text, beside the class's name.

    Raises:
        _Single: it equals nothing but itself.
    """
    cls: Any = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}".encode("utf-8", "surrogatepass")
    if isinstance(value, Enum):
        return _sized(b"o", name) + _form(value.value)
    form = value if isinstance(value, type) else plain(value)
    if cls.__eq__ is object.__eq__ or (isinstance(form, str) and f"{id(value):x}" in form.lower()):
        raise _Single(f"a value of the type `{cls.__qualname__}` equals nothing but itself")
    return _sized(b"o", name) + _form(form)


_FORMS: tuple[tuple[Any, Callable[[Any], bytes]], ...] = (
    (str, _text),
    (bool, _truth),
    ((int, float, Decimal), _number),
    (Mapping, _dict),
    ((list, tuple, deque), _list),
    ((bytes, bytearray, memoryview), lambda value: _sized(b"b", bytes(value))),
    (datetime, _moment),
    (date, lambda value: _sized(b"y", value.isoformat().encode())),
    (time, lambda value: _sized(b"h", value.isoformat().encode())),
    (timedelta, _duration),
    ((set, frozenset), _set),
    (complex, _complex),
    (os.PathLike, lambda value: _sized(b"p", os.fsencode(value))),
    (type(None), lambda _: b"n"),
)
