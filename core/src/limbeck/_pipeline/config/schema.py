"""A JSON Schema of a pipeline's file, for editors: made from what is installed.

A plugin that cannot be imported costs only itself: its names are known, its fields are not checked.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from ..._llm.resolving import model_kind_of
from ..._registry.registry import default_registry
from ...types import ModelKind
from .docstrings import field_docs
from .settings import fields_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.json_schema import JsonSchemaValue

    from ..._registry.index import Kind

MODEL_KINDS: tuple[ModelKind, ...] = get_args(ModelKind)
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_AFTER = "The step, or the list of steps, whose rows it takes; by default the entry before."
_REFERENCE = {"type": "string", "pattern": r"\$\{env:[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_ROWS = {"type": "array", "items": {"type": "object"}}
_COUNT = {"type": "integer", "minimum": 1}
_AMOUNT = {"type": "number", "exclusiveMinimum": 0}

_PRICE = {
    "type": "object",
    "properties": {
        name: {"anyOf": [{"type": "number", "minimum": 0}, {"$ref": "#/$defs/reference"}]}
        for name in ("input", "cached", "output")
    },
    "required": ["input", "output"],
    "additionalProperties": False,
}

_TOP: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "description": "What run directories, messages and reports call it."},
    "input": {"anyOf": [{"type": "string"}, _ROWS], "description": "A path beside this file, `-`, or a list of rows."},
    "output": {"type": "string", "description": "A path beside this file, or `-` for standard output."},
    "run_dir": {"type": "string", "description": "Where every answer is kept."},
    "no_ledger": {"type": "boolean", "description": "Keep no answers."},
    "max_failed": {
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9.]+%?$"}],
        "description": "Failed rows that stop the run: a count, or a fraction of the rows done.",
    },
    "limit": {**_COUNT, "description": "Rows of each source to read at most."},
    "max_concurrency": {**_COUNT, "description": "Requests in flight to each LLM at most."},
    "rpm": {**_AMOUNT, "description": "Requests a minute to each LLM at most."},
    "tpm": {**_AMOUNT, "description": "Tokens a minute of each LLM at most."},
    "mode": {"enum": ["online", "batch"], "description": "How each LLM is asked: at once, or in provider batches."},
    "durability": {"enum": ["normal", "full"], "description": "What a power cut may cost: the last answers, or none."},
    "ledger_requests": {"enum": ["full", "hash"], "description": "Keep the prompts, or only their digests."},
    "unordered": {"type": "boolean", "description": "Write rows as they are done."},
    "max_cost": {**_AMOUNT, "description": "US dollars that the run may spend at most."},
    "max_tokens": {**_COUNT, "description": "Tokens of prompts and answers that the run may spend at most."},
    "max_requests": {**_COUNT, "description": "Requests that the run may send at most."},
    "allow_unknown_price": {"type": "boolean", "description": "With `max_cost`: run LLMs without a price too."},
    "prices": {
        "anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": _PRICE}],
        "description": "US dollars for a million tokens of each model, or the path of such a table, beside this file.",
    },
    "cache": {**_TEXTS, "description": "Run directories, or folders of them, whose answers are taken."},
}


def file_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a pipeline's file, for what is installed here."""
    definitions: dict[str, Any] = {"reference": _REFERENCE}
    kinds: tuple[Kind, ...] = ("task", "step", *MODEL_KINDS)
    for kind in kinds:
        for name in _names(kind):
            definitions |= _definition(kind, name)
    definitions |= {kind: _model(kind) for kind in MODEL_KINDS}
    definitions["entry"] = _entry()
    entries = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/entry"}}
    return {
        "$schema": DIALECT,
        "title": "A Limbeck pipeline",
        "type": "object",
        "properties": {
            **{key: _or_reference(schema) for key, schema in _TOP.items()},
            "steps": {**entries, "description": "In a chain, unless `after` says otherwise."},
            "tasks": {**entries, "description": "The same as `steps`."},
        },
        "additionalProperties": False,
        "oneOf": [{"required": ["steps"]}, {"required": ["tasks"]}],
        "$defs": definitions,
    }


