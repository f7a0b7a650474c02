"""Checks of request bodies against the types of the installed SDKs, unknown keys at any depth included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a body: where, what, and whether it is that nobody knows the key."""

    place: str
    message: str
    unknown: bool

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def fault_in(kind: Any, body: Any, *, strict: bool = True) -> Fault | None:
    """The first fault of a body that should be of a type; None for a good one."""
    try:
        (value,) = _adapter(kind).validate_python([body], strict=strict)
    except ValidationError as exc:
        return _nearest(exc, ())
    return next(_faults(value, ()), None)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # A list, since pydantic takes a configuration only for what can have none of its own.
    return TypeAdapter(list[kind], config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))


def _faults(value: Any, place: tuple[Any, ...]) -> Iterator[Fault]:
    """Draw from the lazy iterators that pydantic makes of `Iterable`: what is in them is only then validated."""
    if isinstance(value, BaseModel):  # an SDK takes its response models too, and those allow any key
        yield Fault(_name(place), "Extra inputs are not permitted", unknown=True)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _faults(part, (*place, name))
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        try:
            for index, part in enumerate(value):
                yield from _faults(part, (*place, index))
        except ValidationError as exc:
            yield _nearest(exc, place)


def _nearest(exc: ValidationError, place: tuple[Any, ...]) -> Fault:
    """The first error of the member of a union that the body has fewest against."""
    members: dict[tuple[Any, ...], list[Any]] = {}
    for error in exc.errors(include_url=False, include_input=False):
        members.setdefault(tuple(step for step in error["loc"] if _is_member(step)), []).append(error)
    first = min(members.values(), key=len)[0]
    inside = first["loc"] if place else first["loc"][1:]  # less the list of `_adapter`
    return Fault(_name((*place, *inside)), first["msg"], unknown=first["type"] in _UNKNOWN)


def _is_member(step: Any) -> bool:
    return isinstance(step, str) and (step[:1].isupper() or not step.isidentifier())


def _name(place: tuple[Any, ...]) -> str:
    return ".".join(str(step) for step in place if not _is_member(step))
