"""A strict loopback server of Anthropic's Messages API.

    with anthropic_server(failure(529, "overloaded_error"), reply="Madrid.") as server:
        llm = AnthropicLLM(model="claude-sonnet-5", base_url=server.url, api_key="test-key")
        ...
        assert [seen.body["model"] for seen in server.requests] == ["claude-sonnet-5"]
        assert server.answers == 1

What it refuses, in Anthropic's error form: a request without a key (401), without `anthropic-version`, larger than
the API's limit (413), and (400) a body that breaks the installed SDK's own request types, that has a key they do not
name at any depth, a value out of its range, a system message among the messages, a tool result without its call
or a call without its result, results without their thinking (or with another's) where it is on, a choice of a tool
that is not there, an empty text block, or an output schema outside the API's subset.
`usage` is counted from the texts, one token a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .provider_server import Asked, Behaviour, ProviderServer, RefusedError, Reply, key_of, send
from .request_types import fault_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_MAX_OUTPUT_TOKENS = 128_000


# Behaviours


@dataclass(frozen=True)
class Answer:
    """A message.

    Attributes:
        text: one text block; none when None.
        blocks: further blocks, before the text.
        stop_reason: "tool_use" when there is a tool call, else "end_turn", unless given.
        usage: counts that replace those of the texts. stop_details: of a refusal.
        headers: further response headers.
        cut: a stream ends, cleanly, before the message does.
        error: a stream ends in this error: its type and message.
    """

    text: str | None = None
    blocks: Sequence[Mapping[str, Any]] = ()
    stop_reason: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    stop_details: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    error: tuple[str, str] | None = None


def failure(
    status: int,
    kind: str = "api_error",
    message: str = "Something went wrong.",
    headers: Mapping[str, str] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Reply:
    """An error in Anthropic's form."""
    error = {"type": kind, "message": message, **({} if details is None else {"details": details})}
    body = {"type": "error", "error": error, "request_id": "req_loopback"}
    return Reply(status=status, body=body, headers={"request-id": "req_loopback", **(headers or {})})


def refusal(message: str, status: int = 400, kind: str = "invalid_request_error") -> RefusedError:
    """The same, to raise."""
    return RefusedError(message, failure(status, kind, message))


def thinking(text: str) -> dict[str, Any]:
    """A thinking block."""
    return {"type": "thinking", "thinking": text, "signature": _SIGNED}


def tool_use(identifier: str, name: str, **arguments: Any) -> dict[str, Any]:
    """A tool call."""
    return {"type": "tool_use", "id": identifier, "name": name, "input": arguments}


_NOT_TEXT = {"type", "role", "id", "name", "tool_use_id", "signature", "data"}


def count_tokens(value: Any) -> int:
    """The words of every text in `value`, a text or messages or blocks."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, Mapping):
        return sum(count_tokens(part) for name, part in value.items() if name not in _NOT_TEXT)
    return sum(map(count_tokens, value)) if isinstance(value, Sequence) else 0


class AnthropicServer(ProviderServer):
    """The running server.

    Args:
        behaviours: what the first requests meet, in order. reply: the text of every other answer.
        api_key, gather: as for every provider.
    """

    routes = (("POST", "/v1/messages"),)
    largest_body = 32 * 2**20  # the API's limit

    def __init__(self, *behaviours: Behaviour, reply: str = "The capital of Spain is Madrid.", **frame: Any) -> None:
        super().__init__(*behaviours, **frame)
        self._reply = reply

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_route("*", "/{path:.*}", _not_found)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await super().handle(request)
        except web.HTTPRequestEntityTooLarge:
            return await send(failure(413, "request_too_large", "Request exceeds the maximum size"), request)

    def check(self, asked: Asked) -> None:
        self.check_headers(asked.headers)
        check_body(asked.body)

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without a key or a version; `headers` have lower-case names."""
        key = key_of(headers, "x-api-key")
        if not key or key != (self.api_key or key):
            raise refusal("invalid x-api-key", 401, "authentication_error")
        if "anthropic-version" not in headers:
            raise refusal("anthropic-version: header is required")

    def plain(self, _asked: Asked) -> Answer:
        return Answer(self._reply)

    def reply_of(self, given: Answer, asked: Asked) -> Reply:
        message = message_of(given, asked.body)
        if not asked.body.get("stream"):
            self.answers += 1
            return Reply(body=message, headers={"request-id": "req_loopback", **given.headers})
        self.answers += not (given.cut or given.error)
        content_type = "text/event-stream; charset=utf-8"
        return Reply(body=b"".join(_events(message, given)), content_type=content_type, headers=given.headers)


