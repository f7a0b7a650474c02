"""Anthropic's Messages API, and servers that speak it, as a backend."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from pydantic import Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import LLM
from limbeck.backends import (
    ClientPerLoop,
    Secrets,
    ServerAddress,
    body_sent,
    check_environment,
    decoded,
    find_key,
    import_sdk,
    is_error_body,
    is_event_stream,
    quota_of,
    typed_cause,
)
from limbeck.errors import (
    BadRequestError,
    ConfigurationError,
    GenerationError,
    MissingCredentialError,
    TransientError,
    UnavailableError,
)
from limbeck.types import BatchLimits, Capabilities

from ._answer import message_of_events, model_in, response_of, usage_in
from ._connections import REQUIREMENT, open_http_client
from ._failures import failure_of, refusal_of, tokenless_failure
from ._messages import batch_entry, wire_chat, with_instruction
from ._parameters import check_parameters, wire_parameters
from ._schema import instruction, output_format
from ._secrets import secrets_of
from ._tools import with_wire_tools

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence

    import httpx2
    from anthropic import APIError, AsyncAnthropic, RequestOptions

    from limbeck.types import BatchIntent, BatchSearch, BatchStatus, GenerationRequest, GenerationResponse

    from ._batches import Batches

T = TypeVar("T")

_DEFAULT_BASE_URL = "https://api.anthropic.com"
_CONNECT_SECONDS = 30.0
_ACCOUNT = ("ANTHROPIC_ORGANIZATION_ID", "ANTHROPIC_WORKSPACE_ID")  # which the SDK sends with a federated identity
_CUSTOM_HEADERS = "ANTHROPIC_CUSTOM_HEADERS"  # the variable that the SDK's clients read

# The SDK's own rule: a whole answer may take ten minutes, at 128,000 tokens an hour.
_WHOLE_ANSWER_SECONDS = 600.0
_WHOLE_ANSWER_TOKENS = 21_333


class AnthropicLLM(LLM):
    """Claude models, through the `anthropic` SDK.

    Without `api_key` the SDK finds the credentials: `ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN`,
    a profile. Sampling parameters go into `generation_kwargs`, under the names of the SDK's
    `messages.create`; tools are in Anthropic's form, messages and tool calls in OpenAI's. Models that take the
    beginning of an answer go on with a last message of the assistant; others, the newest among them, refuse it.

    Attributes:
        model: the model's name, such as "claude-sonnet-5".
        base_url: where the server is, without `/v1`; else `ANTHROPIC_BASE_URL`, else Anthropic's.
        api_key: the key; it is never shown, logged or saved.
        max_tokens: tokens of an answer at most, thinking included. The API demands a maximum; the default is
            the largest that all current models take. `max_tokens` in `generation_kwargs` wins over it.
        stream: whether answers travel as a stream, which keeps a connection busy through a long answer and
            costs more CPU. None: only where an answer may need more than ten minutes, that is with a `timeout`
            above 600 and more than 21,333 `max_tokens`.
        url_query: the query of every request's URL, as in `"tenant=a&token=…"`; what stands behind the `?` of
            `base_url` is put here. It is kept as a key is: neither shown nor stored.
        max_response_bytes: bytes of one response at most, unpacked; a longer one fails its row.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        native_json_schema=True, tools=True, vision=True, batches=True, documents=True, prefill=True
    )
    batch_limits: ClassVar[BatchLimits] = BatchLimits(requests=100_000, bytes=250_000_000, price_share=0.5)
    transport_fields: ClassVar[frozenset[str]] = frozenset({"stream", "max_response_bytes"})

    model: str = Field(min_length=1)
    base_url: str | None = None
    api_key: SecretStr | None = None
    max_tokens: PositiveInt = 64_000
    stream: bool | None = None
    url_query: SecretStr | None = None
    max_response_bytes: PositiveInt = 32 * 2**20

    _clients: ClientPerLoop[_Connection] = PrivateAttr(default_factory=ClientPerLoop)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        if "max_tokens" in self.generation_kwargs and "max_tokens" in self.model_fields_set:
            raise ConfigurationError(
                f"`{type(self).__name__}` has `max_tokens` twice, as the field and in `generation_kwargs`. Keep one."
            )
        if self.base_url is not None:
            address = _checked_address(self.base_url, "base_url")
            self.base_url = address.url
            if address.query:
                self.url_query = address.query_beside(self.url_query, name="`base_url`")

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def identity(self) -> dict[str, Any]:
        """The identity that every LLM has, with the base URL that is in effect."""
        address = self._address()
        return {**super().identity, "base_url": address.url, **address.identity}

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` for what the installed SDK's `messages.create` does not take or a field sets."""
        self._require_sdk()
        check_parameters(generation_kwargs, owner=type(self).__name__)

    def load(self) -> None:
        """Check that the SDK is installed and finds credentials. No network.

        Raises:
            MissingDependencyError: the SDK, or aiohttp, is not installed.
            MissingCredentialError: there is no key, token or profile.
            ConfigurationError: an environment variable for proxies, certificates or headers cannot be used.
        """
        self._new_client()

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        """Send one request; the answer holds one generation, whatever `num_generations` says."""
        body, options = self._wire(request)
        client = await self._client_here()
        return self._read(await self._send(client, body, options), client)

    # Batches (https://platform.claude.com/docs/en/build-with-claude/batch-processing)

    def encode_batch_entry(self, custom_id: str, request: GenerationRequest) -> bytes:
        """One request as an entry of a Message Batch."""
        body, options = self._wire(request, whole=True)
        return batch_entry(custom_id, {**body, **cast("dict[str, Any]", options.get("extra_json") or {})})

    async def submit_batch(self, entries: Sequence[bytes], intent: BatchIntent) -> str:
        """Submit a Message Batch; its entries' custom ids are what it can be found by."""
        return await (await self._batches()).submit(entries, intent)

    async def find_batch(self, intent: BatchIntent) -> BatchSearch:
        """Look through the batches of the time for one of the same size whose results have the intent's custom ids."""
        return await (await self._batches()).find(intent)

    async def poll_batch(self, id: str) -> BatchStatus:
        """Return the state of the batch."""
        return await (await self._batches()).poll(id)

    async def fetch_batch(self, id: str) -> AsyncGenerator[tuple[str, GenerationResponse | GenerationError]]:
        """The lines of the results, as they arrive."""
        async with aclosing((await self._batches()).fetch(id)) as results:
            async for custom_id, result in results:
                yield custom_id, result

    async def cancel_batch(self, id: str) -> None:
        """Ask for an early end."""
        await (await self._batches()).cancel(id)

    async def _batches(self) -> Batches:
        from ._batches import Batches

        _, options = wire_parameters(self.generation_kwargs)
        client = await self._client_here()
        return Batches(client, partial(self._guarded, client), options, model=self.model, longest_wait=self.deadline)

    async def aclose(self) -> None:
        """Close the running event loop's client; a later request makes a new one."""
        await self._clients.aclose()

    # The client

    def _require_sdk(self) -> None:
        import_sdk("anthropic", defines="AsyncAnthropic", needed_by=type(self).__name__, requirement=REQUIREMENT)

    async def _client_here(self) -> AsyncAnthropic:
        connection = await self._clients.get(lambda: _Connection(self._new_client()))
        return connection.client

    def _new_client(self) -> AsyncAnthropic:
        self._require_sdk()
        import anthropic

        check_environment(self.base_url or self._environment().url or _DEFAULT_BASE_URL, headers=_CUSTOM_HEADERS)
        timeout = anthropic.Timeout(self.timeout, connect=min(self.timeout, _CONNECT_SECONDS))
        http_client = open_http_client(
            max_connections=self.max_concurrency,
            timeout=timeout,
            needed_by=type(self).__name__,
            max_response_bytes=self.max_response_bytes,
            query=self._query(),
        )
        key = find_key(self.api_key.get_secret_value() if self.api_key else None, "ANTHROPIC_API_KEY")
        token = None if key else find_key(None, "ANTHROPIC_AUTH_TOKEN")
        for variable in _ACCOUNT:
            find_key(None, variable)
        missing = MissingCredentialError(needed_by=type(self).__name__, variable="ANTHROPIC_API_KEY")
        try:
            client = anthropic.AsyncAnthropic(
                api_key=key,
                auth_token=token,
                base_url=self.base_url or self._environment().url or None,
                max_retries=0,
                timeout=timeout,
                http_client=http_client,
            )
        except anthropic.CredentialsError as exc:
            raise missing from exc
        if not (client.api_key or client.auth_token or client.credentials):
            raise missing
        _checked_address(str(client.base_url), "ANTHROPIC_BASE_URL")
        return client

    def _environment(self) -> ServerAddress:
        """The server that the environment names; an empty address where it names none."""
        url = os.environ.get("ANTHROPIC_BASE_URL", "").strip()
        return _checked_address(url, "ANTHROPIC_BASE_URL") if url else ServerAddress("")

    def _query(self) -> str:
        """The query in effect: the one that was given, else that of the address in effect."""
        return (ServerAddress("") if self.base_url else self._environment()).with_query(self.url_query).query

    def _address(self) -> ServerAddress:
        return ServerAddress(self.base_url or self._environment().url or self._found_url(), self._query())

    def _found_url(self) -> str:
        """The server, where neither a field nor the environment names one."""
        if self.api_key or os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
            return _DEFAULT_BASE_URL
        try:
            return str(self._new_client().base_url).rstrip("/")  # a profile may name a server
        except ConfigurationError:
            return _DEFAULT_BASE_URL

    # One request

    def _wire(self, request: GenerationRequest, *, whole: bool = False) -> tuple[dict[str, Any], RequestOptions]:
        """The request's body, as the API takes it, and the SDK's options for it. A `whole` answer is never a stream."""
        parameters, options = wire_parameters(with_wire_tools({**self.generation_kwargs, **request.parameters}))
        system, messages = wire_chat(request.messages)
        body = {"model": self.model, "max_tokens": self.max_tokens, "messages": messages, **parameters}
        if request.output_schema is not None:
            constraint = output_format(request.output_schema)
            if constraint is None:
                system = with_instruction(system, instruction(request.output_schema))
            else:
                body["output_config"] = {**(body.get("output_config") or {}), "format": constraint}
        if system:
            body["system"] = system
        if not whole and self._streams(body["max_tokens"]):
            body["stream"] = True
        return body, options

    def _streams(self, max_tokens: int) -> bool:
        if self.stream is not None:
            return self.stream
        return self.timeout > _WHOLE_ANSWER_SECONDS and max_tokens > _WHOLE_ANSWER_TOKENS

    async def _send(self, client: AsyncAnthropic, body: dict[str, Any], options: RequestOptions) -> httpx2.Response:
        """Send through the SDK and read to the end.

        `post` keeps the SDK's credentials, headers and typed errors; it leaves out the building of the
        response's models, a third of the SDK's CPU time. A stream too is read whole and then put together:
        the SDK's event objects cost several times as much.
        """
        import httpx2

        call = client.post("/v1/messages", cast_to=httpx2.Response, body=body, options=options)
        return await self._guarded(client, call)

    async def _guarded(self, client: AsyncAnthropic, call: Awaitable[T], missing: str | None = None) -> T:
        """The result of a call to the SDK, or its failure in the types of `limbeck.errors`.

        `missing` says what a 404 means, where that is not the model.
        """
        import anthropic
        import httpx2

        failure: GenerationError
        cause: Exception | None = None
        try:
            async with asyncio.timeout(self.timeout):
                return await call
        except TimeoutError:
            failure = self._timed_out(client)
        except GenerationError:
            raise
        except anthropic.APIError as exc:
            secrets = self._secrets(exc.request.headers)
            failure = self._failure(exc, client, secrets)
            if missing is not None and isinstance(exc, anthropic.NotFoundError):
                failure = BadRequestError(f"{_server(client)} answered 404: {missing}")
            cause = None if secrets.show_in(exc) else exc
        except httpx2.HTTPError as exc:  # of a body that is read as it arrives the SDK maps nothing
            message = f"The connection to {_server(client)} failed: {self._secrets({}).redact(str(exc))}"
            away = not isinstance(exc, httpx2.TimeoutException)
            failure = typed_cause(exc) or (UnavailableError if away else TransientError)(message)
            cause = exc
        except anthropic.AnthropicError as exc:  # besides the API's, only what gets a token raises
            failure = tokenless_failure(str(exc), status=getattr(exc, "status_code", None), cause=exc.__cause__)
        # Out here, so that an exception whose text shows a key is not even the context.
        raise failure from cause

    def _failure(self, exc: APIError, client: AsyncAnthropic, secrets: Secrets) -> GenerationError:
        import anthropic
        import httpx2

        server = _server(client)
        if (typed := typed_cause(exc)) is not None:
            return typed
        if isinstance(exc, anthropic.APIStatusError):
            sent = body_sent(exc.response)
            refusal = refusal_of(exc.status_code, exc.body, exc.response.headers, redact=secrets.redact, sent=sent)
            return failure_of(refusal, server=server, model=self.model)
        if isinstance(exc.__cause__, httpx2.ConnectTimeout):
            return UnavailableError(
                f"{server} accepted no connection within {min(self.timeout, _CONNECT_SECONDS):g} s."
            )
        if isinstance(exc, anthropic.APITimeoutError):
            return self._timed_out(client)
        reason = secrets.redact(str(exc.__cause__ or exc)) or type(exc.__cause__ or exc).__name__
        return UnavailableError(f"The connection to {server} failed: {reason}")

    def _secrets(self, headers: Mapping[str, str]) -> Secrets:
        return secrets_of(headers, self._address().secrets)

    def _timed_out(self, client: AsyncAnthropic) -> TransientError:
        return TransientError(
            f"{_server(client)} gave no whole answer in {self.timeout:g} s, the `timeout` of `{type(self).__name__}`."
        )

    def _read(self, response: httpx2.Response, client: AsyncAnthropic) -> GenerationResponse:
        left_out: list[str] = []
        try:
            message = _message(response, left_out)
            if message.get("type") != "error" and not is_error_body(message, answer="content"):
                return replace(response_of(message, quota=quota_of(response.headers)), left_out=tuple(left_out))
        except (ValueError, LookupError, TypeError, AttributeError):
            message = {}
        redact = self._secrets(response.request.headers).redact
        if message:
            refusal = refusal_of(200, message, response.headers, redact=redact, sent=body_sent(response))
            failure = failure_of(refusal, server=_server(client), model=self.model)
            failure.usage, failure.model = usage_in(message), model_in(message)
            raise failure
        start = redact(response.text[:2000])[:200]
        raise TransientError(
            f"{_server(client)} answered 200 with something that is no message of the Messages API: {start!r}"
        )


class _Connection:
    """The SDK's client, closed by the name that the kit knows."""

    def __init__(self, client: AsyncAnthropic) -> None:
        self.client = client

    async def aclose(self) -> None:
        await self.client.close()


def _message(response: httpx2.Response, left_out: list[str]) -> dict[str, Any]:
    # By what came, not by what was asked for: a gateway may do either.
    if is_event_stream(response.content):
        return message_of_events(response.content, left_out=left_out)
    message = decoded(response.content)
    if isinstance(message, list) and is_error_body(message, answer="content"):
        message = message[0]
    if not isinstance(message, dict):
        raise TypeError
    return message


def _server(client: AsyncAnthropic) -> str:
    return str(client.base_url).rstrip("/")


def _checked_address(url: str, name: str) -> ServerAddress:
    return ServerAddress.of(url, name=f"`{name}`", example=_DEFAULT_BASE_URL)
