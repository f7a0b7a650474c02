"""Nulls that Arrow has filled in: in Parquet and `datasets`, dicts of one column all have each other's keys."""

from __future__ import annotations

from typing import Any

from limbeck.types import MediaPart


def without_nulls(value: Any) -> Any:
    """A part of a message without the keys that are null, at any depth, nor dicts that held nothing else."""
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    if not isinstance(value, dict) or isinstance(value, MediaPart):  # which holds no nulls
        return value
    own = {key: without_nulls(part) for key, part in value.items()}
    return {key: part for key, part in own.items() if part is not None and (part != {} or value[key] == {})}


# Of a schema: keywords whose value is data, those that may be null, and those that hold schemas under names.
_DATA = frozenset({"const", "default", "enum", "examples"})
_NULLABLE = frozenset({"const", "default"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


def schema_without_nulls(schema: Any) -> Any:
    """A JSON Schema without the keywords and names that are null.

    `const` and `default` may well be null: they are kept, unless something else beside them was
    filled in or the type has no null.
    """
    if isinstance(schema, list):
        return [schema_without_nulls(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    own = {
        keyword: _part(keyword, part) for keyword, part in schema.items() if part is not None or keyword in _NULLABLE
    }
    if len(own) < len(schema) or "null" not in str(own.get("type", "null")):
        return {keyword: part for keyword, part in own.items() if part is not None}
    return own


def _part(keyword: str, part: Any) -> Any:
    if keyword in _DATA:
        return part
    if keyword in _NAMED and isinstance(part, dict):
        return {name: schema_without_nulls(each) for name, each in part.items() if each is not None}
    return schema_without_nulls(part)
