"""Structured output: a pydantic model or a JSON Schema in, text that satisfies it out."""

from __future__ import annotations

import json
import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from ._found_json import found_json, once_each, why_none
from ._json_schema import bounded, check_choices, compiled, whole
from .errors import ConfigurationError, MissingDependencyError, SchemaError, described

if TYPE_CHECKING:
    from pydantic_core.core_schema import StringSchema

    from ._found_json import Found
    from .types import JSONSchema


def json_schema_of(schema: Any) -> JSONSchema | None:
    """The JSON Schema of a pydantic model, of a JSON Schema, or of its JSON text.

    Raises:
        ConfigurationError: it is none of these, or not a valid schema.
        MissingDependencyError: a plain JSON Schema needs `jsonschema` to be checked.
    """
    if schema is None:
        return None
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return _model_schema(schema)
    if isinstance(schema, str):
        try:
            schema = json.loads(schema, object_pairs_hook=once_each)
        except (ValueError, RecursionError) as exc:
            raise ConfigurationError(f"`output_schema` is text that cannot be read as JSON: {exc}.") from exc
    if not isinstance(schema, dict):
        raise ConfigurationError(
            f"`output_schema` must be a pydantic model or a JSON Schema, not {type(schema).__name__}."
        )
    try:
        compiled(schema)
    except (TypeError, ValueError, RecursionError) as exc:  # what JSON does not have; nested without end
        raise ConfigurationError(f"`output_schema` cannot be read: {described(exc)}.") from exc
    return schema


@lru_cache(maxsize=256)
def _model_schema(model: type[BaseModel]) -> JSONSchema:
    return model.model_json_schema()


def conform(text: str | None, schema: Any) -> str:
    """The JSON text inside `text` that satisfies `schema`.

    Models wrap JSON in thinking, fences or sentences, and may try more than once: of all the JSON
    outside of the thinking, the last that satisfies the schema counts, an empty object only where
    there is no other. With a JSON Schema it comes back unaltered, with a pydantic model as the
    model dumps it, with its defaults and what its validators have made of it. A model reads strictly,
    as its JSON Schema says it (`"5"` is no `int`), unless its own configuration has `strict=False`.

    Raises:
        SchemaError: there is no JSON in `text`, or it breaks the schema; `raw` is `text`.
    """
    if text is None or not text.strip():
        raise SchemaError("The answer is empty, and a schema was asked for.", raw=text)
    try:
        with bounded(text):
            return _conforming(text, schema)
    except SchemaError as exc:
        exc.raw = text
        raise
    except Exception as exc:
        raise _uncheckable(exc, text) from exc


def parsed(text: str | None, schema: Any) -> Any:
    """The value of the JSON in `text` that satisfies `schema`: an instance of a pydantic model, or plain JSON.

    Raises:
        SchemaError: as `conform`.
    """
    fitting = conform(text, schema)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        try:
            return schema.model_validate_json(fitting)
        except ValidationError as exc:  # it is not read as it is dumped: the author's own validators
            raise _uncheckable(exc, text or "") from exc
    return json.loads(fitting)


def _uncheckable(exc: Exception, raw: str) -> SchemaError:
    """For an answer nested without end, a model's own validators, a schema's `$ref` to nowhere."""
    return SchemaError(f"The answer cannot be checked against the schema: {described(exc)}", raw=raw)


def _conforming(text: str, schema: Any) -> str:
    is_model = isinstance(schema, type) and issubclass(schema, BaseModel)
    check = partial(_of_model, schema) if is_model else partial(_of_schema, schema)
    faults: dict[str, Exception] = {}
    found = found_json(text)[::-1]
    found.sort(key=lambda each: each.value == {})
    for each in found:
        if each.text in faults:
            continue
        try:
            return check(each)
        except Exception as exc:  # noqa: BLE001 - an author's validators; told below
            faults[each.text] = exc
    if not faults:
        raise SchemaError(f"The answer holds no JSON, and a schema was asked for{why_none(text)}.")
    raise faults[max(faults, key=len)]  # of several, the longest is likeliest to be the one that was meant


