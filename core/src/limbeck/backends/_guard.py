"""Guards against what a server must not do: fill the client's memory, send a prompt on to another host, show a secret.

Works on the clients of `httpx` and of `httpx2`, which the SDKs use, without importing either.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_plus

from ..errors import BadRequestError, GenerationError, TransientError
from ._addresses import ServerAddress
from ._packed import as_utf8, gunzipped, is_text, without_charset
from ._secrets import Secrets, hide_from_logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Hashable

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PLAIN = frozenset({"", "identity"})
_KNOWN_BY_ITS_BYTES = _PLAIN | {"gzip"}
_REFUSED = 300
_SHORTEST, _LONG = 4, 8
_OF_THE_WIRE = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


def guard(client: Any, *, max_response_bytes: int, query: str = "", streamed: Collection[str] = ()) -> Any:
    """The client, once its transports keep to these rules.

    - A response, unpacked, is `max_response_bytes` long at most; it is not read further. So a few kilobytes of gzip
      cannot fill the memory.
    - A body is unpacked by what it is, where its `content-encoding` says something else, and is in UTF-8.
    - A redirect to another host is not followed.
    - `query` goes onto every request's URL below all that logs or shows a URL. What of it is a secret comes back in no
      redirect, header, body or exception.

    What breaks a rule is a `BadRequestError`, which an SDK may wrap: `typed_cause` finds it.

    Args:
        client: an `AsyncClient` of `httpx` or `httpx2`.
        streamed: ends of paths whose responses are read piece by piece, and may be of any length.
    """
    rules = _Rules(max_response_bytes, query, tuple(streamed))
    # A transport that is given to a client ends its reading of proxies from the environment.
    client._transport = _Guarded(client._transport, rules)  # noqa: SLF001
    mounts = client._mounts.items()  # noqa: SLF001
    client._mounts = {pattern: transport and _Guarded(transport, rules) for pattern, transport in mounts}  # noqa: SLF001
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


def body_sent(response: Any) -> bytes | None:
    """The body of the request that a response answers; None where it was read as it was sent, as that of a file is."""
    first = response.history[0] if response.history else response  # a redirected request has it no more
    try:
        sent: bytes = first.request.content
    except RuntimeError:  # `RequestNotRead` of the client's library
        return None
    return sent


class _Rules:
    """The bound on a response, the query of every request, and what of it is a secret.

    Attributes:
        secrets: what no exception and no log may show.
    """

    def __init__(self, limit: int, query: str, streamed: tuple[str, ...]) -> None:
        address = ServerAddress("", query)
        self.limit = limit
        self.query = query
        self.streamed = streamed
        self.secrets = Secrets(*address.secrets)
        # What is taken out of bodies and headers is nothing but a secret; a short one may be a part of any text.
        short = [value for value in address.secrets if _SHORTEST <= len(value) < _LONG]
        self._in_bodies = Secrets(*address.certain_secrets)
        self._in_headers = Secrets(*address.certain_secrets, *short)
        self._parts = {unquote_plus(part) for part in query.split("&")}
        if self.secrets:
            hide_from_logs(self.secrets)

    def shown(self, response: Any, body: bytes) -> Any:
        """The response as the client sees it: with its body read, and without secrets."""
        content_type = response.headers.get("content-type", "")
        headers = [line for line in response.headers.raw if line[0].lower() not in _OF_THE_WIRE]
        extensions = response.extensions
        if not body.isascii():
            body = as_utf8(body, content_type)
            headers = [_in_utf8(name, value) for name, value in headers]
        if self.secrets:
            body = _without(self._in_bodies, body)
            headers, extensions = self._head(response, headers)
        stream = _stream_beside(response, body)
        return type(response)(response.status_code, headers=headers, stream=stream, extensions=extensions)

    def shown_as_it_streams(self, response: Any) -> Any:
        """The response as the client sees it, whose body is not read yet."""
        if self.secrets:
            headers, response.extensions = self._head(response, response.headers.raw)
            response.headers = type(response.headers)(headers)
        return response

    def _head(self, response: Any, headers: list[tuple[bytes, bytes]]) -> tuple[list[tuple[bytes, bytes]], Any]:
        """The headers, and the server's words for its status among the extensions, without secrets."""
        extensions = {
            name: _without(self.secrets, value) if isinstance(value, bytes) else value
            for name, value in response.extensions.items()
        }
        return [(name, self._header(response, name.lower(), value)) for name, value in headers], extensions

    def _header(self, response: Any, name: bytes, value: bytes) -> bytes:
        if name == b"content-type":
            return value
        if name != b"location":
            return _without(self._in_headers, value)
        location = self._without_query(value.decode("utf-8", "surrogateescape"))
        if response.status_code in _REDIRECTS and self._in_headers.hide(location) != location:
            raise BadRequestError(
                "The server redirects to a URL that repeats a secret of the query in another place, where logs would "
                "show it. Give the address that it leads to as `base_url`."
            )
        return _without(self._in_headers, location.encode("utf-8", "surrogateescape"))

    def query_beside(self, shown: bytes) -> bytes:
        """The query that is sent, where the client's URL has one too."""
        there = {unquote_plus(part) for part in shown.decode("latin-1").split("&")}
        more = [part.encode() for part in self.query.split("&") if unquote_plus(part) not in there]
        return b"&".join(filter(None, (shown, *more)))

    def _without_query(self, location: str) -> str:
        """Where a redirect leads, without what is added to every request anyway, however it is quoted."""
        place, mark, fragment = location.partition("#")
        path, _, query = place.partition("?")
        left = "&".join(part for part in query.split("&") if unquote_plus(part) not in self._parts)
        return f"{path}{'?' * bool(left)}{left}{mark}{fragment}"


