"""A strict loopback server of Anthropic's Messages API.

    with anthropic_server(Failure(529, "overloaded_error"), reply="Madrid.") as server:
        llm = AnthropicLLM(model="claude-sonnet-5", base_url=server.url, api_key="test-key")
        ...
        assert [seen.body["model"] for seen in server.requests] == ["claude-sonnet-5"]
        assert server.answers == 1

What it refuses, in Anthropic's error form: a request without a key (401), without `anthropic-version`, larger than
the API's limit (413), and (400) a body that breaks the installed SDK's own request types, that has a key they do not
name at any depth, a value out of its range, a system message among the messages, a tool result without its call
or a call without its result, an empty text block, or an output schema outside the API's subset.

A request that is in order takes the next of the queued behaviours; when there is none, it is answered with `reply`.
Behaviours: `Answer`, `Failure`, `Raw`, `Dropped`, `Silence`, or a function from `Seen` to one of these.
`usage` is counted from the texts, one token a word.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from .loopback import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import TypeAdapter

_MAX_OUTPUT_TOKENS = 128_000


# Behaviours


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it came; `headers` have lower-case names."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


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


@dataclass(frozen=True)
class Failure:
    """An error in Anthropic's form."""

    status: int
    kind: str = "api_error"
    message: str = "Something went wrong."
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Raw:
    """These bytes, whatever they are."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True)
class Dropped:
    """The connection is cut: before the answer, or in its middle."""

    halfway: bool = False


@dataclass(frozen=True)
class Silence:
    """No answer at all, until the server stops."""


Behaviour: TypeAlias = "Answer | Failure | Raw | Dropped | Silence"
Script: TypeAlias = "Behaviour | Callable[[Seen], Behaviour]"


def thinking(text: str) -> dict[str, Any]:
    """A thinking block."""
    return {"type": "thinking", "thinking": text, "signature": "c2lnbmVk"}


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


class AnthropicServer:
    """What a test sees of the server.

    Attributes:
        url: the base URL. requests: every request with a JSON body, refused ones included.
        answers: messages sent whole. connections: how many were opened for requests.
        most_in_flight: the most requests that were in hand at once.
    """

    def __init__(self, *, reply: str, api_key: str | None, gather: int) -> None:
        self.url = ""
        self.requests: list[Seen] = []
        self.answers = 0
        self.most_in_flight = 0
        self._reply = reply
        self._api_key = api_key
        self._gather = gather
        self._behaviours: deque[Script] = deque()
        self._peers: set[Any] = set()
        self._in_flight = 0
        self._gathered = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def connections(self) -> int:
        return len(self._peers)

    def queue(self, *behaviours: Script) -> None:
        """Put behaviours behind those that are queued."""
        self._behaviours.extend(behaviours)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        self._peers.add(request.transport and request.transport.get_extra_info("peername"))
        try:
            seen = await self._read(request)
            check_body(seen.body)
            await self._wait_for_company()
            script = self._behaviours.popleft() if self._behaviours else Answer(self._reply)
            behaviour = script(seen) if callable(script) else script
            return await self._behave(behaviour, seen, request)
        except RefusedError as refused:
            return error_response(Failure(refused.status, refused.kind, str(refused)))
        finally:
            self._in_flight -= 1

    async def stop(self, _app: web.Application) -> None:
        """Let go of the requests that are held in silence."""
        self._stopped.set()

    async def _read(self, request: web.Request) -> Seen:
        try:
            body = await request.json()
        except web.HTTPRequestEntityTooLarge:
            raise RefusedError("Request exceeds the maximum size", 413, "request_too_large") from None
        except ValueError:
            raise RefusedError("The request body is not valid JSON") from None
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(path=request.path, headers=headers, body=body)
        self.requests.append(seen)
        self.check_headers(headers)
        return seen

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without a key or a version; `headers` have lower-case names."""
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not key or (self._api_key is not None and key != self._api_key):
            raise RefusedError("invalid x-api-key", 401, "authentication_error")
        if "anthropic-version" not in headers:
            raise RefusedError("anthropic-version: header is required")

    async def _wait_for_company(self) -> None:
        """Hold every request until `gather` of them are in hand; the first such crowd opens the way for all."""
        if self._in_flight >= self._gather:
            self._gathered.set()
        await self._gathered.wait()

    async def _behave(self, behaviour: Behaviour, seen: Seen, request: web.Request) -> web.StreamResponse:
        if isinstance(behaviour, Failure):
            return error_response(behaviour)
        if isinstance(behaviour, Raw):
            return web.Response(status=behaviour.status, body=behaviour.body, content_type=behaviour.content_type)
        if isinstance(behaviour, Silence):
            await self._stopped.wait()
            return web.Response()
        if isinstance(behaviour, Answer):
            return await self._answer(behaviour, seen, request)
        return await _drop(behaviour, request)

    async def _answer(self, answer: Answer, seen: Seen, request: web.Request) -> web.StreamResponse:
        message = message_of(answer, seen.body)
        if not seen.body.get("stream"):
            self.answers += 1
            return web.json_response(message, headers={"request-id": "req_loopback", **answer.headers})
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8", **answer.headers})
        await response.prepare(request)
        for event in _events(message, answer):
            await response.write(event)
        self.answers += not (answer.cut or answer.error)
        return response