def anthropic_server(*behaviours: Behaviour, **options: Any) -> AbstractContextManager[AnthropicServer]:
    """Serve until the block ends; the arguments are `AnthropicServer`'s."""
    return AnthropicServer(*behaviours, **options).serve()


async def _not_found(request: web.Request) -> web.StreamResponse:
    return await send(failure(404, "not_found_error", f"Not found: {request.path}"), request)


# Answers


def message_of(answer: Answer, body: Mapping[str, Any]) -> dict[str, Any]:
    """The message that answers a request."""
    blocks = [*answer.blocks, *([{"type": "text", "text": answer.text}] if answer.text is not None else [])]
    calls = any(block["type"] == "tool_use" for block in blocks)
    thoughts = [block for block in blocks if block["type"] == "thinking"]
    return {
        "id": "msg_loopback",
        "type": "message",
        "role": "assistant",
        "model": f"{body['model']}-20260101",
        "content": blocks,
        "stop_reason": answer.stop_reason or ("tool_use" if calls else "end_turn"),
        "stop_sequence": None,
        "stop_details": answer.stop_details,
        "usage": {
            "input_tokens": count_tokens([body.get("system", ""), body["messages"]]),
            "output_tokens": count_tokens(blocks),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens_details": {"thinking_tokens": count_tokens(thoughts)},
            "service_tier": "standard",
            **answer.usage,
        },
    }


_TEXT_FIELDS = {"text": ("text", "text_delta", "text"), "thinking": ("thinking", "thinking_delta", "thinking")}


def _events(message: dict[str, Any], answer: Answer) -> Iterator[bytes]:
    usage = {**message["usage"], "output_tokens": 1}
    yield _event("message_start", message={**message, "content": [], "stop_reason": None, "usage": usage})
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
    if answer.error:
        kind, text = answer.error
        yield _event("error", error={"type": kind, "message": text})
    elif not answer.cut:
        ending = {"stop_reason": message["stop_reason"], "stop_details": message["stop_details"], "stop_sequence": None}
        yield _event("message_delta", delta=ending, usage=message["usage"])
        yield _event("message_stop")


def _block_events(index: int, block: Mapping[str, Any]) -> Iterator[bytes]:
    yield _event("content_block_start", index=index, content_block=_start_of(block))
    yield _event("ping")
    for delta in _deltas(block):
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _start_of(block: Mapping[str, Any]) -> dict[str, Any]:
    kind = block["type"]
    if kind == "tool_use":
        return {**block, "input": {}}
    unsigned = {"signature": ""} if kind == "thinking" else {}
    return {**block, **unsigned, _TEXT_FIELDS[kind][0]: ""} if kind in _TEXT_FIELDS else dict(block)


