"""The wire: the SDK's client, and what goes wrong on it. Imports the SDK, so it is itself imported at first use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import httpx2
import openai

from limbeck.backends import (
    Secrets,
    ServerAddress,
    body_sent,
    chat_usage,
    completion_in,
    decoded,
    guard,
    is_error_body,
    quota_of,
    read_refusal,
    typed_cause,
)
from limbeck.errors import BadRequestError, GenerationError, TransientError, UnavailableError

from ._failures import failure_of
from ._response import model_in, read_completion

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from limbeck.types import GenerationResponse, Quota

    from ._request import ChatQuery

_SECONDS_TO_CONNECT = 30.0
_LONGEST_BODY_SHOWN = 200
# A message can hold the whole prompt (the validation errors of FastAPI servers do).
_LONGEST_MESSAGE = 500

# What the SDK's aiohttp transport lets through unmapped beside the SDK's own errors; `OSError` holds `TimeoutError`.
_FAILURES = (
    *(openai.OpenAIError, aiohttp.ClientError, httpx2.TransportError, httpx2.DecodingError),
    *(OSError, TypeError, ValueError),
)

T = TypeVar("T")


def http_client(
    address: ServerAddress, *, connections: int, timeout: float, max_response_bytes: int
) -> httpx2.AsyncClient:
    """The SDK's aiohttp client: half the CPU of its default one; with a pool of `connections`, all kept alive."""
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    client = openai.DefaultAioHttpClient(limits=limits, timeout=timeouts(timeout))
    # The results of batches are read line by line, from `files/…/content`.
    guard(client, max_response_bytes=max_response_bytes, query=address.query, streamed=["/content"])
    return client


def timeouts(timeout: float) -> httpx2.Timeout:
    """`timeout` seconds for the answer; less to connect, so that an unreachable host is found out."""
    return httpx2.Timeout(timeout, connect=min(timeout, _SECONDS_TO_CONNECT))


