"""Structured output: a pydantic model or a JSON Schema in, text that satisfies it out."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from .errors import ConfigurationError, MissingDependencyError, SchemaError

if TYPE_CHECKING:
    from .types import JSONSchema

_THINKING = re.compile(r"<think>.*?</think>|^.*?</think>", re.DOTALL)
_DEEPEST = 500
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


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
            schema = json.loads(schema)
        except ValueError as exc:
            raise ConfigurationError(f"`output_schema` is text that is not JSON: {exc}.") from exc
    if not isinstance(schema, dict):
        raise ConfigurationError(
            f"`output_schema` must be a pydantic model or a JSON Schema, not {type(schema).__name__}."
        )
    _compiled(schema)
    return schema


@lru_cache(maxsize=256)
def _model_schema(model: type[BaseModel]) -> JSONSchema:
    return model.model_json_schema()


_last_compiled: tuple[Any, Any, Any] = (None, None, None)


def _compiled(schema: JSONSchema) -> Any:
    """The validator of a schema; a task's own is the same object for every row, and is not digested again."""
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
        raise MissingDependencyError(
            "jsonschema", needed_by="A JSON Schema as `output_schema`", requirement="limbeck-core[jsonschema]"
        ) from exc
    schema = json.loads(schema_text)
    cls = validator_for(schema)
    try:
        cls.check_schema(schema)
    except InvalidSchema as exc:
        place = "/".join(map(str, exc.absolute_path)) or "its root"
        raise ConfigurationError(f"`output_schema` is not a valid JSON Schema: at {place}: {exc.message}.") from exc
    return cls(schema, registry=REGISTRY)  # by default jsonschema fetches a `$ref` to elsewhere over the network


def conform(text: str | None, schema: Any) -> str:
    """The JSON text inside `text`, once it satisfies `schema`.

    Models wrap JSON in thinking, fences or a sentence; these are taken off, the JSON itself
    is never altered.

    Raises:
        SchemaError: there is no JSON in `text`, or it breaks the schema; `raw` is `text`.
    """
    if text is None or not text.strip():
        raise SchemaError("The answer is empty, and a schema was asked for.", raw=text)
    try:
        return _conforming(text, schema)
    except SchemaError:
        raise
    except Exception as exc:  # answers nested without end, a model's own validators, a schema's `$ref` to nowhere
        message = f"The answer cannot be checked against the schema: {type(exc).__name__}: {exc}"
        raise SchemaError(message, raw=text) from exc


def _conforming(text: str, schema: Any) -> str:
    payload, value = _find_json(text)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        _check_model(payload, schema, text)
    else:
        _check_schema(value, schema, text)
    return payload


def _find_json(text: str) -> tuple[str, Any]:
    for candidate in _candidates(text):
        refuse_deep(candidate)
        try:
            return candidate, json.loads(candidate, parse_constant=_refuse_constant)
        except ValueError:
            continue
    raise SchemaError("The answer holds no JSON, and a schema was asked for.", raw=text)


def refuse_deep(text: str) -> None:
    """Raise where JSON is nested beyond reason, as a model caught in a loop nests it.

    The decoder would go down to the interpreter's limit. Garbage that is collected down there has
    no room for its finalizers, of whatever part of the program: they fail and never run again.

    Raises:
        RecursionError: it is.
    """
    if text.count("[") + text.count("{") <= _DEEPEST:
        return
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += 1 if found[0] in "[{" else -1 if found[0] in "]}" else 0
        if depth > _DEEPEST:
            raise RecursionError(f"it is nested more than {_DEEPEST} levels deep")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _candidates(text: str) -> list[str]:
    """From the whole answer to the likeliest part of it, most literal reading first."""
    plain = _THINKING.sub("", text).strip()
    candidates = [text.strip(), plain, *(match.strip() for match in _FENCE.findall(plain))]
    starts = [place for place in (plain.find("{"), plain.find("[")) if place >= 0]
    ends = max(plain.rfind("}"), plain.rfind("]"))
    if starts and ends > min(starts):
        candidates.append(plain[min(starts) : ends + 1])
    return candidates


def _check_model(payload: str, model: type[BaseModel], raw: str) -> None:
    try:
        model.model_validate_json(payload)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "its root"
        raise SchemaError(
            f"The answer breaks the schema of `{model.__name__}` at {place}: {first['msg']}.", raw=raw
        ) from exc


def _check_schema(value: Any, schema: Any, raw: str) -> None:
    validator = _validator(schema) if isinstance(schema, str) else _compiled(schema)
    for error in validator.iter_errors(value):
        place = error.json_path
        raise SchemaError(f"The answer breaks the schema at {place}: {error.message}.", raw=raw)