@contextmanager
def anthropic_server(
    *behaviours: Script,
    reply: str = "The capital of Spain is Madrid.",
    api_key: str | None = None,
    gather: int = 1,
    largest_body: int = 32 * 1024 * 1024,
    extend: Callable[[web.Application, AnthropicServer], object] | None = None,
) -> Iterator[AnthropicServer]:
    """Serve the Messages API on loopback.

    Args:
        behaviours: what the first requests meet, in order.
        reply: the text of every other answer.
        api_key: the only key that is taken; any, when None.
        gather: no request is answered before this many are in flight at once.
        largest_body: bytes of a request at most; by default the API's limit.
        extend: adds further routes.
    """
    server = AnthropicServer(reply=reply, api_key=api_key, gather=gather)
    server.queue(*behaviours)
    app = web.Application(client_max_size=largest_body)
    app.on_shutdown.append(server.stop)
    app.router.add_post("/v1/messages", server.handle)
    if extend is not None:
        extend(app, server)
    app.router.add_route("*", "/{path:.*}", _not_found)
    with serving(app) as url:
        server.url = url
        yield server


# Answers


async def _not_found(request: web.Request) -> web.Response:
    return error_response(Failure(404, "not_found_error", f"Not found: {request.path}"))


def error_response(failure: Failure) -> web.Response:
    """An error in the API's form."""
    error: dict[str, Any] = {"type": failure.kind, "message": failure.message}
    if failure.details is not None:
        error["details"] = dict(failure.details)
    body = {"type": "error", "error": error, "request_id": "req_loopback"}
    return web.json_response(body, status=failure.status, headers={"request-id": "req_loopback", **failure.headers})


async def _drop(behaviour: Dropped, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
    if behaviour.halfway:
        await response.prepare(request)
        await response.write(b'{"type": "message", "content": [')
    assert request.transport is not None
    request.transport.abort()
    return response


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
    return {**block, _TEXT_FIELDS[kind][0]: ""} if kind in _TEXT_FIELDS else dict(block)


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


class RefusedError(Exception):
    """Why a request is refused."""

    def __init__(self, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        self.status = status
        self.kind = kind
        super().__init__(message)


def check_body(body: Any) -> None:
    """Refuse what the API would."""
    if not isinstance(body, dict):
        raise RefusedError("The request body must be a JSON object")
    for name in ("user_profile_id", "workspace_id"):
        if name in body:  # in the SDK's request type, but they travel as headers
            raise RefusedError(f"{name}: Extra inputs are not permitted")
    _check_messages_are_turns(body.get("messages"))
    _check_types(body)
    _check_ranges(body)
    _check_texts(body)
    _check_tool_results(body["messages"])
    output_format = (body.get("output_config") or {}).get("format")
    if output_format:
        _check_schema(output_format["schema"], "output_config.format.schema")


def _check_messages_are_turns(messages: Any) -> None:
    for place, message in enumerate(messages if isinstance(messages, list) else ()):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant"):
            raise RefusedError(
                f'messages.{place}.role: Unexpected role "{role}"; a system prompt is the parameter `system`'
            )


@lru_cache(maxsize=1)
def _request_type() -> TypeAdapter[Any]:
    from anthropic.types.message_create_params import MessageCreateParams
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
    return TypeAdapter(MessageCreateParams, config=config)


def _check_types(body: dict[str, Any]) -> None:
    from pydantic import ValidationError

    try:
        _walk(_request_type().validate_python(body), "")
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        ours = f"MessageCreateParams{'Streaming' if body.get('stream') else 'NonStreaming'}"
        raise _ill_typed("", next((error for error in errors if error["loc"][:1] == (ours,)), errors[0])) from None


def _ill_typed(place: str, error: Mapping[str, Any]) -> RefusedError:
    # Members of unions stand in the place by the names of their classes.
    parts = [str(part) for part in error["loc"] if not str(part)[:1].isupper()]
    return RefusedError(f"{'.'.join(filter(None, [place, *parts]))}: {error['msg']}")


def _walk(value: Any, place: str) -> None:
    """Draw from the lazy iterators that pydantic makes of `Iterable`, so that all of the body is validated."""
    from pydantic import BaseModel, ValidationError

    if isinstance(value, BaseModel):
        # The SDK takes its own response models for blocks too, and those allow any key.
        raise RefusedError(f"{place}: Extra inputs are not permitted")
    if isinstance(value, Mapping):
        for name, part in value.items():
            _walk(part, f"{place}.{name}".lstrip("."))
    elif not isinstance(value, str | bytes | int | float | None):
        try:
            for index, part in enumerate(value):
                _walk(part, f"{place}.{index}")
        except ValidationError as exc:
            raise _ill_typed(place, exc.errors(include_url=False)[0]) from None


def _check_ranges(body: Mapping[str, Any]) -> None:
    max_tokens = body["max_tokens"]
    if max_tokens < 1:
        raise RefusedError("max_tokens: Input should be greater than or equal to 1")
    if max_tokens > _MAX_OUTPUT_TOKENS:
        allowed = f"the maximum allowed number of output tokens for {body['model']}"
        raise RefusedError(f"max_tokens: {max_tokens} > {_MAX_OUTPUT_TOKENS}, which is {allowed}")
    if not body["messages"]:
        raise RefusedError("messages: at least one message is required")
    budget = (body.get("thinking") or {}).get("budget_tokens")
    if budget is not None and not 1024 <= budget < max_tokens:
        raise RefusedError("thinking.budget_tokens: must be at least 1024 and less than `max_tokens`")
    if any(not sequence.strip() for sequence in body.get("stop_sequences") or ()):
        raise RefusedError("stop_sequences: each stop sequence must contain non-whitespace")


def _check_texts(body: Mapping[str, Any]) -> None:
    for place, message in enumerate(body["messages"]):
        content = message["content"]
        if not content:
            raise RefusedError(f"messages.{place}: {message['role']} messages must have non-empty content")
        _check_text_blocks(content, f"messages.{place}.content")
    _check_text_blocks(body.get("system") or "", "system")


def _check_text_blocks(content: Any, place: str) -> None:
    for index, block in enumerate(() if isinstance(content, str) else content):
        if block["type"] == "text" and not block["text"]:
            raise RefusedError(f"{place}.{index}: text content blocks must be non-empty")
        if place == "system" and block["type"] != "text":
            raise RefusedError(f"system.{index}.type: Input should be 'text'")


def _check_tool_results(messages: Sequence[Mapping[str, Any]]) -> None:
    asked: set[str] = set()
    for place, message in enumerate(messages):
        blocks = [block for block in message["content"] if isinstance(block, Mapping)]
        given = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if given - asked:
            raise RefusedError(
                f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {given - asked}"
            )
        if asked - given:
            raise RefusedError(
                f"messages.{place}: `tool_use` ids were found without `tool_result` blocks: {asked - given}"
            )
        asked = {block["id"] for block in blocks if block["type"] == "tool_use"}


_SCHEMA_KEYS = {
    "type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "title", "description", "default",
    "properties", "required", "additionalProperties", "items", "minItems", "format",
}  # fmt: skip


def _check_schema(schema: Any, place: str) -> None:
    if not isinstance(schema, Mapping):
        raise RefusedError(f"{place}: a schema must be an object")
    unknown = schema.keys() - _SCHEMA_KEYS
    if unknown:
        raise RefusedError(f"{place}: For this type, properties {sorted(unknown)} are not supported")
    if isinstance(schema.get("type"), list):
        raise RefusedError(f"{place}: Input should be one type")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise RefusedError(f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for name in ("properties", "$defs"):
        for key, part in schema.get(name, {}).items():
            _check_schema(part, f"{place}.{name}.{key}")
    parts = [part for name in ("anyOf", "allOf") for part in schema.get(name, ())]
    for part in [*parts, *([schema["items"]] if "items" in schema else [])]:
        _check_schema(part, place)
