"""A strict stand-in for OpenAI's chat completions (and Azure's), on loopback.

    with openai_server(rate_limited(retry_after="2"), answer("Madrid")) as server:
        ...                                 # point a client at `server.url`
    server.requests[0].body                 # what was sent
    server.answers                          # how many completions were given

Behaviours are consumed one a request, in order; after the last one every request gets
`answer()`, which is deterministic: `echo: <the last user message>`, and ` #1`, ` #2` … behind it
for the further choices of an `n`; the smallest valid instance for a JSON Schema. Usage is
counted in words of the texts. A body that the real service would refuse gets a 400 that says
why, whatever behaviour is next (and leaves it there): `openai_rules`.

It also runs in a process of its own, for tests that kill clients; the first line printed is
the URL, and `GET /statistics` tells the counts:

    python -m support.openai_server [--latency 0.1]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from .json_instances import minimal_instance
from .loopback import serving
from .openai_rules import complaint_about

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Body: TypeAlias = dict[str, Any]
Reply: TypeAlias = Callable[[Body], str]
"""From a request's body to the text of its first choice."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it arrived, refused ones included.

    Attributes:
        path: with the query left out. query: its parameters. headers: names in lower case.
        body: the decoded JSON, or None where it was none. connection: the client's address.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    connection: tuple[str, int]


@dataclass(slots=True)
class Exchange:
    """What a behaviour works with: the request, and the server that answers it."""

    request: web.Request
    body: Body
    server: OpenAIServer


