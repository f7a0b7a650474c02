"""The way to a server on one event loop: a session, opened when it is needed and again where the server has ended.

This module imports the SDK; it is imported when a server is first asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from limbeck.errors import ToolError

from ._results import text_of
from ._session import LostError, Session

if TYPE_CHECKING:
    from .server import McpServer


class Link:
    """One server's session, shared by all that call its tools on one event loop."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._session: Session | None = None
        self._opening = asyncio.Lock()

    async def list_tools(self) -> list[dict[str, Any]]:
        """The tools that are to be offered; they are asked for once a session."""
        session = await self._open()
        wanted = self._server.tools
        missing = [name for name in wanted or () if name not in session.tools]
        if missing:
            known = ", ".join(f"`{name}`" for name in session.tools) or "none"
            raise ToolError(
                f"The MCP server `{self._server.name}` has no tool {', '.join(map(repr, missing))}. It has {known}."
            )
        return [
            {"name": tool.name, "description": tool.description or tool.title or "", "parameters": tool.input_schema}
            for tool in session.tools.values()
            if wanted is None or tool.name in wanted
        ]

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The text of a tool's result; a call that was not carried out, or may be repeated, is made once more."""
        session = await self._open()
        try:
            return text_of(await session.call(name, arguments), tool=name)
        except LostError as exc:
            if not exc.repeatable:
                raise ToolError(exc.told(self._server.name, name), tool=name) from exc
        session = await self._open()
        try:
            return text_of(await session.call(name, arguments), tool=name)
        except LostError as exc:
            raise ToolError(exc.told(self._server.name, name), tool=name) from exc

    async def _open(self) -> Session:
        """The session; a new one where there is none, or the server has ended."""
        async with self._opening:
            if self._session is None or self._session.ended:
                await self._close()
                self._session = await Session.open(self._server)
            return self._session

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def aclose(self) -> None:
        """End the session, and the server that was started for it."""
        await self._close()
