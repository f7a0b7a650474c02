"""An MCP server as a set of tools: how it is reached, as configuration that can be stored."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    SecretStr,
    model_validator,
)

from limbeck.backends import ClientPerLoop, ServerAddress, import_sdk
from limbeck.errors import ConfigurationError, ToolError
from limbeck.tools import on_engine_loop

if TYPE_CHECKING:
    from ._link import Link  # noqa: TC004 - pydantic leaves the type of a private attribute alone


def _words(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


class McpServer(BaseModel):
    """The tools of an MCP server, which is started as a command or reached at a URL.

    It is given to `run_tools` like a tool. The server is started, or connected to, when it is first asked, once in a
    process, and closed at its end, or with `close`. One that has ended is started again with the next call. A call
    that it was carrying out when it ended is not repeated, unless the server says of the tool that it only reads or
    may be repeated.

    Attributes:
        command: what starts a server that speaks over its standard input and output, as a text or a list of words.
        url: of a server that speaks streamable HTTP. Either this or `command`.
        tools: the names of those to offer; all by default.
        timeout: seconds for one call. connect_timeout: for the start of the server, or a connection.
        max_concurrency: calls at once.
        cwd: where the command is run. inherit: names of environment variables that it is given, beside `PATH`,
            `HOME` and the like. env: further variables.
        headers: sent with each request to `url`. url_query: the query of `url`; what stands behind its `?` is put
            here. As `env` they may hold secrets: they are neither shown nor stored.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    command: Annotated[list[str] | None, BeforeValidator(_words)] = None
    url: str | None = None
    tools: list[str] | None = None
    timeout: PositiveFloat = 60.0
    connect_timeout: PositiveFloat = 30.0
    max_concurrency: PositiveInt = 8
    cwd: str | None = None
    inherit: list[str] = Field(default_factory=list)
    env: dict[str, SecretStr] = Field(default_factory=dict, exclude=True)
    headers: dict[str, SecretStr] = Field(default_factory=dict, exclude=True)
    url_query: SecretStr | None = Field(default=None, exclude=True)

    _links: ClientPerLoop[Link] = PrivateAttr(default_factory=ClientPerLoop)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ConfigurationError(
                "`McpServer` needs either `command` or `url`: `McpServer(command='python server.py')`, or "
                "`McpServer(url='http://127.0.0.1:8000/mcp')`."
            )
        if self.command is not None and not any(word.strip() for word in self.command[:1]):
            raise ConfigurationError("`command` of `McpServer` is empty.")
        if self.url is not None:
            self._take_apart(self.url)
        return self

    def _take_apart(self, url: str) -> None:
        address = ServerAddress.of(url, name="`url`", example="http://127.0.0.1:8000/mcp")
        if address.query:
            self.url_query = address.query_beside(self.url_query, name="`url`")
        if address.url != url:
            self.url = address.url

    @property
    def name(self) -> str:
        """The server in messages: its URL, or its command."""
        return self.url or shlex.join(self.command or ())

    @property
    def deadline(self) -> float:
        """Seconds for a call with all that belongs to it: it may start the server, twice, and be repeated."""
        return 2 * (self.connect_timeout + self.timeout)

    # A set of tools

    async def list_tools(self) -> list[dict[str, Any]]:
        """The server's tools, each with `name`, `description` and `parameters`.

        Raises:
            ToolError: the server cannot be reached, or is none.
        """
        return await (await self._link()).list_tools()

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        """The result of a call, as text.

        Raises:
            ToolError: the tool failed, was too slow or gave no text; the server refused the call, or has ended.
        """
        return await (await self._link()).call(name, arguments)

    async def _link(self) -> Link:
        module: Any = sys.modules.get(f"{__package__}._link")
        if not hasattr(module, "Link"):  # or another thread is importing it
            module = await asyncio.to_thread(_imported)
        return await self._links.get(lambda: module.Link(self))

    # Its life

    def load(self) -> None:
        """Start the server, or connect to it, and ask for its tools; so that what is wrong is told before any row.

        Raises:
            ConfigurationError: it cannot be reached, is none, or lacks one of `tools`.
        """
        _imported()
        try:
            on_engine_loop(self.list_tools())
        except ToolError as exc:
            raise ConfigurationError(str(exc)) from exc

    def close(self) -> None:
        """Close the connection, and end a server that was started for it. A later call opens it again."""
        on_engine_loop(self.aclose())

    async def aclose(self) -> None:
        """Close the connection of the running event loop."""
        await self._links.aclose()

    def __enter__(self) -> Self:
        self.load()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __copy__(self) -> Self:
        """A copy with connections of its own: its fields may be changed."""
        copied = super().__copy__()
        copied._links = ClientPerLoop()  # noqa: SLF001 - its own class
        return copied

    def environment(self) -> dict[str, str]:
        """The variables that a command is given beside those that every server gets.

        Raises:
            ToolError: one that it is to inherit is not set.
        """
        missing = [name for name in self.inherit if name not in os.environ]
        if missing:
            raise ToolError(
                f"The MCP server `{self.name}` is to inherit the environment variable "
                f"{', '.join(map(repr, missing))}, which is not set."
            )
        given = {name: value.get_secret_value() for name, value in self.env.items()}
        return {**{name: os.environ[name] for name in self.inherit}, **given}


def _imported() -> Any:
    """The module that needs the SDK, whose import takes a second."""
    import_sdk("mcp", defines="Client", needed_by="`McpServer`", requirement="limbeck-mcp")
    from . import _link

    return _link


def mcp_tools(server: str | list[str], **fields: Any) -> McpServer:
    """The tools of a server: `with mcp_tools("python server.py") as tools`, or with its URL.

    Args:
        server: the command, or a URL. fields: further ones of `McpServer`.

    Raises:
        ConfigurationError: as `McpServer.load`, where it is used in a `with`.
    """
    if isinstance(server, str) and server.strip().lower().startswith(("http://", "https://")):
        return McpServer(url=server.strip(), **fields)
    return McpServer(command=server, **fields)  # type: ignore[arg-type]  # a text is split
