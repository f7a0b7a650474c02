"""The kinds of values in a column, and the Arrow type that holds all of them as they are.

Arrow joins some values by changing them: a day and a moment become two days, a moment loses its
zone to one without, a text becomes bytes. Here values of one kind go together, and others do not.
Importing this module imports pyarrow.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from limbeck.files import image_bytes, plain, plain_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LARGEST_WHOLE_FLOAT = 2**53  # beyond it, not every whole number is a fraction too
_LONGEST = timedelta(microseconds=2**63 - 1)
_DEEPEST = 48  # lists and dicts in each other; Arrow reads its files to 64 levels, and lists in Parquet to 49
_NARROW, _WIDE = 38, 76  # the digits of decimals that go into 128 bits, and into 256


class Misfit(ValueError):  # noqa: N818 - it never leaves this package
    """Values that have no Arrow type in common, or one that has none at all; the message says which."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of values of one kind that has one Arrow type.

    Attributes:
        kind: what messages call them. plainly: the Arrow type.
    """

    kind: str
    plainly: Any = None

    @property
    def type(self) -> Any:
        """The Arrow type that holds them."""
        return self.plainly

    @property
    def is_json(self) -> bool:
        """True if the values are read back from JSON as they were."""
        return self in (NULLS, _KINDS[str], _KINDS[bool])

    @property
    def is_bare(self) -> bool:
        """True if there are dicts without keys among them, which Parquet does not have."""
        return False

    def joined(self, _other: Any) -> Any:
        """The shape of values of either, which are of one kind.

        Raises:
            Misfit: they do not go together.
        """
        return self


@dataclass(frozen=True, slots=True)
class Numbers(Shape):
    """The shape of numbers: the whole ones are between `low` and `high`."""

    kind: str = "numbers"
    low: int = 0
    high: int = 0
    fractions: bool = False
    finite: bool = True

    def __post_init__(self) -> None:
        if self.fractions and max(-self.low, self.high) > _LARGEST_WHOLE_FLOAT:
            raise Misfit("fractions do not go together with whole numbers beyond 2**53, which none of them equals")
        if self.low < -(2**63) or self.high >= 2 ** (64 if self.low >= 0 else 63):
            raise Misfit("the whole numbers do not go into 64 bits")

    @property
    def type(self) -> Any:
        if self.fractions:
            return pa.float64()
        return pa.int64() if self.high < 2**63 else pa.uint64()

    @property
    def is_json(self) -> bool:
        return self.finite

    def joined(self, other: Numbers) -> Numbers:
        return Numbers(
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            fractions=self.fractions or other.fractions,
            finite=self.finite and other.finite,
        )


@dataclass(frozen=True, slots=True)
class Decimals(Shape):
    """The shape of decimals with so many digits before the point, and behind it."""

    kind: str = "decimals"
    digits: int = 0
    scale: int = 0

    def __post_init__(self) -> None:
        if self.digits + self.scale > _WIDE:
            raise Misfit(f"the decimals have more than {_WIDE} digits")

    @property
    def type(self) -> Any:
        narrow = self.digits + self.scale <= _NARROW
        return pa.decimal128(_NARROW, self.scale) if narrow else pa.decimal256(_WIDE, self.scale)

    @property
    def is_json(self) -> bool:
        return False

    def joined(self, other: Decimals) -> Decimals:
        return Decimals(digits=max(self.digits, other.digits), scale=max(self.scale, other.scale))


@dataclass(frozen=True, slots=True)
class ZonedTimes(Shape):
    """The shape of times with a zone; those of several zones are stored in UTC."""

    kind: str = "times with a zone"
    zone: str = "UTC"

    @property
    def type(self) -> Any:
        return pa.timestamp("us", self.zone)

    @property
    def is_json(self) -> bool:
        return False

    def joined(self, other: ZonedTimes) -> ZonedTimes:
        return self if other.zone == self.zone else ZonedTimes()


@dataclass(frozen=True, slots=True)
class Lists(Shape):
    """The shape of lists."""

    kind: str = "lists"
    item: Any = None

    @property
    def type(self) -> Any:
        return pa.list_(self.item.type)

    @property
    def is_json(self) -> bool:
        return bool(self.item.is_json)

    @property
    def is_bare(self) -> bool:
        return bool(self.item.is_bare)

    def joined(self, other: Lists) -> Lists:
        return Lists(item=joined(self.item, other.item))


@dataclass(frozen=True, slots=True)
class Dicts(Shape):
    """The shape of dicts, which have some of these keys."""

    kind: str = "dicts"
    parts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> Any:
        return pa.struct([(name, part.type) for name, part in self.parts.items()])

    @property
    def is_json(self) -> bool:
        return all(part.is_json for part in self.parts.values())

    @property
    def is_bare(self) -> bool:
        return not self.parts or any(part.is_bare for part in self.parts.values())

    def joined(self, other: Dicts) -> Dicts:
        parts = {**self.parts, **other.parts}
        for name in self.parts.keys() & other.parts.keys():
            parts[name] = _at(name, joined, self.parts[name], other.parts[name])
        return Dicts(parts=parts)


_STORABLE = (type(None), str, bool, int, float, bytes, datetime, date, time, timedelta, Decimal)  # datetime is a date

NULLS = Shape("nulls", pa.null())
_KINDS: dict[type, Shape] = {
    bool: Shape("true and false", pa.bool_()),
    str: Shape("texts", pa.string()),
    bytes: Shape("bytes", pa.binary()),
    datetime: Shape("times without a zone", pa.timestamp("us")),
    date: Shape("days", pa.date32()),
    time: Shape("times of day", pa.time64("us")),
    timedelta: Shape("durations", pa.duration("us")),
}
_NAMES = {**{cls: shape.kind for cls, shape in _KINDS.items()}, int: "numbers", float: "numbers", Decimal: "decimals"}
_NAMES |= {datetime: "times", list: "lists", dict: "dicts"}


def joined(one: Any, other: Any) -> Any:
    """The shape of the values of both.

    Raises:
        Misfit: they do not go together.
    """
    if NULLS in (one, other):
        return other if one == NULLS else one
    if one.kind != other.kind:
        raise Misfit(f"{one.kind} and {other.kind} do not go together")
    return one.joined(other)


def _at(key: str, make: Callable[..., Any], *arguments: Any) -> Any:
    """The shape that is made for a key, which an error names."""
    try:
        return make(*arguments)
    except Misfit as exc:
        raise Misfit(f"at the key {key!r}: {exc}") from exc


def shape_of(values: Sequence[Any], depth: int = 0) -> Any:
    """The shape of storable values, which stand in so many lists and dicts.

    Raises:
        Misfit: they do not go together, or one has no Arrow type.
    """
    present = [value for value in values if value is not None]
    types = list(dict.fromkeys(map(type, present)))
    if not types:
        return NULLS
    if len({_NAMES[cls] for cls in types}) > 1:
        raise Misfit(f"{_NAMES[types[0]]} and {_NAMES[types[1]]} do not go together")
    if types[0] in (list, dict):
        if depth >= _DEEPEST:
            raise Misfit(f"there are more than {_DEEPEST} lists and dicts in each other")
        return _nested(present, depth + 1)
    return _SHAPES.get(types[0], _only)(present)


def _nested(values: list[Any], depth: int) -> Any:
    if type(values[0]) is list:
        return Lists(item=shape_of(list(chain.from_iterable(values)), depth))
    names = list(dict.fromkeys(chain.from_iterable(values)))
    _texts(names)
    return Dicts(parts={name: _at(name, shape_of, [each.get(name) for each in values], depth) for name in names})


def _only(values: list[Any]) -> Any:
    return _KINDS[type(values[0])]


def _texts(values: list[str]) -> Any:
    try:
        "\n".join(values).encode()
    except UnicodeEncodeError:
        raise Misfit("there is half a surrogate pair, which UTF-8 does not have") from None
    return _KINDS[str]


def _numbers(values: list[Any]) -> Any:
    whole = [value for value in values if type(value) is int] or [0]
    fractions = [value for value in values if type(value) is float]
    finite = all(map(math.isfinite, fractions))
    return Numbers(low=min(whole), high=max(whole), fractions=bool(fractions), finite=finite)


def _decimals(values: list[Decimal]) -> Any:
    shape = Decimals()
    for value in values:
        _, digits, exponent = value.as_tuple()
        if isinstance(exponent, str):
            raise Misfit(f"the decimal {value} is none that Arrow has")
        shape = shape.joined(Decimals(digits=max(len(digits) + exponent, 0), scale=max(-exponent, 0)))
    return shape


def _times(values: list[datetime]) -> Any:
    aware = [value for value in values if value.tzinfo is not None]
    if not aware:
        return _KINDS[datetime]
    if len(aware) < len(values):
        raise Misfit("times with a zone and times without a zone do not go together")
    zones = set(map(_zone, aware))
    return ZonedTimes(zone=zones.pop()) if len(zones) == 1 else ZonedTimes()


def _zone(value: datetime) -> str:
    """The name that Arrow has for a zone: its own, or its distance from UTC in minutes."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise Misfit("there is a time that has no year in UTC") from None
    key: str | None = getattr(value.tzinfo, "key", None)
    distance = value.strftime("%z")
    if key is None and type(value.tzinfo) is timezone and len(distance) == len("+0200") and value.utcoffset():
        return f"{distance[:3]}:{distance[3:]}"
    return key or "UTC"