def _of_model(model: type[BaseModel], found: Found) -> str:
    if _may_backtrack(model):
        _check_patterns(model, found)
    if _has_choices(model):
        check_choices(_model_schema(model), found.value)
    try:
        read = _read_by(model, found)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "its root"
        raise SchemaError(f"The answer breaks the schema of `{model.__name__}` at {place}: {first['msg']}.") from exc
    if not _writes_what_it_reads(model):
        return found.text
    value = read.model_dump(mode="json", by_alias=True, warnings=False)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


@lru_cache(maxsize=256)
def _writes_what_it_reads(model: type[BaseModel]) -> bool:
    """Tell whether a model dumps the fields that its schema asks for, under the names it asks for."""
    try:
        written = _fields(model.model_json_schema(mode="serialization"))
    except Exception:  # noqa: BLE001 - an author's serializers may have no schema
        return False
    return all(names <= written.get(of, set()) for of, names in _fields(_model_schema(model)).items())


def _fields(schema: JSONSchema) -> dict[str, set[str]]:
    parts = {"": schema, **schema.get("$defs", {})}
    return {name: set(part.get("properties", ())) for name, part in parts.items()}


@lru_cache(maxsize=256)
def _may_backtrack(model: type[BaseModel]) -> bool:
    """Tell whether a model has patterns for Python's own engine, which nothing can stop. Pydantic's is linear."""
    _model_schema(model)  # which builds a model that was deferred
    core_schema = repr(model.__pydantic_core_schema__)
    return "python-re" in core_schema or "re.compile(" in core_schema


@lru_cache(maxsize=256)
def _has_choices(model: type[BaseModel]) -> bool:
    """Tell whether a model has unions, of models or of containers of them."""
    written = json.dumps(_model_schema(model), default=str)
    return '"$ref"' in written and ('"anyOf"' in written or '"oneOf"' in written)


class _WithFlags(GenerateJsonSchema):
    """Writes the flags of a compiled pattern into it: without them, it would refuse what they let through."""

    def str_schema(self, schema: StringSchema) -> JSONSchema:
        written = super().str_schema(schema)
        pattern: Any = schema.get("pattern")
        if isinstance(pattern, re.Pattern):
            flags = "".join(letter for flag, letter in _LETTERS.items() if pattern.flags & flag)
            start = f"(?{flags})" if flags else ""
            written["pattern"] = start + ("(?=)" if pattern.flags & _PYTHONS_OWN else "") + pattern.pattern
        return written


# What reads as Python's `x` and `a` do is `regex` alone: the linear engine has no `(?=`.
_LETTERS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x", re.ASCII: "a"}
_PYTHONS_OWN = re.VERBOSE | re.ASCII


@lru_cache(maxsize=256)
def _schema_with_flags(model: type[BaseModel]) -> JSONSchema:
    return model.model_json_schema(schema_generator=_WithFlags)


def _check_patterns(model: type[BaseModel], found: Found) -> None:
    """Refuse in bounded time what breaks a pattern: on what fits, backtracking seldom takes long."""
    try:
        validator = compiled(_schema_with_flags(model))
    except MissingDependencyError:
        return
    for error in validator.iter_errors(found.value):
        if _is_of_a_pattern(error):
            raise SchemaError(
                f"The answer breaks the schema of `{model.__name__}` at {error.json_path}: {error.message}."
            )


def _is_of_a_pattern(error: Any) -> bool:
    return error.validator == "pattern" or any(map(_is_of_a_pattern, error.context))


def _read_by(model: type[BaseModel], found: Found) -> BaseModel:
    strict = model.model_config.get("strict", True)
    try:
        return model.model_validate_json(found.text, strict=strict)
    except ValidationError:
        text = json.dumps(json.loads(found.text, parse_float=whole))  # to pydantic, `5.0` is no integer
        if text == json.dumps(found.value):
            raise
        return model.model_validate_json(text, strict=strict)


def _of_schema(schema: Any, found: Found) -> str:
    for error in compiled(schema).iter_errors(found.value):
        raise SchemaError(f"The answer breaks the schema at {error.json_path}: {error.message}.")
    return found.text
