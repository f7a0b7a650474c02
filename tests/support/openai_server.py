"""A strict stand-in for OpenAI's chat completions (and Azure's), on loopback.

    with openai_server(rate_limited(retry_after="2"), answer("Madrid")) as server:
        ...                                 # point a client at `server.url`
    server.requests[0].body                 # what was sent
    server.answers                          # how many completions were given

A plain answer is deterministic: `echo: <the last user message>`, and ` #1`, ` #2` … behind it for the further
choices of an `n`; the smallest valid instance for a JSON Schema. Usage is counted in words of the texts. A body that
the real service would refuse gets a 400 that says why, whatever behaviour is next (and leaves it there):
`openai_rules`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from .json_instances import minimal_instance
from .openai_rules import complaint_about
from .provider_server import Asked, Behaviour, ProviderServer, RefusedError, Reply, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

Body: TypeAlias = dict[str, Any]
ReplyTo: TypeAlias = Callable[[Body], str]
"""From a request's body to the text of its first choice."""


class OpenAIServer(ProviderServer):
    """The running server; its `root` is also the `azure_endpoint`.

    Args:
        behaviours: for the first requests, one each. reply: the text of a plain answer, from the request's body.
        api_key, gather: as for every provider.
    """

    routes = (
        ("POST", "/v1/chat/completions"),
        ("POST", "/openai/deployments/{deployment}/chat/completions"),
    )
    base = "/v1"

    def __init__(self, *behaviours: Behaviour, reply: ReplyTo | None = None, **frame: Any) -> None:
        super().__init__(*behaviours, **frame)
        self.reply = reply or echo

    def check(self, asked: Asked) -> None:
        azure = asked.path.startswith("/openai/")
        if azure and "api-version=" not in asked.query:
            raise refusal(404, "Resource not found", code="404")
        self.check_key(asked.headers, "api-key" if azure else "authorization")
        complaint = complaint_about(asked.body)
        if complaint is not None:
            raise refusal(400, complaint.message, code=complaint.code, param=complaint.param)

    def check_key(self, headers: Mapping[str, str], name: str = "authorization") -> None:
        """Refuse a request without a key, or with another than the one that is accepted."""
        key = key_of(headers, name).removeprefix("Bearer ")
        if not key or key != (self.api_key or key):
            raise RefusedError("another key", _key_refused(key))

    def plain(self, asked: Asked) -> Behaviour:
        return answer()(asked)

    def completion(self, body: Body, choices: Sequence[Mapping[str, Any]], **usage_details: int) -> dict[str, Any]:
        """A completion of `choices`, counted as an answer."""
        self.answers += 1
        return {
            "id": f"chatcmpl-{self.answers}",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": f"{body['model']}-2026-01-01",
            "choices": list(choices),
            "usage": _usage(body, choices, **usage_details),
        }


def openai_server(*behaviours: Behaviour, **options: Any) -> AbstractContextManager[OpenAIServer]:
    """Serve until the block ends; the arguments are `OpenAIServer`'s."""
    return OpenAIServer(*behaviours, **options).serve()


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
) -> Callable[[Asked], Reply]:
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

    def behave(asked: Asked) -> Reply:
        contents = texts or _contents(asked, ignore_schema=ignore_schema)
        given = [
            {
                "index": index,
                "message": {"role": "assistant", "content": content, "refusal": None, **message},
                "logprobs": _logprobs(content, asked.body),
                "finish_reason": finish_reason,
            }
            for index, content in enumerate(contents[:choices])
        ]
        completion = asked.server.completion(asked.body, given, cached_tokens=cached_tokens)
        return Reply(body=completion, headers=headers or {})

    return behave


def _contents(asked: Asked, *, ignore_schema: bool) -> tuple[str | None, ...]:
    wanted = asked.body.get("response_format") or {}
    if wanted.get("type") == "json_schema" and not ignore_schema:
        first = json.dumps(minimal_instance(wanted["json_schema"]["schema"]))
        return (first,) * (asked.body.get("n") or 1)
    first = asked.server.reply(asked.body)
    return (first, *(f"{first} #{index}" for index in range(1, asked.body.get("n") or 1)))


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
) -> Reply:
    """A refusal in the service's form."""
    kind = type or ("invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Reply(status=status, body={"error": error}, headers=headers or {})


def refusal(status: int, message: str, **form: Any) -> RefusedError:
    """The same, to raise."""
    return RefusedError(message, failure(status, message, **form))


def unauthorized(asked: Asked) -> Reply:
    """A 401 that echoes the key it was sent, as some servers do."""
    return _key_refused(key_of(asked.headers, "api-key"))


def context_too_long() -> Reply:
    """The 400 of a prompt that does not fit."""
    message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    return failure(400, message, code="context_length_exceeded", param="messages")


def _key_refused(key: str) -> Reply:
    return failure(401, f"Incorrect API key provided: {key}.", code="invalid_api_key")
