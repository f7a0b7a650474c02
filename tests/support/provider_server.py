"""The frame of the loopback servers: one records requests, refuses bad ones, and answers the others as a test says.

A provider's server adds its routes, what it refuses, and its plain answer. Behaviours are consumed one a request
that is in order; after the last one every request gets the plain answer.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeAlias

from aiohttp import web

from .loopback import serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came, refused ones included.

    Attributes:
        query: as text. headers: names in lower case. body: the decoded JSON, or None where it was none.
        connection: the client's address. server: which was asked.
    """

    path: str
    query: str
    headers: Mapping[str, str]
    body: Any
    connection: Any
    server: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response.

    Attributes:
        body: bytes or a text as they are, anything else as JSON.
        drop: the connection is cut, in place of the response or in its middle.
    """

    body: Any = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: Literal["before", "halfway"] | None = None


Behaviour: TypeAlias = Any
"""A `Reply`, something that the server makes one of, or a function of `Asked` that gives the one or the other."""


class RefusedError(Exception):
    """Why a request is refused: a message, and the reply in the provider's form."""

    def __init__(self, message: str, reply: Reply) -> None:
        self.reply = reply
        super().__init__(message)


class ProviderServer:
    """What a test scripts and looks at.

    Attributes:
        routes: methods and paths that are answered; `extensions` add further ones. base: of the clients' URLs.
        root: `http://127.0.0.1:<port>`. requests: those to be answered, as they came. answers: given in full.
        in_flight, most_in_flight: requests being answered now, and at most so far.

    Args:
        api_key: the only key that is accepted; None accepts any.
        gather: no request is answered before this many are in flight at once; after that, every one is.
    """

    routes: ClassVar[Sequence[tuple[str, str]]] = (("*", "/{path:.*}"),)
    base: ClassVar[str] = ""
    largest_body: int = 64 * 2**20

    def __init__(self, *behaviours: Behaviour, api_key: str | None = None, gather: int = 1) -> None:
        self.root = ""
        self.requests: list[Asked] = []
        self.answers = self.in_flight = self.most_in_flight = 0
        self.extensions: list[Callable[[web.Application], object]] = []
        self.api_key = api_key
        self._behaviours: deque[Behaviour] = deque(behaviours)
        self._gather = gather
        self._gathered = asyncio.Event()

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return self.root + self.base

    @property
    def connections(self) -> int:
        """How many were opened for requests."""
        return len({asked.connection for asked in self.requests})

    def script(self, *behaviours: Behaviour) -> None:
        """Put behaviours behind those that are still waiting."""
        self._behaviours.extend(behaviours)

    # What a provider adds

    def check(self, asked: Asked) -> None:
        """Raise `RefusedError` for what the service would refuse."""

    def plain(self, asked: Asked) -> Behaviour:
        """What a request gets that no behaviour is left for."""
        raise NotImplementedError

    def reply_of(self, given: Any, _asked: Asked) -> Reply:
        """The reply that something else than a reply stands for."""
        raise TypeError(f"{given!r} is no behaviour")

    # What is the same everywhere

    def app(self) -> web.Application:
        """What `serving` serves."""
        app = web.Application(client_max_size=self.largest_body)
        for method, path in self.routes:
            app.router.add_route(method, path, self.handle)
        for extend in self.extensions:
            extend(app)
        return app

    @contextmanager
    def serve(self) -> Iterator[Self]:
        """Serve on a free port of loopback until the block ends."""
        with serving(self.app()) as self.root:
            yield self

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        asked = await self.read(request)
        self.requests.append(asked)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await send(await self._reply_to(asked), request)
        finally:
            self.in_flight -= 1

    async def read(self, request: web.Request) -> Asked:
        """A request, decoded."""
        try:
            body = json.loads(await request.read())
        except ValueError:
            body = None
        return Asked(
            path=request.path,
            query=request.query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            connection=request.transport and request.transport.get_extra_info("peername"),
            server=self,
        )

    async def _reply_to(self, asked: Asked) -> Reply:
        try:
            self.check(asked)
        except RefusedError as refused:
            return refused.reply
        await self._wait_for_company()
        given = self._behaviours.popleft() if self._behaviours else self.plain(asked)
        given = given(asked) if callable(given) else given
        given = await given if inspect.isawaitable(given) else given
        return given if isinstance(given, Reply) else self.reply_of(given, asked)

    async def _wait_for_company(self) -> None:
        if self.in_flight >= self._gather:
            self._gathered.set()
        await self._gathered.wait()


async def send(reply: Reply, request: web.Request) -> web.StreamResponse:
    """The response to a request."""
    if reply.drop is not None:
        return await _drop(request, halfway=reply.drop == "halfway")
    body = reply.body.encode() if isinstance(reply.body, str) else reply.body
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return web.Response(
        body=content, status=reply.status, headers={"content-type": reply.content_type, **reply.headers}
    )


async def _drop(request: web.Request, *, halfway: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
    if halfway:
        await response.prepare(request)
        await response.write(b'{"')
    assert request.transport is not None
    request.transport.abort()
    return response


async def hang(_asked: Asked) -> Reply:
    """No answer, for as long as the server runs."""
    await asyncio.Event().wait()
    raise AssertionError("never set")


def key_of(headers: Mapping[str, str], name: str) -> str:
    """The key that a request brings, in a header of its own or as a bearer's; empty where it brings none."""
    return headers.get(name) or headers.get("authorization", "").removeprefix("Bearer ")


def guarded(
    check: Callable[[web.Request], object], handler: Callable[[web.Request], Any]
) -> Callable[[web.Request], Any]:
    """A handler whose refusals, and those of a check before it, are replies."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            check(request)
            response: web.StreamResponse = await handler(request)
        except RefusedError as refused:
            return await send(refused.reply, request)
        return response

    return handle
