"""JSON Schema, checked in bounded time whatever the schema says, and by the same rules as pydantic's models."""

from __future__ import annotations

import ipaddress
import json
import uuid
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaError as PatternRefused
from pydantic_core import SchemaValidator, core_schema

from .errors import ConfigurationError, MissingDependencyError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .types import JSONSchema

_EXTRA = "limbeck-core[jsonschema]"
_NEEDED_BY = "A JSON Schema as `output_schema`"

_last_compiled: tuple[Any, Any, Any] = (None, None, None)


def compiled(schema: JSONSchema | str) -> Any:
    """The validator of a schema; a task's own is the same object for every row, and is not digested again.

    Raises:
        ConfigurationError: it is not a valid schema; the place is named.
        MissingDependencyError: `jsonschema` is not installed.
    """
    if isinstance(schema, str):
        return _validator(schema)
    global _last_compiled  # noqa: PLW0603 - a cache of one; two threads at worst compile once more
    last, as_it_was, validator = _last_compiled
    if last is not schema or as_it_was != schema:
        validator = _validator(json.dumps(schema, sort_keys=True))
        _last_compiled = (schema, deepcopy(schema), validator)
    return validator


@lru_cache(maxsize=1024)
def _validator(schema_text: str) -> Any:
    try:
        from jsonschema import SchemaError as InvalidSchema
        from jsonschema.validators import validator_for
        from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # it ships no types
    except ImportError as exc:
        raise MissingDependencyError("jsonschema", needed_by=_NEEDED_BY, requirement=_EXTRA) from exc
    schema = json.loads(schema_text)
    cls: Any = validator_for(schema)
    meta_formats, formats = _formats()
    try:
        cls.check_schema(schema, format_checker=meta_formats)
    except InvalidSchema as exc:
        place = "/".join(map(str, exc.absolute_path)) or "its root"
        raise ConfigurationError(f"`output_schema` is not a valid JSON Schema: at {place}: {exc.message}.") from exc
    if '"patternProperties"' in schema_text and '"unevaluatedProperties"' in schema_text:
        raise ConfigurationError(
            "`output_schema` has both `patternProperties` and `unevaluatedProperties`, which cannot be checked "
            "together in bounded time. Say `additionalProperties` in place of the latter."
        )
    # Without a registry, a `$ref` would be fetched from elsewhere.
    scoped = '"$dynamicRef"' in schema_text or '"$recursiveRef"' in schema_text
    return _bounded(cls, scoped)(_without_dialects(schema), registry=REGISTRY, format_checker=formats)


