"""Tools of MCP servers, for `limbeck.tools.run_tools`.

    with mcp_tools("npx -y @acme/files /data") as tools:
        task = Agent(llm="openai/gpt-5-mini", tools=tools)

The SDK `mcp` is imported when a server is first asked, not by this module.
"""

from .server import McpServer, mcp_tools

__all__ = ["McpServer", "mcp_tools"]
