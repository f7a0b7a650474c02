"""The way to a server on one event loop: its connections, one request and its answer.

This module imports huggingface_hub; it is imported when a backend is first asked.
"""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
from huggingface_hub.utils import _http

from limbeck.backends import (
    body_sent,
    chat_usage,
    completion_in,
    decoded,
    guard,
    is_error_body,
    is_event_stream,
    quota_of,
    typed_cause,
)
from limbeck.errors import BadRequestError, TransientError, UnavailableError

from ._answers import text_of_events
from ._failures import failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from limbeck.types import Quota

    from ._route import Route

# httpcore2 looks at every connection of a pool when a request starts and when it ends. At 256 in flight one pool
# costs 1.2 ms of CPU a request, eight pools of 32 cost 0.7 (benchmarks/huggingface_transport.py).
_POOL_SIZE = 32
_LONGEST_SHOWN = 200  # characters of a body
_MOST_BYTES = 32 * 2**20  # of one response


class Pool:
    """Connections for as many requests in flight as `size`.

    `huggingface_hub` makes a client that stops at 100. Its factory can be set, but for the whole process, so the
    clients are made here; a factory that the user has set (for a proxy, for certificates) is kept to, limits and all.
    """

    def __init__(self, size: int, *, timeout: float, max_response_bytes: int = _MOST_BYTES, query: str = "") -> None:
        self._timeout = timeout
        if _http._GLOBAL_ASYNC_CLIENT_FACTORY is not _http.default_async_client_factory:  # noqa: SLF001 - no public way
            self._clients = [copy.copy(_http.get_async_session())]  # it may be one that the user has other uses for
        else:
            count = -(-size // _POOL_SIZE)
            self._clients = _clients(count, -(-size // count), timeout)
        for client in self._clients:
            guard(client, max_response_bytes=max_response_bytes, query=query)
        self._busy = [0] * len(self._clients)

    async def request(
        self, method: str, url: str, *, headers: dict[str, Any], content: bytes | None = None
    ) -> httpx2.Response:
        """Send one request, over the client with the fewest under way."""
        busy = self._busy
        place = busy.index(min(busy))
        busy[place] += 1
        try:
            return await self._clients[place].request(
                method, url, headers=headers, content=content, timeout=self._timeout
            )
        finally:
            busy[place] -= 1

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._clients:
            await client.aclose()


def _clients(count: int, connections: int, timeout: float) -> list[httpx2.AsyncClient]:
    verify = httpx2.create_ssl_context()  # tens of milliseconds, so made once
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    return [
        httpx2.AsyncClient(verify=verify, limits=limits, timeout=timeout, follow_redirects=True) for _ in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Server:
    """A server's description of itself.

    Attributes:
        max_total_tokens: tokens of a prompt and its answer together, on TGI; None on any other server.
    """

    max_total_tokens: int | None

    @property
    def is_tgi(self) -> bool:
        """True if the server is Text Generation Inference."""
        return self.max_total_tokens is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer.

    Attributes:
        body: its JSON value. quota: what is left of the caller's allowance.
        left_out: a word for what could not be read of it.
    """

    body: Any
    quota: Quota | None
    left_out: tuple[str, ...]


class Wire:
    """One backend's way to its server, on the event loop it was made on.

    Args:
        find_route: finds the route; it blocks.
        connections: requests in flight at most.
        timeout: seconds for a request.
        max_response_bytes: of one response. query: of every request's URL.
    """

    def __init__(
        self,
        find_route: Callable[[], Route],
        *,
        connections: int,
        timeout: float,
        max_response_bytes: int,
        query: str,
    ) -> None:
        self._find_route = find_route
        self._timeout = timeout
        self._pool = Pool(connections, timeout=timeout, max_response_bytes=max_response_bytes, query=query)
        self._lock = asyncio.Lock()
        self._route: Route | None = None
        self._server: Server | None = None

    async def route(self) -> Route:
        """Return the route of requests; the first caller finds it, while the others wait."""
        if self._route is None:
            async with self._lock:
                if self._route is None:
                    self._route = await asyncio.to_thread(self._find_route)
        return self._route

    async def server(self, route: Route) -> Server:
        """Return the server's description, from TGI's `/info`; it is asked for once."""
        if self._server is None:
            async with self._lock:
                if self._server is None:
                    self._server = await self._ask_server(route)
        return self._server

    async def _ask_server(self, route: Route) -> Server:
        headers = {"authorization": f"Bearer {route.key}", **route.headers}
        response = await self._send(
            route, "GET", f"{route.root}/info", {name: value for name, value in headers.items() if value is not None}
        )
        if response.status_code == 429 or response.status_code >= 500:
            raise _failure(route, response)
        info = decoded(response.content)
        limit = info.get("max_total_tokens") if isinstance(info, dict) else None
        return Server(max_total_tokens=limit if isinstance(limit, int) else None)

    async def post(self, route: Route, inputs: Any, parameters: dict[str, Any], **body: Any) -> Answer:
        """The answer.

        Args:
            route: what `route` gave.
            inputs: messages, or a prompt.
            parameters: as the SDK names them; its helper puts them into the provider's form.
            body: put into the request as it stands, whatever the helper makes of such a key.

        Raises:
            GenerationError: whatever kept the answer from coming.
        """
        url, headers, payload = route.prepare(inputs, parameters)
        return await self._posted(route, url, headers, {**payload, **body})

    async def post_to(self, route: Route, url: str, body: dict[str, Any]) -> Answer:
        """As `post`, for a body that the SDK has no helper for, and another address of the server."""
        headers = {"authorization": f"Bearer {route.key}", "content-type": "application/json", **route.headers}
        known = {name: value for name, value in headers.items() if value is not None}
        return await self._posted(route, url, known, body)

    async def fetch(self, route: Route, inputs: Any, parameters: dict[str, Any]) -> bytes:
        """As `post`, for an answer that is no JSON: the content of a file, by the way the SDK has to it."""
        request = route.request(inputs, parameters)
        assert isinstance(request.json, dict)  # of all helpers for texts
        response = await self._send(route, "POST", request.url, request.headers, _encoded(request.json))
        if response.status_code >= 300:
            raise _failure(route, response)
        return await asyncio.to_thread(route.content, response.content, request)  # some providers are asked again

    async def _posted(self, route: Route, url: str, headers: dict[str, Any], body: dict[str, Any]) -> Answer:
        response = await self._send(route, "POST", url, headers, _encoded(body))
        if response.status_code >= 300:
            raise _failure(route, response)
        return _answer(route, response)

    async def _send(
        self, route: Route, method: str, url: str, headers: dict[str, Any], content: bytes | None = None
    ) -> httpx2.Response:
        # `from None`: a cause could quote a header, and with it the key.
        try:
            return await self._pool.request(method, url, headers=headers, content=content)
        except httpx2.TimeoutException:
            raise TransientError(
                f"{route.subject} did not answer within {self._timeout:g} seconds; the field `timeout` sets them."
            ) from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as exc:
            raise BadRequestError(f"{route.subject} cannot be asked: {route.secrets.redact(str(exc))}") from None
        except httpx2.HTTPError as exc:
            if (typed := typed_cause(exc)) is not None:
                raise typed from None
            reason = route.secrets.redact(str(exc)) or type(exc).__name__
            raise UnavailableError(f"{route.subject} could not be reached: {reason}") from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


def _encoded(payload: dict[str, Any]) -> bytes:
    try:
        return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as exc:
        raise BadRequestError(f"The request cannot be written as JSON: {exc}") from exc


def _answer(route: Route, response: httpx2.Response) -> Answer:
    """The answer in a body, whole or as the events that nobody asked for."""
    chat = route.prompter is None
    left_out: list[str] = []
    if not chat and is_event_stream(response.content):
        answer = text_of_events(response.content, left_out)
    else:
        answer = completion_in(response.content, left_out=left_out)
    if isinstance(answer, str):
        start = route.secrets.redact(answer)[:_LONGEST_SHOWN]
        raise TransientError(f"{route.subject} sent an answer that is not JSON: {start!r}")
    if is_error_body(answer, answer="choices" if chat else "generated_text"):
        raise _failure(route, response, answer)
    return Answer(answer, quota_of(response.headers.raw), tuple(left_out))


def _failure(route: Route, response: httpx2.Response, answer: Any = None) -> Exception:
    """The error that a refusal means; `answer` is one that came with a status of success."""
    body = decoded(response.content) if answer is None else answer
    failed = failure(
        response.status_code,
        response.headers,
        body,
        subject=route.subject,
        secrets=route.secrets,
        sent=body_sent(response),
    )
    if isinstance(answer, dict):
        failed.usage = chat_usage(answer.get("usage"))
    return failed