Behaviour: TypeAlias = Callable[[Exchange], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class OpenAIServer:
    """The running server.

    Attributes:
        root: `http://127.0.0.1:<port>`, which is also the `azure_endpoint`.
        requests: all requests to the completions endpoint, as they arrived.
        answers: completions given.
        in_flight, peak: requests being answered now, and at most so far.
        reply: the text of a plain answer, from the request's body.
        latency: seconds before anything is answered.
        api_key: the only key that is accepted; None accepts any.
    """

    reply: Reply
    latency: float = 0.0
    api_key: str | None = None
    root: str = ""
    requests: list[RecordedRequest] = field(default_factory=list)
    answers: int = 0
    in_flight: int = 0
    peak: int = 0
    _behaviours: deque[Behaviour] = field(default_factory=deque)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def url(self) -> str:
        """The base URL for clients of OpenAI's own form."""
        return f"{self.root}/v1"

    def script(self, *behaviours: Behaviour) -> None:
        """Put behaviours behind those that are still waiting."""
        self._behaviours.extend(behaviours)

    def app(self) -> web.Application:
        """The server as an application, for whoever serves it otherwise than `openai_server`."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_post("/openai/deployments/{deployment}/chat/completions", self._azure_completions)
        app.router.add_get("/statistics", self._statistics)
        return app

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return await self._handle(request, credential=sent)

    async def _azure_completions(self, request: web.Request) -> web.StreamResponse:
        if "api-version" not in request.query:
            return error_response(404, "Resource not found", code="404")
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return await self._handle(request, credential=request.headers.get("api-key", "") or bearer)

    async def _statistics(self, _request: web.Request) -> web.Response:
        counts = {
            "requests": len(self.requests),
            "answers": self.answers,
            "in_flight": self.in_flight,
            "peak": self.peak,
        }
        return web.json_response(counts)

    async def _handle(self, request: web.Request, *, credential: str) -> web.StreamResponse:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            return await self._respond(request, credential)
        finally:
            self.in_flight -= 1

    async def _respond(self, request: web.Request, credential: str) -> web.StreamResponse:
        body = await self._record(request)
        if self.latency:
            await asyncio.sleep(self.latency)
        if not credential or credential != (self.api_key or credential):
            return _key_refused(credential)
        complaint = complaint_about(body)
        if complaint is not None:
            return error_response(400, complaint.message, code=complaint.code, param=complaint.param)
        behaviour = self._behaviours.popleft() if self._behaviours else answer()
        return await behaviour(Exchange(request, body, self))

    async def _record(self, request: web.Request) -> Any:
        try:
            body = json.loads(await request.read())
        except ValueError:
            body = None
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert request.transport is not None
        connection = request.transport.get_extra_info("peername")
        self.requests.append(RecordedRequest(request.path, dict(request.query), headers, body, connection))
        return body

    def completion(self, body: Body, choices: Sequence[Mapping[str, Any]], **usage_details: int) -> dict[str, Any]:
        """A completion of `choices`, counted as an answer."""
        self.answers += 1
        return {
            "id": f"chatcmpl-{next(self._numbers)}",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": f"{body['model']}-2026-01-01",
            "choices": list(choices),
            "usage": _usage(body, choices, **usage_details),
        }


@contextmanager
def openai_server(
    *behaviours: Behaviour, reply: Reply | None = None, latency: float = 0.0, api_key: str | None = None
) -> Iterator[OpenAIServer]:
    """Serve on a free port of loopback until the block ends.

    Args:
        behaviours: for the first requests, one each. reply: the text of a plain answer, from the
            request's body. latency: seconds before anything is answered. api_key: the only key that is accepted.
    """
    server = OpenAIServer(reply or echo, latency=latency, api_key=api_key)
    server.script(*behaviours)
    with serving(server.app()) as root:
        server.root = root
        yield server


def echo(body: Body) -> str:
    """`echo: ` and the last user message."""
    users = [message for message in body["messages"] if message["role"] == "user"]
    return f"echo: {_text_of(users[-1]['content']) if users else ''}"


# Behaviours: answers


def answer(
    *texts: str | None,
    finish_reason: str = "stop",
    choices: int | None = None,
    cached_tokens: int = 0,
    ignore_schema: bool = False,
    headers: Mapping[str, str] | None = None,
    **message: Any,
) -> Behaviour:
    """A completion.

    Args:
        texts: one a choice; without them the server's reply, or the smallest instance of the schema asked for.
        finish_reason: of every choice.
        choices: give this many, whatever `n` says.
        cached_tokens: reported as read from the cache.
        ignore_schema: answer in plain text although a schema was asked for.
        headers: of the response.
        message: further fields of every message (`reasoning_content`, `tool_calls`, `refusal` …).
    """

    async def behave(exchange: Exchange) -> web.Response:
        body = exchange.body
        contents = texts or _contents(exchange, ignore_schema=ignore_schema)
        contents = contents[: len(contents) if choices is None else choices]
        given = [
            {
                "index": index,
                "message": {"role": "assistant", "content": content, "refusal": None, **message},
                "logprobs": _logprobs(content, body),
                "finish_reason": finish_reason,
            }
            for index, content in enumerate(contents)
        ]
        completion = exchange.server.completion(body, given, cached_tokens=cached_tokens)
        return web.json_response(completion, headers=headers)

    return behave


def json_body(payload: Any, *, status: int = 200) -> Behaviour:
    """Any JSON as the whole body."""

    async def behave(_exchange: Exchange) -> web.Response:
        return web.json_response(payload, status=status)

    return behave


def raw_body(content: str, *, status: int = 200, content_type: str = "application/json") -> Behaviour:
    """Any text as the whole body, JSON or not."""

    async def behave(_exchange: Exchange) -> web.Response:
        return web.Response(text=content, status=status, content_type=content_type)

    return behave


def _contents(exchange: Exchange, *, ignore_schema: bool) -> tuple[str | None, ...]:
    wanted = exchange.body.get("response_format") or {}
    if wanted.get("type") == "json_schema" and not ignore_schema:
        first = json.dumps(minimal_instance(wanted["json_schema"]["schema"]))
        return (first,) * (exchange.body.get("n") or 1)
    first = exchange.server.reply(exchange.body)
    return (first, *(f"{first} #{index}" for index in range(1, exchange.body.get("n") or 1)))


def _logprobs(content: str | None, body: Body) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None
    return {
        "content": [_token(word, body.get("top_logprobs") or 0) for word in (content or "").split()],
        "refusal": None,
    }


def _token(word: str, alternatives: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"token": word, "logprob": -0.5, "bytes": list(word.encode())}
    return {**entry, "top_logprobs": [entry] * alternatives}


def _usage(body: Body, choices: Sequence[Mapping[str, Any]], *, cached_tokens: int = 0) -> dict[str, Any]:
    messages = [choice["message"] for choice in choices]
    reasoning = sum(_words(message.get("reasoning_content") or message.get("reasoning")) for message in messages)
    prompt = sum(_words(_text_of(message.get("content"))) for message in body["messages"])
    output = reasoning + sum(_words(message.get("content")) for message in messages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _words(content: Any) -> int:
    return len(content.split()) if isinstance(content, str) else 0


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""


# Behaviours: failures


def failure(
    status: int,
    message: str = "The server had an error.",
    *,
    code: str | None = None,
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """A refusal in the service's form."""

    async def behave(_exchange: Exchange) -> web.Response:
        return error_response(status, message, code=code, type=type, param=param, headers=headers)

    return behave


def rate_limited(*, retry_after: str | None = None, retry_after_ms: str | None = None) -> Behaviour:
    """A 429, with the waits that are given as headers."""
    waits = {"Retry-After": retry_after, "retry-after-ms": retry_after_ms}
    headers = {name: value for name, value in waits.items() if value is not None}
    return failure(
        429, "Rate limit reached for requests.", code="rate_limit_exceeded", type="requests", headers=headers
    )


def unauthorized() -> Behaviour:
    """A 401 that echoes the key it was sent, as some servers do."""

    async def behave(exchange: Exchange) -> web.Response:
        bearer = exchange.request.headers.get("Authorization", "").removeprefix("Bearer ")
        return _key_refused(exchange.request.headers.get("api-key") or bearer)

    return behave


def out_of_quota() -> Behaviour:
    """The 429 that no waiting mends."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return failure(429, message, code="insufficient_quota", type="insufficient_quota")


def context_too_long() -> Behaviour:
    """The 400 of a prompt that does not fit."""
    message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    return failure(400, message, code="context_length_exceeded", param="messages")


def prompt_filtered() -> Behaviour:
    """Azure's 400 for a prompt that its filter stops."""
    message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    return failure(400, message, code="content_filter", param="prompt")


def hang() -> Behaviour:
    """No answer, for as long as the server runs."""

    async def behave(_exchange: Exchange) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("never set")

    return behave


def drop() -> Behaviour:
    """The connection is closed without an answer."""

    async def behave(exchange: Exchange) -> web.Response:
        assert exchange.request.transport is not None
        exchange.request.transport.close()
        return web.Response()

    return behave


def error_response(
    status: int,
    message: str,
    *,
    code: str | None = None,
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A refusal in the service's form."""
    kind = type or ("invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": param, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


def _key_refused(credential: str) -> web.Response:
    return error_response(401, f"Incorrect API key provided: {credential}.", code="invalid_api_key")


# In a process of its own


def main() -> None:
    parser = argparse.ArgumentParser(description="A strict stand-in for OpenAI's chat completions, on loopback.")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before anything is answered")
    latency = parser.parse_args().latency
    with openai_server(latency=latency) as server:
        print(server.url, flush=True)  # noqa: T201 - how the parent process learns the port
        threading.Event().wait()


if __name__ == "__main__":
    main()
