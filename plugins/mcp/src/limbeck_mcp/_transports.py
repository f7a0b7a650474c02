"""The SDK's transports, with what it does not tell: that a server has ended, and what it said on its way."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
from mcp import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

if TYPE_CHECKING:
    from types import TracebackType

    from .server import McpServer

_LINES_KEPT = 5
_LONGEST_LINE = 300
_SECONDS_TO_READ = 0.2


class Transport:
    """The way to a server, entered and left by one task.

    Attributes:
        ended: set once the server is known to be gone.
    """

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Any:
        async with AsyncExitStack() as stack:
            streams = await self._enter(stack)
            self._stack = stack.pop_all()
        return streams

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.ended.set()
        return await self._stack.__aexit__(kind, exc, trace)

    async def _enter(self, stack: AsyncExitStack) -> Any:
        raise NotImplementedError

    def last_words(self) -> str:
        """`; it said: ...`, where the server said something; else an empty text."""
        return ""


class OverHttp(Transport):
    """Streamable HTTP."""

    def __init__(self, server: McpServer) -> None:
        super().__init__()
        self._server = server

    async def _enter(self, stack: AsyncExitStack) -> Any:
        server = self._server
        timeout = httpx2.Timeout(server.connect_timeout, read=server.timeout + server.connect_timeout)
        headers = {name: value.get_secret_value() for name, value in server.headers.items()}
        client = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=timeout))
        query = server.url_query.get_secret_value() if server.url_query else ""
        url = f"{server.url}?{query}" if query else str(server.url)
        return await stack.enter_async_context(streamable_http_client(url, http_client=client))


class OverStdio(Transport):
    """The standard input and output of a command."""

    def __init__(self, server: McpServer) -> None:
        super().__init__()
        self._server = server
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)

    async def _enter(self, stack: AsyncExitStack) -> Any:
        words = self._server.command or []
        parameters = StdioServerParameters(
            command=words[0], args=words[1:], env=self._server.environment(), cwd=self._server.cwd
        )
        errors = stack.enter_context(_Errors(self._said))
        read, write = await stack.enter_async_context(stdio_client(parameters, errlog=errors))
        group = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(group.cancel_scope.cancel)
        send, receive = anyio.create_memory_object_stream[Any](0)
        group.start_soon(self._pass_on, read, send)
        return receive, write

    async def _pass_on(self, read: Any, send: Any) -> None:
        """Pass messages on until the server's output ends, which the SDK keeps to itself."""
        try:
            async with send:
                async for message in read:
                    await send.send(message)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass
        finally:
            self.ended.set()

    def last_words(self) -> str:
        said = " / ".join(line for line in self._said if line)
        return f"; it said: {said}" if said else ""


class _Errors:
    """A pipe for what a server writes to its standard error, of which the last lines are kept."""

    def __init__(self, said: deque[str]) -> None:
        self._said = said

    def __enter__(self) -> Any:
        read, write = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(read,), name="limbeck-mcp-errors", daemon=True)
        self._thread.start()
        self._file = os.fdopen(write, "w")
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._thread.join(_SECONDS_TO_READ)  # what a server says as it ends; a child of its own may hold the pipe open

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, errors="replace") as lines:
            for line in lines:
                self._said.append(line.strip()[:_LONGEST_LINE])