def _times_of_day(values: list[time]) -> Any:
    if any(value.tzinfo is not None for value in values):
        raise Misfit("there is a time of day with a zone, which Arrow does not have")
    return _KINDS[time]


def _durations(values: list[timedelta]) -> Any:
    if any(abs(value) > _LONGEST for value in values):
        raise Misfit("there is a duration that does not go into 64 bits of microseconds")
    return _KINDS[timedelta]


_SHAPES: dict[type, Callable[[list[Any]], Any]] = {
    str: _texts,
    int: _numbers,
    float: _numbers,
    Decimal: _decimals,
    datetime: _times,
    time: _times_of_day,
    timedelta: _durations,
}


def storable(value: Any) -> Any:
    """The value in types that have shapes: what Arrow does not have is as JSON would have it.

    Raises:
        Misfit: a dict has a key that is no text, or an image cannot be written.
    """
    cls = type(value)
    if cls in _STORABLE:
        return value
    if isinstance(value, dict):
        return _with_texts_as_keys(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [storable(each) for each in value]
    found = value.value if isinstance(value, Enum) else plain_value(value)
    if found is not value:
        return storable(found)
    own = next((base for base in _STORABLE if isinstance(value, base)), None)
    return _stand_in(value) if own is None else _without_subclass(own, value)


def _stand_in(value: Any) -> Any:
    """A PIL image as the bytes of a PNG; anything else as JSON would have it."""
    try:
        image = image_bytes(value)
    except ValueError as exc:
        raise Misfit(str(exc)) from exc
    return storable(plain(value)) if image is None else image


def _with_texts_as_keys(value: Mapping[Any, Any]) -> dict[str, Any]:
    made = {_key(name): storable(part) for name, part in value.items()}
    if len(made) < len(value):
        raise Misfit("a dict has two keys that are the same as texts")
    return made


def _key(name: Any) -> str:
    """The key as JSON would have it."""
    if isinstance(name, str):
        return str.__str__(name)
    if isinstance(name, int | float | None):
        return json.dumps(name)
    raise Misfit(f"a dict has the key {name!r}, which is no text")


def _without_subclass(own: type, value: Any) -> Any:
    """The value as one of the class itself, such as a text of what a library's texts are."""
    if own is datetime:
        return datetime.combine(date(value.year, value.month, value.day), value.timetz())
    if own is date:
        return date(value.year, value.month, value.day)
    if own is timedelta:
        return timedelta(value.days, value.seconds, value.microseconds)
    if own is time:
        return time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)
    return str.__str__(value) if own is str else own(value)
