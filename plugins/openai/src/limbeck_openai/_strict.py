"""The JSON Schemas that OpenAI's strict mode takes, and the form in which it takes them.

Strict mode constrains the decoding, for a subset of JSON Schema: every object closed, every
property required (https://developers.openai.com/api/docs/guides/structured-outputs).
A schema is sent in strict mode only when its strict form is narrower or equal, so that
whatever satisfies the form satisfies the schema; any other is sent as it is, not strict,
because a keyword that strict mode does not know is an error on every row.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_TYPES = {"string", "number", "integer", "boolean", "null", "array", "object"}
_KEPT = {
    "type", "title", "description", "enum", "const",
    "pattern", "format",
    "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "minItems", "maxItems",
}  # fmt: skip
# Annotations that strict mode refuses and that no answer depends on.
_DROPPED = {"default", "examples", "deprecated", "readOnly", "writeOnly", "$schema", "$comment", "$id"}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_UNNAMEABLE = re.compile(r"[^a-zA-Z0-9_-]+")


class _NotStrictError(Exception):
    """The schema has no strict form."""


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """The `response_format` that asks for an answer that satisfies `schema`."""
    # The order of properties is the order the model writes them in: it must survive.
    return _response_format(json.dumps(schema))


@lru_cache(maxsize=256)
def _response_format(schema_text: str) -> dict[str, Any]:
    schema = json.loads(schema_text)
    strict = strict_form(schema)
    sent = schema if strict is None else strict
    name = _UNNAMEABLE.sub("_", str(sent.get("title") or "")).strip("_")[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": sent, "strict": strict is not None}}


def strict_form(schema: dict[str, Any]) -> dict[str, Any] | None:
    """`schema` as strict mode takes it, or None where strict mode cannot express it."""
    try:
        form = _Converter(schema).root()
    except (_NotStrictError, RecursionError):
        return None
    return form if form.get("type") == "object" else None


class _Converter:
    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._definitions: dict[str, Any] = schema.get("$defs", {})

    def root(self) -> dict[str, Any]:
        body = {key: value for key, value in self._root.items() if key != "$defs"}
        form = self._written_out(body, inside=()) if "$ref" in body else self._convert(body, inside=())
        if self._definitions:
            form["$defs"] = {name: self._convert(value, inside=(name,)) for name, value in self._definitions.items()}
        return form

    def _convert(self, schema: Any, *, inside: tuple[str, ...]) -> dict[str, Any]:
        """Convert one subschema; `inside` names the definitions that are being written out around it."""
        if not isinstance(schema, dict):
            raise _NotStrictError
        schema = {key: value for key, value in schema.items() if key not in _DROPPED}
        if "$ref" in schema:
            return self._reference(schema, inside)
        form = {key: value for key, value in schema.items() if key in _KEPT}
        rest = schema.keys() - form.keys()
        if "anyOf" in rest:
            form["anyOf"] = self._alternatives(schema["anyOf"], inside)
        if schema.get("type") == "object":
            form |= self._object(schema, inside)
        elif schema.get("type") == "array":
            form["items"] = self._convert(schema.get("items"), inside=inside)
        if rest - form.keys() or not _is_typed(form):
            raise _NotStrictError
        return form

    def _object(self, schema: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        # A mapping from free keys would become the empty object.
        if not isinstance(properties, dict) or schema.get("additionalProperties", False) is not False:
            raise _NotStrictError
        if not set(schema.get("required", ())) <= properties.keys():
            raise _NotStrictError
        return {
            "properties": {name: self._convert(value, inside=inside) for name, value in properties.items()},
            "required": list(properties),
            "additionalProperties": False,
        }

    def _alternatives(self, schemas: Any, inside: tuple[str, ...]) -> list[dict[str, Any]]:
        forms = [self._convert(schema, inside=inside) for schema in schemas]
        # "Objects provided via 'anyOf' must not share identical first keys", unless a constant tells them apart.
        firsts = [self._first_property(form) for form in forms]
        objects = [first for first in firsts if first is not None]
        if len(objects) != len(set(objects)):
            raise _NotStrictError
        return forms

    def _first_property(self, form: dict[str, Any]) -> str | None:
        if "$ref" in form:
            form = self._definition(form["$ref"])
        if form.get("type") != "object":
            return None
        name, first = next(iter(form.get("properties", {}).items()), ("", {}))
        tag = first.get("const", first.get("enum")) if isinstance(first, dict) else None
        return json.dumps([name, tag])

    def _reference(self, schema: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        """A `$ref` may stand only alone: with company, its target is written out in its place."""
        if (
            schema.keys() == {"$ref"} or _name_of(schema["$ref"]) in inside
        ):  # recursive: writing it out would have no end
            self._target(schema)
            return {"$ref": schema["$ref"]}
        return self._written_out(schema, inside)

    def _written_out(self, schema: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        company = {key: value for key, value in schema.items() if key != "$ref" and key not in _DROPPED}
        return self._convert({**self._target(schema), **company}, inside=(*inside, _name_of(schema["$ref"])))

    def _target(self, schema: dict[str, Any]) -> dict[str, Any]:
        # Any other keyword is a further condition, which neither form would keep.
        if schema.keys() - {"$ref", "title", "description"} - _DROPPED:
            raise _NotStrictError
        return self._definition(schema["$ref"])

    def _definition(self, reference: Any) -> dict[str, Any]:
        target = self._definitions.get(_name_of(reference))
        if not str(reference).startswith("#/$defs/") or not isinstance(target, dict):
            raise _NotStrictError
        return target


def _name_of(reference: Any) -> str:
    return str(reference).removeprefix("#/$defs/")


def _is_typed(form: dict[str, Any]) -> bool:
    kinds = form.get("type", [])
    known = set(kinds if isinstance(kinds, list) else [kinds]) <= _TYPES
    # In a list of types an object or array would slip past the rules above.
    listed = isinstance(kinds, list) and bool({"object", "array"} & set(kinds))
    return (
        known
        and not listed
        and form.get("format", "date") in _FORMATS
        and bool(form.keys() & {"type", "anyOf", "enum", "const"})
    )
