"""What no server may do to a client: fill the memory, or send a prompt on to another host.

Works on the clients of `httpx` and of `httpx2`, which the SDKs use, without importing either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ..errors import BadRequestError, GenerationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def guard(client: Any, *, max_response_bytes: int, query: str = "", streamed: Collection[str] = ()) -> Any:
    """The client, once its transports keep to these rules.

    - A response, unpacked, is `max_response_bytes` long at most; it is not read further. So a few kilobytes of gzip
      cannot fill the memory.
    - A redirect to another host is not followed.
    - `query` goes onto every request's URL below all that logs or shows a URL.

    What breaks a rule is a `BadRequestError`, which an SDK may wrap: `typed_cause` finds it.

    Args:
        client: an `AsyncClient` of `httpx` or `httpx2`.
        streamed: ends of paths whose responses are read piece by piece, and may be of any length.
    """

    def guarded(transport: Any) -> Any:
        return _Guarded(transport, limit=max_response_bytes, query=query.encode(), streamed=tuple(streamed))

    # A transport that is given to a client ends its reading of proxies from the environment.
    client._transport = guarded(client._transport)  # noqa: SLF001
    mounts = client._mounts.items()  # noqa: SLF001
    client._mounts = {pattern: transport and guarded(transport) for pattern, transport in mounts}  # noqa: SLF001
    return client


def typed_cause(exc: BaseException) -> GenerationError | None:
    """The typed error that an SDK's exception was raised from, or None."""
    seen: set[int] = set()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, GenerationError):
            return cause
        seen.add(id(cause))
        cause = cause.__cause__  # not the context: that may be an earlier failure, which a caller is handling
    return None


class _Guarded:
    """A transport of `httpx` under these rules."""

    def __init__(self, inner: Any, *, limit: int, query: bytes, streamed: tuple[str, ...]) -> None:
        self._inner = inner
        self._limit = limit
        self._query = query
        self._streamed = streamed

    async def handle_async_request(self, request: Any) -> Any:
        response = await self._sent(request)
        try:
            _refuse_another_host(request.url, response)
            if self._streamed and request.url.path.endswith(self._streamed):
                return response
            return self._bounded(request, response)
        except BaseException:
            await response.aclose()
            raise

    async def _sent(self, request: Any) -> Any:
        shown = request.url
        if self._query and self._query not in shown.query:
            request.url = shown.copy_with(query=b"&".join(filter(None, (shown.query, self._query))))
        try:
            return await self._inner.handle_async_request(request)
        finally:
            request.url = shown

    def _bounded(self, request: Any, response: Any) -> Any:
        host = request.url.netloc.decode("ascii")
        packed = response.headers.get("content-encoding", "identity") != "identity"
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length[:18]) > self._limit:
            raise _too_long(host, self._limit)
        if length.isdecimal() and not packed:
            return response  # a connection gives no more than was said
        headers = [
            line for line in response.headers.raw if line[0].lower() not in (b"content-encoding", b"content-length")
        ]
        return type(response)(
            response.status_code,
            headers=headers,
            stream=_bounded_stream(response, self._limit, host),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._inner.__aexit__(*exc_info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Pieces:
    """The unpacked bytes of a response, up to a limit."""

    def __init__(self, response: Any, limit: int, host: str) -> None:
        self._response = response
        self._limit = limit
        self._host = host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for piece in self._response.aiter_bytes():  # which unpacks in pieces of bounded size
            read += len(piece)
            if read > self._limit:
                raise _too_long(self._host, self._limit)
            yield piece

    async def aclose(self) -> None:
        await self._response.aclose()


def _bounded_stream(response: Any, limit: int, host: str) -> Any:
    """A stream of the class that the client's library wants, whichever it is."""
    base = next(cls for cls in type(response.stream).__mro__ if cls.__name__ == "AsyncByteStream")
    return type("BoundedStream", (_Pieces, base), {})(response, limit, host)


def _too_long(host: str, limit: int) -> BadRequestError:
    return BadRequestError(
        f"{host} sent a response of more than {limit:,} bytes, unpacked; it was not read further. "
        "The field `max_response_bytes` sets the bound."
    )


def _refuse_another_host(asked: Any, response: Any) -> None:
    location = response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location:
        return
    try:
        target = asked.join(location)
    except Exception as exc:  # whatever the library calls a URL that is none
        raise BadRequestError(f"{asked.host} redirects to something that is no URL.") from exc
    if _origin(target) == _origin(asked) or (target.host == asked.host and _is_upgrade(asked, target)):
        return
    raise BadRequestError(
        f"{asked.netloc.decode()} redirects to another host, {target.netloc.decode() or target.scheme}, and a prompt "
        "goes to no host but the one that was named. If that is the server, give its address as `base_url`."
    )


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS.get(url.scheme)


def _is_upgrade(asked: Any, target: Any) -> bool:
    return (asked.scheme, target.scheme) == ("http", "https") and not asked.port and not target.port
