"""The HTTP client under the SDK: aiohttp, its pool as wide as the window, idle connections probed."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from limbeck.backends import guard
from limbeck.errors import MissingDependencyError

if TYPE_CHECKING:
    import httpx2

REQUIREMENT = "limbeck-anthropic"

# Probes of a connection on which nothing moves: the intervals of the SDK's default transport.
_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}


def open_http_client(
    *, max_connections: int, timeout: httpx2.Timeout, needed_by: str, max_response_bytes: int, query: str
) -> httpx2.AsyncClient:
    """The SDK's aiohttp client. It opens no connection before the first request.

    The SDK keeps 100 connections alive at most by default: a wider window would open and close
    one for most of its requests.

    Raises:
        MissingDependencyError: aiohttp is not installed.
    """
    import anthropic
    import httpx2

    limits = httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
    try:
        client = anthropic.DefaultAioHttpClient(limits=limits, timeout=timeout)
    except RuntimeError as exc:
        raise MissingDependencyError("aiohttp", needed_by=needed_by, requirement=REQUIREMENT) from exc
    _probe_idle_connections(client, limits)
    # The results of batches are read line by line.
    guard(client, max_response_bytes=max_response_bytes, query=query, streamed=["/results"])
    return client


def _probe_idle_connections(client: httpx2.AsyncClient, limits: httpx2.Limits) -> None:
    """Switch TCP keep-alive on.

    A whole answer is minutes of silence on its connection, and gateways forget one that is silent for
    four to six. The SDK's default transport probes, its aiohttp transport does not and has no option for
    it, but takes the session to use as an attribute. An SDK without that attribute works without probes.
    """
    transport: Any = getattr(client, "_transport", None)
    if not hasattr(transport, "client") or not hasattr(transport, "ssl_context"):
        return
    import aiohttp

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limits.max_connections or 0,
            keepalive_timeout=limits.keepalive_expiry,
            ssl=transport.ssl_context,
            socket_factory=_probed_socket,
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    transport.client = session


def _probed_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, *_ = address
    probed = socket.socket(family=family, type=kind, proto=protocol)
    probed.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if hasattr(socket, name):  # not every system has all
            probed.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return probed