class _Guarded:
    """A transport of `httpx` under these rules."""

    def __init__(self, inner: Any, rules: _Rules) -> None:
        self._inner = inner
        self._rules = rules

    async def handle_async_request(self, request: Any) -> Any:
        try:
            return await self._answer(request)
        except Exception as exc:  # whatever a transport raises
            if isinstance(exc, GenerationError) or not (self._rules.secrets and self._rules.secrets.show_in(exc)):
                raise
            plain = _told_without(self._rules.secrets, exc)
        # Outside of the handler, so that what shows a secret is not even the context.
        raise plain

    async def _answer(self, request: Any) -> Any:
        response = await self._inner.handle_async_request(self._with_query(request))
        try:
            _refuse_another_host(request.url, response)
            if request.url.path.endswith(self._rules.streamed):
                return self._rules.shown_as_it_streams(response)
            body = await _body(response, self._rules.limit, request.url.netloc.decode("ascii"))
        except BaseException:
            await response.aclose()
            raise
        await response.aclose()
        return self._rules.shown(response, body)

    def _with_query(self, request: Any) -> Any:
        """The request that is sent: another object, since logs and exceptions show the client's."""
        if not self._rules.query:
            return request
        sent: Any = object.__new__(type(request))  # neither its initializer nor a copy would keep the body
        vars(sent).update(vars(request))
        sent.url = request.url.copy_with(query=self._rules.query_beside(request.url.query))
        return sent

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._inner.__aexit__(*exc_info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def _body(response: Any, limit: int, host: str) -> bytes:
    """The body, unpacked by what it is.

    Raises:
        BadRequestError: it is longer than the limit. TransientError: it cannot be unpacked.
    """
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length[:18]) > limit:
        raise _too_long(host, limit)
    if response.is_stream_consumed:  # a transport of the user's own has read and unpacked it
        return bytes(response.content)
    body = b"".join([piece async for piece in _bounded(response.aiter_raw(), limit, host)])
    packing = response.headers.get("content-encoding", "").lower().replace("x-gzip", "gzip")
    if packing not in _KNOWN_BY_ITS_BYTES:
        body = await _unpacked(response, body, packing, limit, host)
    body = gunzipped(body, limit)
    if len(body) > limit:
        raise _too_long(host, limit)
    if packing not in _PLAIN and response.status_code < _REFUSED and not is_text(body):
        raise TransientError(f"{host} sent a response that cannot be unpacked; its `content-encoding` is {packing!r}.")
    return body


async def _unpacked(response: Any, body: bytes, packing: str, limit: int, host: str) -> bytes:
    """The bytes unpacked by the client's library; as they are where it cannot, for the header may not be true."""
    stream = _stream_beside(response, body)
    packed = type(response)(200, headers={"content-encoding": packing}, stream=stream)
    try:
        return b"".join([piece async for piece in _bounded(packed.aiter_bytes(), limit, host)])
    except BadRequestError:
        raise
    except Exception:  # noqa: BLE001 - whatever a library raises
        return body


async def _bounded(pieces: AsyncIterator[bytes], limit: int, host: str) -> AsyncIterator[bytes]:
    read = 0
    async for piece in pieces:
        read += len(piece)
        if read > limit:
            raise _too_long(host, limit)
        yield piece


def _in_utf8(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return (name, without_charset(value)) if name.lower() == b"content-type" else (name, value)


def _without(secrets: Secrets, value: bytes) -> bytes:
    text = value.decode("utf-8", "surrogateescape")
    hidden = secrets.hide(text)
    return value if hidden == text else hidden.encode("utf-8", "surrogateescape")


def _told_without(secrets: Secrets, exc: Exception) -> Exception:
    """An exception of the same class, if that can be, which shows no secret."""
    told = secrets.redact(str(exc))
    try:
        plain = type(exc)(told)
    except Exception:  # noqa: BLE001 - an exception's class may want anything
        return ConnectionError(told)
    return ConnectionError(told) if secrets.show_in(plain) else plain


def _stream_beside(response: Any, body: bytes) -> Any:
    kind: Any = type(response.stream)
    return _stream_class(kind)(body)


@lru_cache(maxsize=8)
def _stream_class(kind: Hashable) -> Callable[[bytes], Any]:
    """A stream of given bytes, of the class that the client's library wants, whichever that is."""
    assert isinstance(kind, type)
    base = next(cls for cls in kind.__mro__ if cls.__name__ == "AsyncByteStream")
    return type("WholeStream", (_Whole, base), {})


class _Whole:
    """A body that is read already."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._body:
            yield self._body

    async def aclose(self) -> None:
        """There is nothing to close."""


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