class Chat:
    """The chat completions of one client.

    Args:
        client: the SDK's client; this object closes it.
        server: what to call the server in messages.
        secrets: what no message may show: the keys.
    """

    def __init__(self, client: openai.AsyncOpenAI, *, server: str, secrets: Sequence[str]) -> None:
        self._client = client
        self._server = server
        self._secrets = Secrets(*secrets)

    async def aclose(self) -> None:
        await self._client.close()

    async def complete(self, query: ChatQuery) -> GenerationResponse:
        """Send one request, once.

        Raises:
            GenerationError: one of the types of `limbeck.errors`, without the key in it or in its cause.
        """
        response = await self.post(query.path, query.body, query.options)
        left_out: list[str] = []
        payload = completion_in(response.content, left_out=left_out)
        answer = self.read(
            payload, asked=query.asked, model=query.model, headers=response.headers, sent=body_sent(response)
        )
        return replace(answer, left_out=tuple(left_out)) if left_out else answer

    async def guarded(self, call: Awaitable[T], *, model: str, missing: str | None = None) -> T:
        """The result of a call to the SDK, or its failure in the types of `limbeck.errors`.

        `missing` says what a 404 means, where that is not the model.
        """
        try:
            return await call
        except _FAILURES as exc:
            failure, cause = self.failure(exc, model=model, missing=missing), exc
        # Outside of the handler, so that a cause left out for what it shows is not the context either.
        raise failure from (None if self._secrets.show_in(cause) else cause)

    @property
    def client(self) -> openai.AsyncOpenAI:
        """The SDK's, with its retries off."""
        return self._client

    @property
    def server(self) -> str:
        """The server's name in messages."""
        return self._server

    def redacted(self, text: str) -> str:
        """`text` without keys, and not too long for a message."""
        # Shortened last: a secret that is cut in two would not be found.
        return self._secrets.redact(text)[:_LONGEST_MESSAGE]

    async def post(self, path: str, body: dict[str, Any], options: dict[str, Any]) -> httpx2.Response:
        """Post a body, once.

        Raises:
            GenerationError: as `complete`.
        """
        return await self.guarded(self._post(path, body, options), model=str(body.get("model")))

    async def ask(
        self, path: str, body: dict[str, Any], options: dict[str, Any], *, answer: str
    ) -> tuple[dict[str, Any], Quota | None]:
        """Post a body, once; the decoded body of the answer, which has the key `answer`, and what is left to ask.

        Raises:
            GenerationError: as `complete`.
        """
        response = await self.post(path, body, options)
        payload, model = decoded(response.content), str(body.get("model"))
        if is_error_body(payload, answer=answer):
            raise self.refused(200, payload, model=model, headers=response.headers)
        if not isinstance(payload, dict) or not isinstance(payload.get(answer), list):
            shown = self._secrets.redact(str(payload))[:_LONGEST_BODY_SHOWN]
            raise TransientError(f"{self._server} answered with something that has no `{answer}`: {shown!r}")
        return payload, quota_of(response.headers.raw)

    async def _post(self, path: str, body: dict[str, Any], options: dict[str, Any]) -> httpx2.Response:
        # `post` with the raw response is the SDK's documented way around its typed methods: it
        # keeps authentication, Azure's paths and typed errors, and skips building a pydantic
        # model of the answer, half the cost of a call (`python -m benchmarks.openai_transport`).
        all_options: Any = {"security": {"bearer_auth": True}, **options}
        return await self._client.post(path, cast_to=httpx2.Response, body=body, options=all_options)

    def read(
        self, payload: Any, *, asked: int, model: str, headers: httpx2.Headers | None = None, sent: Any = None
    ) -> GenerationResponse:
        """Read the decoded body of a completion; `sent` is the request's body, where that is known."""
        if isinstance(payload, str):
            shown = self._secrets.redact(payload)[:_LONGEST_BODY_SHOWN]
            raise TransientError(f"{self._server} answered with something that is not a completion: {shown!r}")
        if is_error_body(payload, answer="choices"):  # gateways that have sent their 200 before they fail
            failure = self.refused(200, payload, model=model, headers=headers, sent=sent)
            if isinstance(payload, dict):
                failure.usage, failure.model = chat_usage(payload.get("usage")), model_in(payload)
            raise failure
        quota = quota_of(headers.raw) if headers is not None else None
        return read_completion(payload, asked=asked, server=self._server, quota=quota, asked_model=model)

    def failure(self, exc: Exception, *, model: str, missing: str | None = None) -> GenerationError:
        """The error that an exception of the SDK, or of a library below it, means."""
        if (typed := typed_cause(exc)) is not None:
            return typed
        if isinstance(exc, openai.NotFoundError) and missing is not None:
            return BadRequestError(f"{self._server} answered 404: {missing}")
        if isinstance(exc, openai.APIStatusError):
            answer = exc.response
            body, sent = decoded(answer.content), body_sent(answer)
            return self.refused(exc.status_code, body, model=model, headers=answer.headers, sent=sent)
        cause = _innermost(exc)
        reason = self._secrets.redact(f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__)
        if isinstance(exc, (openai.APIConnectionError, aiohttp.ClientError, httpx2.TransportError, OSError)):
            late = isinstance(cause, (TimeoutError, httpx2.TimeoutException))
            error = TransientError if late else UnavailableError
            return error(f"No answer from {self._server}: {reason}")
        return BadRequestError(f"The request to {self._server} could not be written: {reason}")

    def refused(
        self, status: int, body: Any, *, model: str, headers: httpx2.Headers | None = None, sent: Any = None
    ) -> GenerationError:
        """The error that a refusal means: of a request, or of the entry of a batch, which has no headers."""
        refusal = read_refusal(status, body, headers or {}, sent=sent)
        shown = replace(refusal, message=self.redacted(refusal.message))
        failure = failure_of(shown, headers or {}, server=self._server, model=model)
        failure.quota = quota_of(headers.raw) if headers is not None else None
        return failure


def _innermost(exc: BaseException) -> BaseException:
    # Not the SDK's own, which is a time-out for a refused connection too.
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return exc
