"""The form in which an output schema is sent to Anthropic: a constraint where it can be one, else words.

Anthropic constrains the decoding for a subset of JSON Schema, in which every object is closed
(https://platform.claude.com/docs/en/build-with-claude/structured-outputs). The SDK's
`transform_schema` brings a schema into that subset: what it cannot express it moves into
descriptions, but it also closes every object, so a mapping from free keys would become the
empty object, and a recursive schema would be an error on every row. Those are asked for in
words instead. Either way the answer is checked against the schema that the task gave.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any


class _NotNativeError(Exception):
    """Anthropic's subset cannot express the schema."""


def output_format(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The `output_config.format` that constrains the answer to `schema`, or None where it cannot."""
    # The order of properties is the order the model writes them in: it must survive.
    return _output_format(json.dumps(schema))


def instruction(schema: dict[str, Any]) -> str:
    """The same demand in words, for the system prompt."""
    text = json.dumps(schema, ensure_ascii=False)
    return f"Answer with JSON alone, no other text around it. It must satisfy this JSON Schema:\n{text}"


@lru_cache(maxsize=256)
def _output_format(schema_text: str) -> dict[str, Any] | None:
    from anthropic import transform_schema

    schema = json.loads(schema_text)
    try:
        _refuse_recursion(schema.get("$defs", {}))
        return {"type": "json_schema", "schema": transform_schema(_expressible(schema))}
    # The last five are how `transform_schema` meets what it does not know.
    except (_NotNativeError, ValueError, TypeError, AttributeError, AssertionError, RecursionError):
        return None


def _expressible(schema: Any) -> dict[str, Any]:
    """`schema` with lists of types written as `anyOf`; raises where closing its objects would lose content."""
    if not isinstance(schema, dict):
        raise _NotNativeError
    if isinstance(schema.get("type"), list):
        return _alternatives(schema)
    if schema.get("type") == "object":
        _refuse_free_keys(schema)
    if "$ref" in schema and not str(schema["$ref"]).startswith("#/$defs/"):
        raise _NotNativeError
    return {key: _expressible_part(key, value) for key, value in schema.items()}


def _expressible_part(key: str, value: Any) -> Any:
    if key in ("properties", "$defs") and isinstance(value, dict):
        return {name: _expressible(part) for name, part in value.items()}
    if key in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
        return [_expressible(part) for part in value]
    return _expressible(value) if key == "items" else value


def _alternatives(schema: dict[str, Any]) -> dict[str, Any]:
    notes: dict[str, Any] = {key: schema[key] for key in ("title", "description") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in notes}
    return {**notes, "anyOf": [_expressible({**rest, "type": kind}) for kind in schema["type"]]}


def _refuse_free_keys(schema: dict[str, Any]) -> None:
    if not schema.get("properties") and schema.get("additionalProperties") is not False:
        raise _NotNativeError
    if schema.get("additionalProperties", False) is not False or "patternProperties" in schema:
        raise _NotNativeError


def _refuse_recursion(definitions: dict[str, Any]) -> None:
    uses = {name: _references(definition) for name, definition in definitions.items()}
    # A name that can reach itself: the closure of `uses`, one step a round.
    for _ in uses:
        uses = {name: reached.union(*(uses.get(other, set()) for other in reached)) for name, reached in uses.items()}
    if any(name in reached for name, reached in uses.items()):
        raise _NotNativeError


def _references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(_references, schema))
    if not isinstance(schema, dict):
        return set()
    own = {str(schema["$ref"]).removeprefix("#/$defs/")} if "$ref" in schema else set()
    return own.union(*map(_references, schema.values()))
