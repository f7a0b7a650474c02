"""The tools of a real MCP server, over its standard input and output and over streamable HTTP."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from limbeck import get_tool, register_tool
from limbeck.errors import ConfigurationError, ToolError
from limbeck.testing import registry
from limbeck.tools import on_engine_loop, run_tools, tool_of
from limbeck_mcp import McpServer, mcp_tools
from support.children import said_by
from support.tool_talks import Talk, call, calling, results_in

from . import server as odd_server
from .server import free_port, mcp_over_http

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, str(Path(odd_server.__file__))]


@pytest.fixture(scope="module")
def stdio() -> Iterator[McpServer]:
    with mcp_tools(COMMAND) as server:
        yield server


@pytest.fixture(scope="module")
def http() -> Iterator[McpServer]:
    with mcp_over_http() as url, mcp_tools(url) as server:
        yield server


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> McpServer:
    found: McpServer = request.getfixturevalue(request.param)
    return found


def result_of(server: McpServer, tool: str, /, **arguments: Any) -> str:
    return on_engine_loop(server.call_tool(tool, arguments))


def fault_of(server: McpServer, tool: str, /, **arguments: Any) -> str:
    with pytest.raises(ToolError) as caught:
        result_of(server, tool, **arguments)
    return str(caught.value)


# What a model is told, and what it gets


def test_a_servers_tools_are_those_that_a_model_is_told_of(server: McpServer) -> None:
    tools = {each["name"]: each for each in on_engine_loop(server.list_tools())}
    assert tools["add"]["description"] == "Add two numbers."
    assert tools["add"]["parameters"]["required"] == ["a", "b"]
    assert tools["files.read"]["description"] == "Reads a file"


def test_a_call_gives_the_text_of_its_result(server: McpServer) -> None:
    assert result_of(server, "add", a=1, b=2) == "3"


def test_calls_at_once_are_kept_apart(server: McpServer) -> None:
    import asyncio

    async def several() -> list[str]:
        return await asyncio.gather(*(server.call_tool("add", {"a": number, "b": 1}) for number in range(20)))

    assert on_engine_loop(several()) == [str(number + 1) for number in range(20)]


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("picture", {"caption": "A cat."}, "[an image (image/png): left out]\nA cat."),
        ("files", {}, "the text\n[a file (application/zip): left out]\nc: file:///c.txt"),
        ("structured", {}, '{"people": 3}'),
        ("nothing", {}, ""),
    ],
)
def test_what_is_no_text_is_named_in_its_place(
    stdio: McpServer, name: str, arguments: dict[str, Any], text: str
) -> None:
    assert result_of(stdio, name, **arguments) == text


@pytest.mark.parametrize(
    ("name", "arguments", "kind"), [("picture", {"caption": ""}, "an image"), ("sound", {}, "audio")]
)
def test_a_result_without_any_text_is_an_error_that_says_what_it_is(
    stdio: McpServer, name: str, arguments: dict[str, Any], kind: str
) -> None:
    assert f"gave no text, but {kind}" in fault_of(stdio, name, **arguments)


# What goes wrong


def test_a_tools_error_is_in_its_own_words(server: McpServer) -> None:
    assert fault_of(server, "fails", why="No such city.") == "No such city."
    assert "did not say why" in fault_of(server, "fails", why="")


@pytest.mark.parametrize(("name", "arguments", "words"), [("add", {"a": "x", "b": 1}, "a"), ("nope", {}, "nope")])
def test_bad_arguments_and_unknown_names_are_told_by_the_server(
    server: McpServer, name: str, arguments: dict[str, Any], words: str
) -> None:
    assert words in fault_of(server, name, **arguments)


def test_a_slow_tool_is_stopped_by_the_time_limit_and_the_server_goes_on() -> None:
    with mcp_tools(COMMAND, timeout=0.3) as server:
        assert "`slow`" in (fault := fault_of(server, "slow", seconds=60))
        assert "0.3 s" in fault
        assert result_of(server, "add", a=1, b=1) == "2"


def test_a_server_that_dies_in_a_call_is_told_and_started_again_for_the_next_one(tmp_path: Path) -> None:
    with mcp_tools(COMMAND) as server:
        first = result_of(server, "pid")
        fault = fault_of(server, "die")
        assert "ended during a call of its tool `die`" in fault
        assert "I am dying." in fault
        assert "not repeated" in fault
        assert result_of(server, "pid") != first


def test_a_call_that_only_reads_is_repeated_once_where_its_server_dies(tmp_path: Path) -> None:
    marker = tmp_path / "deaths"
    with mcp_tools(COMMAND) as server:
        assert result_of(server, "look", marker=str(marker)) == "alive after 1"
        marker.unlink()
        assert "ended during a call" in fault_of(server, "look", marker=str(marker), times=5)
    assert marker.read_text() == "xx"


def test_a_server_that_died_between_calls_is_started_again_unnoticed() -> None:
    with mcp_tools(COMMAND) as server:
        os.kill(int(result_of(server, "pid")), 9)
        link: Any = on_engine_loop(server._link())
        on_engine_loop(link._session._transport.ended.wait())
        assert result_of(server, "add", a=1, b=2) == "3"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/nowhere/no-such-server --fast", "cannot be started"),
        ([sys.executable, "-c", "import sys; sys.exit('out of order')"], "it said: out of order"),
        ([sys.executable, "-c", "print('hello')"], "ended before it said a word of MCP"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "did not answer within"),
    ],
)
def test_a_command_that_is_no_server_is_an_error_at_once(command: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words), mcp_tools(command, connect_timeout=3):
        pass


def test_a_url_where_nobody_is_says_so() -> None:
    with pytest.raises(ConfigurationError, match="cannot be reached"):
        mcp_tools(f"http://127.0.0.1:{free_port()}/mcp").load()


def test_a_wrong_path_says_so(http: McpServer) -> None:
    assert http.url is not None
    with pytest.raises(ConfigurationError, match="Is the path right"):
        mcp_tools(http.url.replace("/mcp", "/nowhere")).load()


def test_a_server_over_http_that_is_started_again_is_asked_again() -> None:
    port = free_port()
    with mcp_over_http(port) as url:
        server = mcp_tools(url)
        assert result_of(server, "add", a=1, b=2) == "3"
    assert "cannot be reached" in fault_of(server, "add", a=1, b=2)
    with mcp_over_http(port):
        assert result_of(server, "add", a=2, b=2) == "4"
    server.close()


# Configuration


def test_some_of_the_tools_are_offered() -> None:
    with mcp_tools(COMMAND, tools=["add", "pid"]) as server:
        assert [each["name"] for each in on_engine_loop(server.list_tools())] == ["add", "pid"]


def test_a_tool_that_the_server_lacks_is_told_with_those_that_it_has() -> None:
    with pytest.raises(ConfigurationError, match=r"'ad'.*`add`"):
        mcp_tools(COMMAND, tools=["ad"]).load()


def test_a_command_gets_its_folder_and_the_variables_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_PLACE", "here")
    monkeypatch.setenv("ACME_OTHER", "hidden")
    fields: Any = {"cwd": str(tmp_path), "inherit": ["ACME_PLACE"], "env": {"ACME_KEY": "k-12345678"}}
    with mcp_tools(COMMAND, **fields) as server:
        given = [result_of(server, "environment", name=f"ACME_{name}") for name in ("PLACE", "KEY", "OTHER")]
        assert given == ["here", "k-12345678", "unset"]
        assert result_of(server, "files.read", path="a") == f"a in {tmp_path.name}"


def test_a_variable_that_is_to_be_inherited_and_is_not_set_is_told() -> None:
    with pytest.raises(ConfigurationError, match="'ACME_NOWHERE'"):
        mcp_tools(COMMAND, inherit=["ACME_NOWHERE"]).load()


def test_headers_and_the_query_are_sent_and_neither_shown_nor_stored() -> None:
    seen: list[dict[str, Any]] = []
    with mcp_over_http(seen=seen) as url:
        with mcp_tools(f"{url}?token=t-123456789", headers={"authorization": "Bearer b-12345678"}) as server:
            assert result_of(server, "add", a=1, b=1) == "2"
        assert server.url == url
    assert {(each["authorization"], each["?"]) for each in seen} == {("Bearer b-12345678", "token=t-123456789")}
    assert "12345678" not in f"{server!r} {server.model_dump_json()}"


def test_a_server_is_plain_configuration() -> None:
    server = mcp_tools("python 'my server.py' --fast", timeout=5)
    assert server.model_dump(exclude_unset=True) == {"command": ["python", "my server.py", "--fast"], "timeout": 5}
    assert McpServer(**server.model_dump()) == server


def test_a_server_in_use_is_pickled_and_copied_without_its_connection(stdio: McpServer) -> None:
    for again in (pickle.loads(pickle.dumps(stdio)), copy.deepcopy(stdio), stdio.model_copy()):
        assert again == stdio
        assert result_of(again, "pid") != result_of(stdio, "pid")
        again.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "either `command` or `url`"),
        ({"command": "x", "url": "http://x/mcp"}, "either `command` or `url`"),
        ({"command": ""}, "empty"),
        ({"command": []}, "empty"),
        ({"url": "x/mcp"}, "must be a URL"),
        ({"url": "http://me:secret@x/mcp"}, "password"),
    ],
)
def test_a_server_is_a_command_or_a_url(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        McpServer(**fields)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="timeuot"):
        mcp_tools("x", timeuot=5)


def test_closing_ends_the_servers_process_and_a_later_call_starts_it_again() -> None:
    server = mcp_tools(COMMAND)
    pid = int(result_of(server, "pid"))
    server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert int(result_of(server, "pid")) != pid
    server.close()


def test_a_program_that_closes_nothing_ends_quietly_and_so_does_the_server(tmp_path: Path) -> None:
    program = f"""
    from limbeck.tools import on_engine_loop
    from limbeck_mcp import mcp_tools

    server = mcp_tools({COMMAND!r})
    print(on_engine_loop(server.call_tool("pid", {{}})))
    """
    pid = int(said_by(program, tmp_path))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_importing_the_plugin_imports_no_sdk(tmp_path: Path) -> None:
    program = "import sys, limbeck_mcp\nprint([name for name in ('mcp', 'asyncio', 'anyio') if name in sys.modules])"
    assert said_by(program, tmp_path) == "['asyncio']\n"


# In conversations


def test_the_package_declares_the_server_as_a_set_of_tools(stdio: McpServer) -> None:
    settings = tomllib.loads((Path(__file__).parents[3] / "plugins/mcp/pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["entry-points"]["limbeck.tools"] == {"mcp": "limbeck_mcp.server:McpServer"}
    with registry():
        register_tool("mcp", McpServer)
        assert get_tool("mcp", command="x") == McpServer(command=["x"])
    assert tool_of(stdio) is stdio


def test_a_model_calls_the_tools_of_a_server(stdio: McpServer) -> None:
    calls = [call("files_read", '{"path": "a.txt"}', id="1"), call("add", '{"a": 1}', id="2")]
    talk = Talk([calling(*calls), "So."])
    answer = talk.run(run_tools([{"role": "user", "content": "?"}], stdio))
    told = results_in(answer)
    assert told[0].startswith("a.txt in ")
    assert "Error: The arguments do not fit the tool" in told[1]