def _without_dialects(schema: Any) -> Any:
    """The schema without `$schema`: where one stands inside, jsonschema goes on with a class of its own."""
    if isinstance(schema, list):
        return [_without_dialects(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: part if name in _DATA else _without_dialects(part)
        for name, part in schema.items()
        if not (name == "$schema" and isinstance(part, str))
    }


_DATA = ("const", "enum", "default", "examples")


# Bounds


_STEPS = 200_000  # some seconds
_STEPS_A_CHARACTER = 5
_READINGS = 1_000_000  # by pydantic; some seconds


@dataclass(slots=True)
class _Check:
    """What is left to do, and what has been done, in the checking of one answer."""

    steps: int
    readings: int
    referred: dict[tuple[int, int], tuple[list[Any], Any, Any]] = field(default_factory=dict)


_check: ContextVar[_Check | None] = ContextVar("_check", default=None)


@contextmanager
def bounded(answer: str) -> Iterator[None]:
    """Bound all the checking of an answer that is done inside: a recursive schema may take time without end.

    A check that goes beyond it raises `SchemaError`.
    """
    for_length = _STEPS_A_CHARACTER * len(answer)
    token = _check.set(_Check(_STEPS + for_length, _READINGS + for_length))
    try:
        yield
    finally:
        _check.reset(token)


def check_choices(schema: JSONSchema, value: Any) -> None:
    """Raise where pydantic would take without end: it tries each member of a union on each value, and all of each.

    Members that hold the same union again double what is to be read at each level of the answer. So it is counted
    beforehand how many times each part of the answer would be read: from the top down, in time that is linear in both.

    Args:
        schema: of the model. value: what the answer says.

    Raises:
        SchemaError: it would be too many times, together with what `bounded` has counted before.
    """
    check = _check.get() or _Check(_STEPS, _READINGS)
    waiting: list[tuple[Any, list[tuple[Any, int]]]] = [(value, [(schema, 1)])]
    while waiting:
        value, readings = waiting.pop()
        parts: dict[Any, dict[int, tuple[Any, int]]] = {}
        while readings:
            part, times = readings.pop()
            check.readings -= times
            if check.readings < 0:
                raise SchemaError(
                    "The answer cannot be checked against the model in bounded time: there is a union in it whose "
                    "members hold that union again. Give it a discriminator, with `Field(discriminator=...)`."
                )
            readings += ((each, times) for each in _alternatives(part, value, schema))
            for place, each in _inside(part, value):
                seen = parts.setdefault(place, {})
                seen[id(each)] = each, times + seen.get(id(each), (each, 0))[1]
        waiting += ((value[place], list(seen.values())) for place, seen in parts.items())


def _alternatives(part: Any, value: Any, schema: JSONSchema) -> list[Any]:
    """The schemas of the same value that a part of a model's schema leads to."""
    if not isinstance(part, dict):
        return []
    found = [*part.get("anyOf", ()), *part.get("allOf", ())]
    if "$ref" in part:
        found.append(_referred(part, schema))
    if "oneOf" in part:  # of which pydantic reads one, by its tag
        found.append(_tagged(part, value, schema))
    return found


def _referred(part: Any, schema: JSONSchema) -> Any:
    return schema.get("$defs", {}).get(part["$ref"].rpartition("/")[2], {}) if "$ref" in part else part


def _tagged(part: JSONSchema, value: Any, schema: JSONSchema) -> Any:
    """The schema that a discriminator leads to, or, where that is a function, the one that names most of the keys."""
    keys = value.keys() if isinstance(value, dict) else set()
    discriminator = part.get("discriminator")
    if discriminator is None:
        return max(part["oneOf"], key=lambda each: len(_referred(each, schema).get("properties", {}).keys() & keys))
    name = discriminator["propertyName"]
    chosen = (
        discriminator.get("mapping", {}).get(value[name]) if name in keys and isinstance(value[name], str) else None
    )
    return {} if chosen is None else {"$ref": chosen}


def _inside(part: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """The places in a value, each with a schema that a part of a model's schema has for it."""
    if not isinstance(part, dict):
        return
    if isinstance(value, dict):
        own = part.get("properties", {})
        rest = [part.get("additionalProperties"), *part.get("patternProperties", {}).values()]
        for name in value:
            yield from ((name, each) for each in ([own[name]] if name in own else rest) if isinstance(each, dict))
    elif isinstance(value, list):
        first = part.get("prefixItems", [])
        for place in range(len(value)):
            each = first[place] if place < len(first) else part.get("items")
            if isinstance(each, dict):
                yield place, each


def _counted(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*args: Any) -> Any:
        if check := _check.get():
            check.steps -= 1
            if check.steps < 0:
                raise SchemaError(
                    "The answer cannot be checked against the schema in bounded time. If it is recursive, "
                    "give it fewer alternatives, and `$ref` in place of `$dynamicRef`."
                )
        return keyword(*args)

    return counted


def _once(refer: Callable[..., Any]) -> Callable[..., Any]:
    """A `$ref` that is followed once for each value: alternatives that share it would take twice as long a level."""

    def once(validator: Any, ref: Any, instance: Any, schema: Any) -> Iterator[Any]:
        check = _check.get()
        if check is None:
            yield from refer(validator, ref, instance, schema)
            return
        place = id(schema), id(instance)
        if place in check.referred:
            yield from map(_copied, check.referred[place][0])
            return
        errors = list(refer(validator, ref, instance, schema))
        check.referred[place] = [_copied(error) for error in errors], schema, instance  # so that the ids stay theirs
        yield from errors

    return once


def _copied(error: Any) -> Any:
    """An error without those that led to it, which together may be as many as the steps that are saved."""
    return type(error)(error.message, validator=error.validator, path=error.path)


# Keywords


@cache
def _bounded(cls: Any, scoped: bool) -> Any:
    """The class with bounds; where a schema is `scoped`, what a `$ref` means depends on the way there."""
    from jsonschema.validators import extend

    keywords = {**cls.VALIDATORS, **_keywords(cls.VALIDATORS)}
    if not scoped and "$ref" in keywords:
        keywords["$ref"] = _once(keywords["$ref"])
    keywords = {name: _counted(keyword) for name, keyword in keywords.items()}
    return extend(cls, keywords)  # type: ignore[no-untyped-call]  # its stubs say nothing of it


def _keywords(plain: Any) -> dict[str, Any]:
    """The keywords that jsonschema checks without a bound, or otherwise than they are written.

    Patterns it gives to a matcher that may backtrack for ever; each item of a list it compares with
    each other; 19.99 is no multiple of 0.01 to it.
    """

    def additional_properties(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[Any]:
        patterns = schema.get("patternProperties")
        if patterns and isinstance(instance, dict):
            instance = {
                name: value
                for name, value in instance.items()
                if not any(matcher(pattern)(name) for pattern in patterns)
            }
            schema = {"properties": schema.get("properties", {})}
        yield from plain["additionalProperties"](validator, rule, instance, schema)

    own = {
        "multipleOf": _multiple_of,
        "uniqueItems": _unique_items,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": additional_properties,
    }
    return {name: keyword for name, keyword in own.items() if name in plain}


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001 - its form
    if isinstance(instance, str) and not matcher(pattern)(instance):
        yield _broken(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001
    for pattern, subschema in patterns.items() if isinstance(instance, dict) else ():
        for name in filter(matcher(pattern), instance):
            yield from validator.descend(instance[name], subschema, path=name, schema_path=pattern)


def _multiple_of(validator: Any, step: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001
    if validator.is_type(instance, "number") and (_as_written(instance) / _as_written(step)).denominator != 1:
        yield _broken(f"{instance!r} is not a multiple of {step}")


def _unique_items(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001
    if unique and isinstance(instance, list) and len(set(map(_canonical, instance))) < len(instance):
        yield _broken(f"{instance!r} has non-unique elements")


def _broken(why: str) -> Exception:
    from jsonschema import ValidationError as Broken

    return Broken(why)


def _canonical(value: Any) -> str:
    """A text that equal values share: `1` and `1.0`, but not `true`; `{"a": 1, "b": 2}` in any order."""
    return json.dumps(json.loads(json.dumps(value), parse_float=whole), sort_keys=True)


def whole(digits: str) -> float:
    """A number; JSON Schema counts `5.0` as an integer."""
    number = float(digits)
    return int(number) if number.is_integer() else number


def _as_written(number: float) -> Fraction:
    """The decimal number that was written, which the nearest binary one is not."""
    return Fraction(repr(number))


# Patterns


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a text matches `pattern`, in time linear in the text, or else bounded.

    The engine is pydantic's own. It has no look-around and no back references: such patterns are
    for `regex`, which stops after a second.

    Raises:
        ValueError: it is no regular expression.
        MissingDependencyError: `regex` is needed and not installed.
    """
    try:
        linear = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except PatternRefused:
        return _backtracking(pattern)
    return linear.isinstance_python


def _backtracking(pattern: str) -> Callable[[str], bool]:
    try:
        import regex  # type: ignore[import-untyped]  # it ships no types
    except ImportError as exc:
        needed_by = f"The pattern {pattern!r} in an `output_schema`"
        raise MissingDependencyError("regex", needed_by=needed_by, requirement=_EXTRA) from exc
    try:
        search = regex.compile(pattern).search
    except regex.error as exc:
        raise ValueError(f"{pattern!r} is no regular expression: {exc}") from exc

    def matches(text: str) -> bool:
        try:
            return search(text, timeout=1) is not None
        except TimeoutError as exc:
            raise ValueError(f"{text!r:.80} takes the pattern {pattern!r} more than a second") from exc

    return matches


# Formats

_TYPES = {
    "date": date,
    "date-time": datetime,
    "time": time,
    "duration": timedelta,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}


@cache
def _formats() -> tuple[Any, Any]:
    """The checkers of the formats in a schema's own texts, and in the values it is for: those of pydantic's types."""
    from jsonschema import FormatChecker

    of_schemas, of_values = FormatChecker(formats=()), FormatChecker(formats=())
    of_schemas.checks("regex", raises=ValueError)(_is_pattern)
    for name, cls in _TYPES.items():
        of_values.checks(name, raises=ValidationError)(_reads_as(cls))
    return of_schemas, of_values


def _is_pattern(text: Any) -> bool:
    return not isinstance(text, str) or callable(matcher(text))


def _reads_as(cls: Any) -> Callable[[Any], bool]:
    adapter: TypeAdapter[Any] = TypeAdapter(cls)

    def reads(value: Any) -> bool:
        return not isinstance(value, str) or adapter.validate_strings(value, strict=True) is not None

    return reads
