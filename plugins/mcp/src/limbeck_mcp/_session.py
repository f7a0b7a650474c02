"""One session with a server: held open by a task of its own, because its parts must be left where they were entered."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import httpx2
from mcp import Client, MCPError
from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST, REQUEST_TIMEOUT

from limbeck.backends import Secrets
from limbeck.errors import ToolError, described

from ._transports import OverHttp, OverStdio

if TYPE_CHECKING:
    from mcp.types import CallToolResult, Tool

    from .server import McpServer

_MOST_PAGES = 100
_CLOSING_SECONDS = 10.0


class LostError(Exception):
    """The server ended during a call.

    Attributes:
        repeatable: whether the call was not carried out, or does no harm when it is made again.
    """

    def __init__(self, why: str, *, repeatable: bool) -> None:
        self.repeatable = repeatable
        super().__init__(why)

    def told(self, server: str, tool: str) -> str:
        """The message for whoever called."""
        known = "" if self.repeatable else " Whether the call was carried out is not known, so it is not repeated."
        return f"The MCP server `{server}` ended during a call of its tool `{tool}`{self}.{known}"


class Session:
    """An open session.

    Attributes:
        tools: the server's, by name.
    """

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._secrets = Secrets(
            *(value.get_secret_value() for value in [*server.env.values(), *server.headers.values()]),
            *([server.url_query.get_secret_value()] if server.url_query else ()),
        )
        self._transport = OverHttp(server) if server.url is not None else OverStdio(server)
        self._closing = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._failure: BaseException | None = None
        self._task = asyncio.get_running_loop().create_task(self._hold())
        self.tools: dict[str, Tool] = {}

    @classmethod
    async def open(cls, server: McpServer) -> Self:
        """Start the server, or connect to it, and ask for its tools.

        Raises:
            ToolError: it cannot be reached, or is none.
        """
        session = cls(server)
        try:
            async with asyncio.timeout(server.connect_timeout):
                session.tools = await session._listed(await asyncio.shield(session._ready))
        except TimeoutError:
            await session.close()
            raise ToolError(
                f"The MCP server `{server.name}` did not answer within {server.connect_timeout:g} s, its "
                f"`connect_timeout`{session._transport.last_words()}."
            ) from None
        except BaseException as exc:
            closed = session._ready.cancelled()  # by whoever closed the server, not by whoever calls
            await session.close()
            if closed:
                raise ToolError(f"The MCP server `{server.name}` was closed before it was opened.") from exc
            if isinstance(exc, asyncio.CancelledError):
                raise
            raise session._unreachable(exc) from exc
        return session

    async def _hold(self) -> None:
        try:
            async with Client(self._transport) as client:
                self._ready.set_result(client)
                await self._closing.wait()
        except Exception as exc:  # noqa: BLE001 - the boundary of the SDK: whatever ends the session
            self._failure = exc
            if not self._ready.done():
                self._ready.set_exception(exc)
        finally:
            self._ready.cancel()

    async def _listed(self, client: Client) -> dict[str, Tool]:
        tools: dict[str, Tool] = {}
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools.update({tool.name: tool for tool in page.tools})
            cursor = page.next_cursor
            if cursor is None:
                break
        return tools

    @property
    def ended(self) -> bool:
        """True once the server, or the connection, is gone."""
        return self._task.done() or self._transport.ended.is_set()

    async def call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Make one call.

        Raises:
            LostError: the server ended. ToolError: it refused the call, or was too slow.
        """
        seconds = self._server.timeout
        try:
            return await self._ready.result().call_tool(name, arguments, read_timeout_seconds=seconds)
        except MCPError as exc:
            if exc.code == REQUEST_TIMEOUT:
                raise ToolError(
                    f"The tool `{name}` of the MCP server `{self._server.name}` gave no result within {seconds:g} s, "
                    "the `timeout` of `McpServer`.",
                    tool=name,
                ) from exc
            if exc.code == CONNECTION_CLOSED or _is_forgotten(exc):
                raise await self._lost(name, unsent=_is_forgotten(exc)) from exc
            message = f"The MCP server `{self._server.name}` refuses the call: {self._secrets.redact(str(exc))}"
            raise ToolError(message, tool=name) from exc
        except Exception as exc:
            if self.ended:
                raise await self._lost(name) from exc
            message = f"The result of `{name}` cannot be read: {self._secrets.redact(described(_first(exc)))}"
            raise ToolError(message, tool=name) from exc

    async def _lost(self, name: str, *, unsent: bool = False) -> LostError:
        self._transport.ended.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):  # what ended it is known once its task has
                self._closing.set()
                await asyncio.wait([self._task])
        cause = _first(self._failure) if self._failure is not None else None
        hints = self.tools[name].annotations if name in self.tools else None
        harmless = bool(hints and (hints.read_only_hint or hints.idempotent_hint))
        why = f" ({self._secrets.redact(described(cause))})" if cause is not None else self._transport.last_words()
        return LostError(why, repeatable=unsent or harmless or isinstance(cause, httpx2.ConnectError))

    def _unreachable(self, exc: BaseException) -> ToolError:
        cause, server = _first(exc), self._server
        if isinstance(cause, ToolError):
            return cause
        if isinstance(cause, FileNotFoundError | PermissionError | NotADirectoryError):
            return ToolError(
                f"The MCP server `{server.name}` cannot be started: {cause}. Is its command installed, and `cwd` right?"
            )
        if server.command is not None and isinstance(cause, MCPError) and cause.code == CONNECTION_CLOSED:
            return ToolError(
                f"The MCP server `{server.name}` ended before it said a word of MCP{self._transport.last_words()}."
            )
        if isinstance(cause, httpx2.TransportError):
            said = self._secrets.redact(str(cause)) or type(cause).__name__
            return ToolError(f"The MCP server at {server.name} cannot be reached: {said}.")
        return ToolError(
            f"What answers as `{server.name}` is no MCP server that can be used: "
            f"{self._secrets.redact(described(cause))}{self._transport.last_words()}. "
            + ("Is the path right? It is often `/mcp`." if server.url else "Does the command write to its output?")
        )

    async def close(self) -> None:
        """End the session, and the server that was started for it."""
        self._closing.set()
        if not self._ready.done():
            self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=_CLOSING_SECONDS)
        if not done:
            self._task.cancel()
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # it is told by whoever opens


def _is_forgotten(exc: MCPError) -> bool:
    """Tell whether a server does not know the session any more, so that it has not done what it was asked."""
    return exc.code == INVALID_REQUEST and "session terminated" in str(exc).lower()


def _first(exc: BaseException) -> BaseException:
    """The first error in groups of errors."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc
