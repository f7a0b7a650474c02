"""A loopback server that speaks Hugging Face's APIs: chat completion, TGI's text generation, the Hub and its endpoints.

It is strict: a body must be valid as huggingface_hub's own request type, and may have no key that the type does not
have. A request that is not answers 422, and is kept in `refused`.

    with huggingface_server("Madrid.", Reply(status=429, headers={"retry-after": "3"})) as server:
        llm = InferenceEndpointsLLM(base_url=server.url)
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web
from huggingface_hub.inference._generated.types import chat_completion, text_generation
from huggingface_hub.inference._generated.types.chat_completion import ChatCompletionInput
from huggingface_hub.inference._generated.types.text_generation import TextGenerationInput
from pydantic import TypeAdapter, ValidationError

from support.loopback import serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import TypeAlias

    import pytest

    Answer: TypeAlias = "str | dict[str, Any] | Reply | Callable[[Recorded], Awaitable[str | dict[str, Any] | Reply]]"

Kind = Literal["tgi", "openai"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A request as it came; header names are in lower case, `client` is the address that sent it."""

    client: Any
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer in full. A `body` that is no text is sent as JSON; `hang_up` closes the connection in place of one."""

    status: int = 200
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


@dataclass(slots=True)
class HuggingFaceServer:
    """The server, as the test sees it.

    Attributes:
        url: where it is.
        answers: given in turn to generation requests: a text, a JSON body, a `Reply`, or an async function
            of the request that gives one of these. When there are none left, the text is "ok".
        kind: "tgi" has `/info` and text generation, and reads `response_format` as TGI does; "openai" is like vLLM.
        info: what `/info` says. endpoints: those of the endpoints API, by "namespace/name".
        models: those of the Hub, by id. requests: the generation requests that came.
        hub_requests: all others. refused: why requests were refused.
        in_flight, most_in_flight: generation requests being answered, now and at most.
    """

    kind: Kind = "tgi"
    url: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    info: dict[str, Any] = field(
        default_factory=lambda: {"model_id": "tiny", "version": "3.3.4", "max_total_tokens": 512}
    )
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[Recorded] = field(default_factory=list)
    hub_requests: list[Recorded] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/{path:.*chat/completions}", self._chat)
        app.router.add_post("/{path:(?:.*/)?completions}", self._completions)
        app.router.add_post("/", self._text)
        app.router.add_post("/models/{path:.*}", self._text)
        app.router.add_get("/{path:.*}", self._hub)
        return app

    # Generation

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        recorded = await self._record(request)
        return await self._reply(request, recorded, _chat_faults(recorded.body, self.kind), chat_body)

    async def _text(self, request: web.Request) -> web.StreamResponse:
        recorded = await self._record(request)
        faults = _faults(TextGenerationInput, recorded.body)
        if self.kind == "openai":
            return web.json_response({"detail": "Not Found"}, status=404)
        return await self._reply(request, recorded, faults, text_body)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        recorded = await self._record(request)
        faults = [] if isinstance(recorded.body.get("prompt"), str) else ["prompt: must be a text"]
        return await self._reply(
            request, recorded, faults, lambda text: {"choices": [{"text": text, "finish_reason": "stop"}]}
        )

    async def _record(self, request: web.Request) -> Recorded:
        recorded = Recorded(
            client=request.transport.get_extra_info("peername") if request.transport else None,
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.json() if request.can_read_body else None,
        )
        (self.requests if request.method == "POST" else self.hub_requests).append(recorded)
        return recorded

    async def _reply(
        self, request: web.Request, recorded: Recorded, faults: list[str], body_of: Callable[[str], dict[str, Any]]
    ) -> web.StreamResponse:
        if faults:
            self.refused += faults
            return web.json_response({"error": "; ".join(faults), "error_type": "validation"}, status=422)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = await self._answer(recorded, body_of)
        finally:
            self.in_flight -= 1
        if reply.hang_up and request.transport is not None:
            request.transport.abort()
        return _response(reply)

    async def _answer(self, recorded: Recorded, body_of: Callable[[str], dict[str, Any]]) -> Reply:
        answer = self.answers.popleft() if self.answers else "ok"
        if not isinstance(answer, str | dict | Reply):
            answer = await answer(recorded)
        if isinstance(answer, Reply):
            return answer
        return Reply(body=body_of(answer) if isinstance(answer, str) else answer)

    # The Hub

    async def _hub(self, request: web.Request) -> web.StreamResponse:
        recorded = await self._record(request)
        if recorded.path == "/info" and self.kind == "tgi":
            return web.json_response(self.info)
        if recorded.path == "/api/whoami-v2":
            return web.json_response({"type": "user", "name": "me"})
        for prefix, known in (("/v2/endpoint/", self.endpoints), ("/api/models/", self.models)):
            found = known.get(recorded.path.removeprefix(prefix))
            if recorded.path.startswith(prefix) and found is not None:
                return web.json_response(found, status=found.get("status_code", 200))
        return web.json_response({"error": "Not Found"}, status=404)


def _response(reply: Reply) -> web.StreamResponse:
    if isinstance(reply.body, str | bytes):
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        return web.Response(body=body, status=reply.status, headers=reply.headers)
    return web.json_response(reply.body, status=reply.status, headers=reply.headers)


def chat_body(text: str | None, *, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion; `message` adds to its message."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served/model",
        "system_fingerprint": "3.3.4-native",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "logprobs": None,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def text_body(text: str, *, finish_reason: str = "eos_token") -> dict[str, Any]:
    """The body of TGI's text generation, with its details."""
    words = text.split(" ")
    tokens = [{"id": place, "text": word, "logprob": -0.5, "special": False} for place, word in enumerate(words)]
    details = {
        "finish_reason": finish_reason,
        "generated_tokens": len(words),
        "seed": None,
        "prefill": [],
        "tokens": tokens,
    }
    return {"generated_text": text, "details": details}


