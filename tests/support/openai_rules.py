"""What OpenAI's chat completions refuse, as a check of request bodies.

Types come from the installed SDK's own request `TypedDict`; unknown keys, ranges and the
rules of strict mode are written here, from the API reference and the structured-outputs guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema import SchemaError as InvalidSchema
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from .request_types import fault_in

_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "n": (1, 128),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "max_tokens": (1, 1_000_000),
    "max_completion_tokens": (1, 1_000_000),
}
_SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_STRICT_KEYWORDS = {
    "$defs", "$ref", "type", "title", "description", "enum", "const", "anyOf",
    "properties", "required", "additionalProperties", "items", "minItems", "maxItems",
    "pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
}  # fmt: skip
_STRICT_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


@dataclass(frozen=True, slots=True)
class Complaint:
    """Why a request is refused.

    Attributes:
        message: in the service's style. param: the parameter it blames. code: the service's error code.
    """

    message: str
    param: str | None = None
    code: str | None = None


def complaint_about(body: Any) -> Complaint | None:
    """The first fault of a request body, or None for a good one."""
    if not isinstance(body, dict):
        return Complaint("We could not parse the JSON body of your request.")
    return next(_complaints(body), None)


def _complaints(body: dict[str, Any]) -> Iterator[Complaint]:
    yield from _types(body)
    yield from _ranges(body)
    yield from _dependencies(body)
    yield from _tool_results(body["messages"])
    if isinstance(body.get("response_format"), dict):
        yield from _response_format(body["response_format"])


def _types(body: dict[str, Any]) -> Iterator[Complaint]:
    fault = fault_in(CompletionCreateParamsNonStreaming, body)
    if fault is not None and fault.unknown:
        yield Complaint(f"Unknown parameter: '{fault.place}'.", param=fault.place, code="unknown_parameter")
    elif fault is not None:
        message = f"Invalid type or value for '{fault.place}': {fault.message}."
        yield Complaint(message, param=fault.place, code="invalid_type")


def _ranges(body: dict[str, Any]) -> Iterator[Complaint]:
    for name, (lowest, highest) in _RANGES.items():
        value = body.get(name)
        if value is not None and not lowest <= value <= highest:
            yield Complaint(
                f"Invalid '{name}': expected a value from {lowest} to {highest}, but got {value}.", param=name
            )
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        yield Complaint("Invalid 'stop': array too long. Expected at most 4.", param="stop")
    for bias in (body.get("logit_bias") or {}).values():
        if not -100 <= bias <= 100:
            yield Complaint("Invalid 'logit_bias': expected values from -100 to 100.", param="logit_bias")


def _dependencies(body: dict[str, Any]) -> Iterator[Complaint]:
    if not body["messages"]:
        yield Complaint("Invalid 'messages': empty array.", param="messages", code="empty_array")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        yield Complaint("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        yield Complaint("'max_tokens' and 'max_completion_tokens' exclude each other.", param="max_tokens")
    if body.get("tool_choice") is not None and not body.get("tools"):
        yield Complaint("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")


def _tool_results(messages: list[dict[str, Any]]) -> Iterator[Complaint]:
    """Each call has its result before anybody else says something, and no result is without its call."""
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                fault = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
                yield Complaint(f"Invalid parameter: {fault}.", param=f"messages.[{place}].role")
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            break
        calls = list(message.get("tool_calls") or ())
        open_calls = {call["id"] for call in calls}
        if len(open_calls) < len(calls):
            yield Complaint("Duplicate value for 'tool_call_id'.", param=f"messages.[{place}].tool_calls")
    if open_calls:
        fault = "must be followed by tool messages responding to each 'tool_call_id'"
        yield Complaint(f"An assistant message with 'tool_calls' {fault}: {sorted(open_calls)}.", param="messages")


def _response_format(wanted: dict[str, Any]) -> Iterator[Complaint]:
    if wanted.get("type") != "json_schema":
        return
    named = wanted["json_schema"]
    if not _SCHEMA_NAME.fullmatch(named["name"]):
        yield Complaint("Invalid 'response_format.json_schema.name'.", param="response_format.json_schema.name")
    schema = named.get("schema", {})
    try:
        Draft202012Validator.check_schema(schema)
    except InvalidSchema as exc:
        yield Complaint(
            f"Invalid schema for response_format '{named['name']}': {exc.message}.", param="response_format"
        )
        return
    if named.get("strict"):
        for fault in _strict_faults(schema):
            yield Complaint(f"Invalid schema for response_format '{named['name']}': {fault}.", param="response_format")


def _strict_faults(root: dict[str, Any]) -> Iterator[str]:
    if root.get("type") != "object":
        yield "schema must be a JSON Schema of 'type: \"object\"'"
    for place, schema in _subschemas(root, "()"):
        yield from (f"In context={place}, '{keyword}' is not permitted" for keyword in schema.keys() - _STRICT_KEYWORDS)
        if "$ref" in schema and len(schema) > 1:
            yield f"In context={place}, $ref cannot have keywords beside it"
        if not schema.keys() & {"type", "$ref", "anyOf", "enum", "const"}:
            yield f"In context={place}, schema must have a 'type' key"
        if schema.get("format", "date") not in _STRICT_FORMATS:
            yield f"In context={place}, '{schema['format']}' is not a valid format"
        if schema.get("type") == "object":
            yield from _open_object_faults(place, schema)


def _open_object_faults(place: str, schema: dict[str, Any]) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield f"In context={place}, 'additionalProperties' is required to be supplied and to be false"
    if set(schema.get("required", [])) != set(schema.get("properties", {})):
        yield f"In context={place}, 'required' must include every key in properties"


def _subschemas(schema: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield place, schema
    for group in ("properties", "$defs"):
        for name, inner in schema.get(group, {}).items():
            yield from _subschemas(inner, f"{place}/{group}/{name}")
    for index, inner in enumerate(schema.get("anyOf", [])):
        yield from _subschemas(inner, f"{place}/anyOf/{index}")
    if isinstance(schema.get("items"), dict):
        yield from _subschemas(schema["items"], f"{place}/items")
