"""A real MCP server, of the SDK's own making, with well-behaved and odd tools.

Run as a program it speaks over its standard input and output; `mcp_over_http` serves it on loopback.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp.server import MCPServer
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PIXEL = "iVBORw0KGgo="


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def read(path: str) -> str:
    return f"{path} in {Path.cwd().name}"


def environment(name: str) -> str:
    """An environment variable."""
    return os.environ.get(name, "unset")


def pid() -> str:
    """The server's process."""
    return str(os.getpid())


async def slow(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "done"


def fails(why: str) -> CallToolResult:
    """Fail."""
    return CallToolResult(content=[TextContent(text=why)] if why else [], is_error=True)


def die(marker: str = "", times: int = 1) -> str:
    """End the server, the first times."""
    return _survived(marker, times)


def look(marker: str = "", times: int = 1) -> str:
    """End the server, the first times; a tool that only reads."""
    return _survived(marker, times)


def picture(caption: str) -> CallToolResult:
    """Draw."""
    image = ImageContent(data=PIXEL, mime_type="image/png")
    return CallToolResult(content=[image, *([TextContent(text=caption)] if caption else [])])


def sound() -> CallToolResult:
    """Sing."""
    return CallToolResult(content=[AudioContent(data=PIXEL, mime_type="audio/wav")])


def files() -> CallToolResult:
    """Files of all kinds."""
    text = TextResourceContents(uri="file:///a.txt", text="the text", mime_type="text/plain")
    blob = BlobResourceContents(uri="file:///b.bin", blob=PIXEL, mime_type="application/zip")
    link = ResourceLink(name="c", uri="file:///c.txt")
    return CallToolResult(content=[EmbeddedResource(resource=text), EmbeddedResource(resource=blob), link])


def structured() -> CallToolResult:
    """A value, and no text."""
    return CallToolResult(content=[], structured_content={"people": 3})


def nothing() -> CallToolResult:
    """No word."""
    return CallToolResult(content=[])


def server() -> MCPServer:
    """The server and its tools."""
    made = MCPServer("Odd", log_level="CRITICAL")
    for function in (add, environment, pid, slow, fails, die, picture, sound, files, structured, nothing):
        made.add_tool(function)
    made.add_tool(read, name="files.read", title="Reads a file")
    made.add_tool(look, annotations=ToolAnnotations(read_only_hint=True))
    return made


def _survived(marker: str, times: int) -> str:
    """End the process, unless the file says that it has been done often enough."""
    before = len(Path(marker).read_text()) if marker and Path(marker).exists() else 0
    if before >= times:
        return f"alive after {before}"
    if marker:
        Path(marker).write_text("x" * (before + 1))
    sys.stderr.write("I am dying.\n")
    sys.stderr.flush()
    os._exit(3)


@contextmanager
def mcp_over_http(port: int = 0, seen: list[dict[str, Any]] | None = None) -> Iterator[str]:
    """Serve on loopback; gives the URL. `seen` gets each request's headers and its query."""
    import uvicorn

    app = server().streamable_http_app()

    async def recorded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and seen is not None:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            seen.append({**headers, "?": scope["query_string"].decode()})
        await app(scope, receive, send)

    listening = socket.create_server(("127.0.0.1", port))
    # A stream that a client holds open would keep the server for ever.
    settings = uvicorn.Config(recorded, log_level="critical", timeout_graceful_shutdown=1)
    running = uvicorn.Server(settings)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


if __name__ == "__main__":
    server().run()