def _deltas(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A word at a time; the arguments of a tool in halves."""
    if block["type"] == "tool_use":
        arguments = json.dumps(block["input"])
        for half in (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
            yield {"type": "input_json_delta", "partial_json": half}
    if block["type"] in _TEXT_FIELDS:
        source, kind, piece = _TEXT_FIELDS[block["type"]]
        for word in re.findall(r"\S+\s*|\s+", block[source]):
            yield {"type": kind, piece: word}
    if block["type"] == "thinking":
        yield {"type": "signature_delta", "signature": block["signature"]}


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


# What it refuses


def check_body(body: Any) -> None:
    """Refuse what the API would."""
    if not isinstance(body, dict):
        raise refusal("The request body must be a JSON object")
    for name in ("user_profile_id", "workspace_id"):
        if name in body:  # in the SDK's request type, but they travel as headers
            raise refusal(f"{name}: Extra inputs are not permitted")
    _check_messages_are_turns(body.get("messages"))
    _check_types(body)
    _check_ranges(body)
    _check_texts(body)
    _check_tool_results(body["messages"])
    _check_tool_choice(body)
    _check_thinking(body)
    output_format = (body.get("output_config") or {}).get("format")
    if output_format:
        _check_schema(output_format["schema"], "output_config.format.schema")


def _check_messages_are_turns(messages: Any) -> None:
    for place, message in enumerate(messages if isinstance(messages, list) else ()):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant"):
            raise refusal(f'messages.{place}.role: Unexpected role "{role}"; a system prompt is the parameter `system`')


def _check_types(body: dict[str, Any]) -> None:
    from anthropic.types.message_create_params import MessageCreateParams

    fault = fault_in(MessageCreateParams, body)
    if fault is not None:
        raise refusal(str(fault))


def _check_ranges(body: Mapping[str, Any]) -> None:
    max_tokens = body["max_tokens"]
    if max_tokens < 1:
        raise refusal("max_tokens: Input should be greater than or equal to 1")
    if max_tokens > _MAX_OUTPUT_TOKENS:
        allowed = f"the maximum allowed number of output tokens for {body['model']}"
        raise refusal(f"max_tokens: {max_tokens} > {_MAX_OUTPUT_TOKENS}, which is {allowed}")
    if not body["messages"]:
        raise refusal("messages: at least one message is required")
    budget = (body.get("thinking") or {}).get("budget_tokens")
    if budget is not None and not 1024 <= budget < max_tokens:
        raise refusal("thinking.budget_tokens: must be at least 1024 and less than `max_tokens`")
    if any(not sequence.strip() for sequence in body.get("stop_sequences") or ()):
        raise refusal("stop_sequences: each stop sequence must contain non-whitespace")


def _check_texts(body: Mapping[str, Any]) -> None:
    for place, message in enumerate(body["messages"]):
        content = message["content"]
        if not content:
            raise refusal(f"messages.{place}: {message['role']} messages must have non-empty content")
        _check_text_blocks(content, f"messages.{place}.content")
    _check_text_blocks(body.get("system") or "", "system")


def _check_text_blocks(content: Any, place: str) -> None:
    for index, block in enumerate(() if isinstance(content, str) else content):
        if block["type"] == "text" and not block["text"]:
            raise refusal(f"{place}.{index}: text content blocks must be non-empty")
        if place == "system" and block["type"] != "text":
            raise refusal(f"system.{index}.type: Input should be 'text'")


def _check_tool_results(messages: Sequence[Mapping[str, Any]]) -> None:
    asked: set[str] = set()
    for place, message in enumerate(messages):
        blocks = [block for block in message["content"] if isinstance(block, Mapping)]
        given = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if given - asked:
            raise refusal(f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {given - asked}")
        if asked - given:
            raise refusal(f"messages.{place}: `tool_use` ids were found without `tool_result` blocks: {asked - given}")
        asked = {block["id"] for block in blocks if block["type"] == "tool_use"}


def _check_tool_choice(body: Mapping[str, Any]) -> None:
    tools, choice = list(body.get("tools") or ()), body.get("tool_choice")
    if choice is not None and not tools:
        raise refusal("tool_choice: may only be specified while providing tools")
    if choice is not None and choice["type"] == "tool" and choice["name"] not in {tool["name"] for tool in tools}:
        raise refusal(f"tool_choice: Tool '{choice['name']}' not found in provided tools")
    forced = choice is not None and choice["type"] in ("any", "tool")
    if forced and (body.get("thinking") or {}).get("type") == "enabled":
        raise refusal("Thinking may not be enabled when tool_choice forces tool use.")


_SIGNED = "c2lnbmVk"


def _check_thinking(body: Mapping[str, Any]) -> None:
    """Where thinking is on, an answer whose tools' results are given begins with its thinking, as it was."""
    turns = [list(turn["content"]) for turn in body["messages"] if turn["role"] == "assistant"]
    blocks = [block for blocks in turns for block in blocks if isinstance(block, Mapping)]
    for block in blocks:
        if block["type"] == "thinking" and block["signature"] != _SIGNED:
            raise refusal("messages: Invalid `signature` in `thinking` block")
    results = [block for block in body["messages"][-1]["content"] if isinstance(block, Mapping)]
    if (body.get("thinking") or {}).get("type") != "enabled" or not turns:
        return
    first = turns[-1][0]
    if any(block["type"] == "tool_result" for block in results) and first["type"] not in (
        "thinking",
        "redacted_thinking",
    ):
        raise refusal(f"messages: Expected `thinking` or `redacted_thinking`, but found `{first['type']}`")


_SCHEMA_KEYS = {
    "type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "title", "description", "default",
    "properties", "required", "additionalProperties", "items", "minItems", "format",
}  # fmt: skip


def _check_schema(schema: Any, place: str) -> None:
    if not isinstance(schema, Mapping):
        raise refusal(f"{place}: a schema must be an object")
    unknown = schema.keys() - _SCHEMA_KEYS
    if unknown:
        raise refusal(f"{place}: For this type, properties {sorted(unknown)} are not supported")
    if isinstance(schema.get("type"), list):
        raise refusal(f"{place}: Input should be one type")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise refusal(f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for name in ("properties", "$defs"):
        for key, part in schema.get(name, {}).items():
            _check_schema(part, f"{place}.{name}.{key}")
    parts = [part for name in ("anyOf", "allOf") for part in schema.get(name, ())]
    for part in [*parts, *([schema["items"]] if "items" in schema else [])]:
        _check_schema(part, place)