def endpoint_body(url: str | None, *, state: str = "running") -> dict[str, Any]:
    """An endpoint, as the endpoints API describes it."""
    when = "2026-01-01T00:00:00.000Z"
    return {
        "name": "mine",
        "type": "protected",
        "healthRoute": "/health",
        "model": {"repository": "org/model", "framework": "pytorch", "revision": "main", "task": "text-generation"},
        "status": {"state": state, "createdAt": when, "updatedAt": when, **({"url": url} if url else {})},
    }


# Strictness


def _chat_faults(body: Any, kind: Kind) -> list[str]:
    if kind == "openai" or not isinstance(body, dict) or not isinstance(body.get("response_format"), dict):
        return _faults(ChatCompletionInput, body)
    form = body["response_format"]
    faults = _faults(ChatCompletionInput, {key: value for key, value in body.items() if key != "response_format"})
    if form.get("type") not in {"json", "json_object", "json_schema", "regex"} or "value" not in form:
        faults.append("response_format: missing field `value`")
    return faults


def _faults(kind: Any, body: Any) -> list[str]:
    """Why `body` is not one of huggingface_hub's `kind`; empty where it is."""
    try:
        TypeAdapter(kind).validate_python(body, strict=False)
    except ValidationError as exc:
        return [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()]
    return _unknown_keys(kind, body, "")


def _unknown_keys(kind: Any, value: Any, place: str) -> list[str]:
    origin = typing.get_origin(kind)
    if origin is list and isinstance(value, list):
        (item,) = typing.get_args(kind)
        return [fault for index, each in enumerate(value) for fault in _unknown_keys(item, each, f"{place}[{index}]")]
    if origin in {typing.Union, types.UnionType}:
        return min(
            (_unknown_keys(option, value, place) for option in typing.get_args(kind) if _fits(option, value)), key=len
        )
    if not dataclasses.is_dataclass(kind) or not isinstance(value, dict):
        return []
    hints = typing.get_type_hints(kind, vars(chat_completion) | vars(text_generation))
    faults = [f"{place}.{key}: no such field" for key in value if key not in hints]
    return faults + [
        f for key in value if key in hints for f in _unknown_keys(hints[key], value[key], f"{place}.{key}")
    ]


def _fits(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@contextmanager
def huggingface_server(*answers: Answer, kind: Kind = "tgi") -> Iterator[HuggingFaceServer]:
    """Serve `answers`, in turn, on a free port of 127.0.0.1."""
    server = HuggingFaceServer(kind=kind, answers=deque(answers))
    with serving(server.app()) as url:
        server.url = url
        yield server


def point_the_sdk_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `url` the Hub, the endpoints API and the router, for huggingface_hub in this process.

    Of these addresses only the Hub's can be set from outside (HF_ENDPOINT, read at import).
    """
    from huggingface_hub import constants
    from huggingface_hub.inference._providers import CONVERSATIONAL_AUTO_ROUTER, PROVIDERS, _common, hf_inference

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{url}/v2")
    monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", f"{url}/{{provider}}")
    monkeypatch.setattr(CONVERSATIONAL_AUTO_ROUTER, "base_url", url)
    monkeypatch.setattr(PROVIDERS["hf-inference"]["text-generation"], "base_url", url)
    _common._fetch_inference_provider_mapping.cache_clear()
    hf_inference._check_supported_task.cache_clear()
