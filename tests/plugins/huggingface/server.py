"""A loopback server that speaks Hugging Face's APIs: chat completion, TGI's text generation, the Hub and its endpoints.

It is strict: a body must be valid as huggingface_hub's own request type, and may have no key that the type does not
have. A request that is not answers 422, and is kept in `refused`.

    with huggingface_server("Madrid.", Reply(status=429, headers={"retry-after": "3"})) as server:
        llm = InferenceEndpointsLLM(base_url=server.url)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired

from aiohttp import web
from huggingface_hub.inference._generated.types.chat_completion import ChatCompletionInput
from huggingface_hub.inference._generated.types.text_generation import TextGenerationInput
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from support.provider_server import Asked, Behaviour, ProviderServer, RefusedError, Reply, send
from support.request_types import fault_in

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pytest

Kind = Literal["tgi", "openai"]


class HuggingFaceServer(ProviderServer):
    """The running server; a behaviour may be a text or a whole JSON body, too. A plain answer is "ok".

    Attributes:
        kind: "tgi" has `/info` and text generation, and reads `response_format` as TGI does; "openai" is like vLLM.
        info: what `/info` says. endpoints: those of the endpoints API, by "namespace/name".
        models: those of the Hub, by id. hub_requests: all that do not generate. refused: why requests were refused.
    """

    routes = (("POST", "/{path:(?:.*/)?completions}"), ("POST", "/"), ("POST", "/models/{path:.*}"))

    def __init__(self, *behaviours: Behaviour, kind: Kind = "tgi") -> None:
        super().__init__(*behaviours)
        self.kind: Kind = kind
        self.info: dict[str, Any] = {"model_id": "tiny", "version": "3.3.4", "max_total_tokens": 512}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.hub_requests: list[Asked] = []
        self.refused: list[str] = []

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_get("/{path:.*}", self._hub)
        return app

    # Generation

    def check(self, asked: Asked) -> None:
        fault = self._fault_in(asked)
        if fault is not None:
            self.refused.append(fault)
            raise RefusedError(fault, Reply(status=422, body={"error": fault, "error_type": "validation"}))
        if self.kind == "openai" and not asked.path.endswith("completions"):
            raise RefusedError("no such path", Reply(status=404, body={"detail": "Not Found"}))

    def _fault_in(self, asked: Asked) -> str | None:
        body = asked.body
        if asked.path.endswith("chat/completions"):
            return _chat_fault(body, self.kind)
        if asked.path.endswith("completions"):
            return None if isinstance(body.get("prompt"), str) else "prompt: must be a text"
        fault = fault_in(TextGenerationInput, body, strict=False)
        return None if fault is None else str(fault)

    def plain(self, _asked: Asked) -> str:
        return "ok"

    def reply_of(self, given: str | dict[str, Any], asked: Asked) -> Reply:
        if isinstance(given, dict):
            return Reply(body=given)
        if asked.path.endswith("chat/completions"):
            return Reply(body=chat_body(given))
        if asked.path.endswith("completions"):
            return Reply(body={"choices": [{"text": given, "finish_reason": "stop"}]})
        return Reply(body=text_body(given))

    # The Hub

    async def _hub(self, request: web.Request) -> web.StreamResponse:
        asked = await self.read(request)
        self.hub_requests.append(asked)
        return await send(self._of_the_hub(asked.path), request)

    def _of_the_hub(self, path: str) -> Reply:
        if path == "/info" and self.kind == "tgi":
            return Reply(body=self.info)
        if path == "/api/whoami-v2":
            return Reply(body={"type": "user", "name": "me"})
        for prefix, known in (("/v2/endpoint/", self.endpoints), ("/api/models/", self.models)):
            found = known.get(path.removeprefix(prefix))
            if path.startswith(prefix) and found is not None:
                return Reply(body=found, status=found.get("status_code", 200))
        return Reply(body={"error": "Not Found"}, status=404)


def huggingface_server(*behaviours: Behaviour, kind: Kind = "tgi") -> AbstractContextManager[HuggingFaceServer]:
    """Serve until the block ends."""
    return HuggingFaceServer(*behaviours, kind=kind).serve()


def _chat_fault(body: Any, kind: Kind) -> str | None:
    form = body.get("response_format") if isinstance(body, dict) and kind == "tgi" else None
    if isinstance(form, dict):  # in TGI's own form
        body = {key: value for key, value in body.items() if key != "response_format"}
        if form.get("type") not in {"json", "json_object", "json_schema", "regex"} or "value" not in form:
            return "response_format: missing field `value`"
    if isinstance(body, dict) and isinstance(body.get("messages"), list):
        of_tools = [message for message in body["messages"] if _is_of_tools(message)]
        faults = (fault_in(ToolResult if each["role"] == "tool" else ToolCalls, each) for each in of_tools)
        if fault := next(filter(None, faults), None):
            return f"messages.{fault}"
        others = [message for message in body["messages"] if message not in of_tools]
        body = {key: value for key, value in body.items() if key != "parallel_tool_calls"} | {"messages": others}
        choice = body.get("tool_choice")
        if isinstance(choice, dict) and choice.get("type") == "function":
            body["tool_choice"] = {key: value for key, value in choice.items() if key != "type"}
    fault = fault_in(ChatCompletionInput, body, strict=False)
    return None if fault is None else str(fault)


def _is_of_tools(message: Any) -> bool:
    """Tell whether a message is one that servers take in OpenAI's form, and the SDK's types do not know."""
    return isinstance(message, dict) and (message.get("role") == "tool" or "tool_calls" in message)


class _Function(TypedDict):
    name: str
    arguments: str


class _Call(TypedDict):
    id: str
    type: Literal["function"]
    function: _Function


class ToolCalls(TypedDict):
    role: Literal["assistant"]
    content: str | None
    tool_calls: list[_Call]
    reasoning_content: NotRequired[str]


class ToolResult(TypedDict):
    role: Literal["tool"]
    tool_call_id: str
    content: str


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