def _or_reference(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema`, or something from the environment in its place; what editors show stays outside."""
    shown = {key: value for key, value in schema.items() if key in ("title", "description", "default", "deprecated")}
    rest = {key: value for key, value in schema.items() if key not in shown}
    if rest in ({}, {"type": "string"}):
        return schema
    return {**shown, "anyOf": [rest, {"$ref": "#/$defs/reference"}]}


def _names(kind: Kind) -> list[str]:
    """The names that a file may use, short and qualified."""
    listings = [each for each in default_registry().listings(kind) if not each.status.startswith("disabled")]
    return sorted({each.name for each in listings} | {each.qualified for each in listings})


def _entry() -> dict[str, Any]:
    """The schema of an entry of the list `steps`."""
    words: dict[str, Any] = {
        "task": {"enum": _names("task"), "description": "The name of a task."},
        "step": {"enum": _names("step"), "description": "The name of a step."},
        "router": {
            "type": "object",
            "description": "A condition for each following step; null: the others' rows.",
        },
        "join": {
            "type": "object",
            "description": "Joins the rows of one origin: `group` names columns to collect.",
        },
    }
    return {
        "type": "object",
        "properties": {**words, "name": {"type": "string"}, "after": {**_TEXTS, "description": _AFTER}},
        "oneOf": [{"required": [word]} for word in words],
        "allOf": [
            {
                "if": {"properties": {kind: {"const": name}}, "required": [kind]},
                "then": {"$ref": f"#/$defs/{_key(kind, name)}"},
            }
            for kind in ("task", "step")
            for name in _names(kind)
        ],
    }


def _model(kind: ModelKind) -> dict[str, Any]:
    names = _names(kind)
    return {
        "anyOf": [
            {"type": "string", "description": "`provider/model`."},
            {
                "type": "object",
                "properties": {"provider": {"type": "string", "description": "`provider/model`, or `provider`."}},
                "required": ["provider"],
                "allOf": [
                    {
                        "if": {"properties": {"provider": {"pattern": f"^{name}(/|$)"}}, "required": ["provider"]},
                        "then": {"$ref": f"#/$defs/{_key(kind, name)}"},
                    }
                    for name in names
                ],
            },
        ]
    }


def _key(kind: str, name: str) -> str:
    return f"{kind}.{name.replace('/', '.')}"


def _definition(kind: Kind, name: str) -> dict[str, Any]:
    """The fields of one class, and what they refer to; anything where it cannot be imported."""
    key = _key(kind, name)
    try:
        cls = default_registry().get(kind, name)
        schema = _model_schema(cls, key) if issubclass(cls, BaseModel) else _signature_schema(cls)
        inner = {f"{key}.{model}": each for model, each in schema.get("$defs", {}).items()}
        return {key: _of_class(kind, cls, schema), **inner}
    except Exception as exc:  # noqa: BLE001 - the isolation boundary of plugins: one class
        return {key: {"$comment": f"Not checked: {type(exc).__name__}: {exc}"}}


def _of_class(kind: Kind, cls: type, schema: dict[str, Any]) -> dict[str, Any]:
    docs = field_docs(cls, fields_of(cls))
    properties: dict[str, Any] = {
        name: _described(docs.get(name), _or_reference(each)) for name, each in schema.get("properties", {}).items()
    }
    if kind in MODEL_KINDS:
        beside: dict[str, Any] = {"provider": True}
        required: Sequence[str] = ()  # `provider/model` may hold any of them
    else:
        beside = {kind: True, "after": True, "name": {"type": "string"}}
        required = schema.get("required", ())
    model = model_kind_of(cls)
    if kind == "task" and model in properties:
        properties[model] = {"$ref": f"#/$defs/{model}", "description": "The model: `provider/model`, or a mapping."}
    return {
        "description": (inspect.getdoc(cls) or "").partition("\n\n")[0],
        "type": "object",
        "properties": {**properties, **beside},
        "required": [each for each in required if each != "name"],
        "additionalProperties": bool(schema.get("additionalProperties", False)),
    }


def _described(text: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, **schema} if text else schema


class _Generator(GenerateJsonSchema):
    """The generator of schemas in which a value without a JSON form (a function, an object) may be anything."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as its base class has it

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:  # noqa: ARG002 - its signature
        return {}


def _model_schema(cls: type[BaseModel], key: str) -> dict[str, Any]:
    """The schema of a model; its models inside are definitions of the whole file, under names of their own."""
    return cls.model_json_schema(schema_generator=_Generator, ref_template=f"#/$defs/{key}.{{model}}")


def _signature_schema(cls: type) -> dict[str, Any]:
    """The schema of a class that is no model: the names of what its constructor takes."""
    parameters = inspect.signature(cls).parameters.values()
    required = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters)
    return {
        "properties": {name: {} for name in fields_of(cls)},
        "required": required,
        "additionalProperties": open_ended,
    }
