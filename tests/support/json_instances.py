"""The smallest JSON value that a JSON Schema allows: what a server that honours schemas answers."""

from __future__ import annotations

from typing import Any

_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "a@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "http://example.com",
}


def minimal_instance(schema: dict[str, Any]) -> Any:
    """A value that satisfies `schema`. Of `pattern`, `not`, `if` and `allOf` it knows nothing."""
    return _instance(schema, schema)


def _instance(schema: Any, root: dict[str, Any]) -> Any:
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        return _instance(_resolved(schema["$ref"], root), root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _instance(_shallowest(schema[union]), root)
    kind = schema.get("type", "null")
    return _of_type(kind[0] if isinstance(kind, list) else kind, schema, root)


def _of_type(kind: str, schema: dict[str, Any], root: dict[str, Any]) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {name: _instance(properties.get(name, {}), root) for name in schema.get("required", [])}
        case "array":
            return [_instance(schema.get("items", {}), root) for _ in range(schema.get("minItems", 0))]
        case "string":
            return _FORMATS.get(schema.get("format", ""), "x" * schema.get("minLength", 0))
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
    return None


def _number(schema: dict[str, Any]) -> float:
    step: float = schema.get("multipleOf", 1)
    lowest: float = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    value = -(-lowest // step) * step
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        value += step
    highest: float = schema.get("maximum", schema.get("exclusiveMaximum", value + step))
    return min(value, highest - step if "exclusiveMaximum" in schema else highest)


def _shallowest(schemas: list[Any]) -> Any:
    """A branch that ends: null where it is allowed, which ends recursive schemas too."""
    return next((schema for schema in schemas if schema == {"type": "null"}), schemas[0])


def _resolved(reference: str, root: dict[str, Any]) -> Any:
    place: Any = root
    for step in reference.removeprefix("#/").split("/"):
        place = place[step] if step else place
    return place
