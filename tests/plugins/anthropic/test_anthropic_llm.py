"""The backend as an object: configuration, credentials, connections, and what it promises to every task."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from limbeck import get_llm
from limbeck.errors import (
    AuthenticationError,
    ConfigurationError,
    MissingCredentialError,
    MissingDependencyError,
    TransientError,
)
from limbeck.protocols import check_llm
from limbeck.testing import LLMContract
from limbeck.types import Generation, GenerationRequest, GenerationResponse
from limbeck_anthropic import AnthropicLLM
from support.anthropic_server import AnthropicServer, anthropic_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REQUEST = GenerationRequest(messages=[{"role": "user", "content": "Hello"}])


def write_profile(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    authentication: dict[str, str],
    *,
    credentials: dict[str, Any] | None = None,
    base_url: str | None = None,
) -> None:
    """A profile of the SDK's, in place of a key."""
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(folder))
    profile = {"authentication": authentication, **({"base_url": base_url} if base_url else {})}
    for name, content in (("configs", profile), ("credentials", credentials)):
        (folder / name).mkdir()
        if content is not None:
            path = folder / name / "default.json"
            path.write_text(json.dumps(content))
            path.chmod(0o600)


# Names and configuration


def test_it_is_found_by_its_name_and_built_from_a_models_name() -> None:
    assert get_llm("anthropic") is AnthropicLLM
    llm = AnthropicLLM.from_model("claude-sonnet-5")
    assert llm.model_name == "claude-sonnet-5"
    check_llm(llm)


def test_importing_the_plugin_imports_no_sdk() -> None:
    code = (
        "import sys, limbeck_anthropic.anthropic\n"
        "print([name for name in ('anthropic', 'aiohttp', 'httpx2') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_building_one_imports_no_sdk() -> None:
    code = (
        "import sys; from limbeck_anthropic import AnthropicLLM; llm = AnthropicLLM(model='m', api_key='k' * 9);"
        "llm.identity; repr(llm); print('anthropic' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_its_capabilities_are_declared() -> None:
    capabilities = AnthropicLLM.capabilities
    assert (capabilities.native_json_schema, capabilities.tools, capabilities.vision) == (True, True, True)
    assert (capabilities.native_n, capabilities.logprobs, capabilities.batches) == (False, False, True)


@pytest.mark.parametrize("url", ["api.anthropic.com", "ftp://host", "https://"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="`base_url`"):
        AnthropicLLM(model="m", base_url=url)


def test_a_base_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AnthropicLLM(model="m", base_url="https://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


# Identity


def test_the_identity_holds_the_base_url_that_is_in_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AnthropicLLM(model="m").identity["base_url"] == "https://api.anthropic.com"
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://gateway.test/")
    assert AnthropicLLM(model="m").identity["base_url"] == "https://gateway.test"
    assert AnthropicLLM(model="m", base_url="https://mine.test").identity["base_url"] == "https://mine.test"


def test_the_identity_holds_the_base_url_of_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_profile(monkeypatch, tmp_path, {"type": "user_oauth"}, base_url="https://profile.test")
    assert AnthropicLLM(model="m").identity["base_url"] == "https://profile.test"
    assert AnthropicLLM(model="m", api_key=SecretStr("k")).identity["base_url"] == "https://api.anthropic.com"


def test_the_identity_holds_what_changes_an_answer_and_nothing_of_how_it_travels(key: str) -> None:
    identity = AnthropicLLM(model="m", max_tokens=7, stream=True, timeout=9.0, api_key=SecretStr(key)).identity
    assert identity == {
        "provider": "limbeck_anthropic.anthropic:AnthropicLLM",
        "model_name": "m",
        "model": "m",
        "max_tokens": 7,
        "base_url": "https://api.anthropic.com",
    }


# Credentials


def test_a_key_is_in_no_repr_and_no_dump(key: str) -> None:
    llm = AnthropicLLM(model="m", api_key=SecretStr(key))
    assert key not in repr(llm) + str(llm) + repr(llm.model_dump()) + llm.model_dump_json() + repr(llm.identity)


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_the_sdks_own_variables_are_read_at_first_use(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with anthropic_server(api_key="from-the-environment") as server:
        llm = AnthropicLLM(model="m", base_url=server.url)
        monkeypatch.setenv(variable, "from-the-environment")
        llm.load()
        assert answer_of(llm) == "The capital of Spain is Madrid."


def test_a_missing_key_is_noticed_by_load_and_by_the_first_request() -> None:
    llm = AnthropicLLM(model="m")
    with pytest.raises(MissingCredentialError, match="`ANTHROPIC_API_KEY`"):
        llm.load()
    with pytest.raises(MissingCredentialError):
        answer_of(llm)


def test_a_profile_that_cannot_be_read_is_a_missing_credential(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("ANTHROPIC_PROFILE", "absent")
    with pytest.raises(MissingCredentialError):
        AnthropicLLM(model="m").load()


def test_a_profiles_token_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_profile(monkeypatch, tmp_path, {"type": "user_oauth"}, credentials={"access_token": "from-the-profile"})
    with anthropic_server(api_key="from-the-profile", reply="x") as server:
        llm = AnthropicLLM(model="m", base_url=server.url)
        llm.load()
        assert answer_of(llm) == "x"


def test_a_profile_without_its_credentials_file_is_an_authentication_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_profile(monkeypatch, tmp_path, {"type": "user_oauth"})
    with anthropic_server() as server:
        llm = AnthropicLLM(model="m", base_url=server.url)
        llm.load()
        with pytest.raises(AuthenticationError, match="access token"):
            answer_of(llm)
        assert server.requests == []


EXPIRED = {"access_token": "old-token-1234", "refresh_token": "refresh-1234", "expires_at": 1}


def test_a_token_that_may_not_be_renewed_is_an_authentication_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_profile(monkeypatch, tmp_path, {"type": "user_oauth", "client_id": "c"}, credentials=EXPIRED)
    with anthropic_server() as server, pytest.raises(AuthenticationError, match="access token"):
        answer_of(AnthropicLLM(model="m", base_url=server.url))  # it has no token endpoint: 404


def test_a_token_endpoint_that_is_away_is_transient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as reserved:  # bound, but it does not listen
        reserved.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        auth = {"type": "user_oauth", "client_id": "c"}
        write_profile(monkeypatch, tmp_path, auth, credentials=EXPIRED, base_url=away)
        with pytest.raises(TransientError, match="access token"):
            answer_of(AnthropicLLM(model="m"))


def test_load_sends_nothing(make_llm: Callable[..., AnthropicLLM]) -> None:
    with anthropic_server() as server:
        make_llm(server).load()
        assert (server.connections, server.requests) == (0, [])


@pytest.mark.parametrize(("module", "package"), [("anthropic", "anthropic"), ("aiohttp", "aiohttp")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(module: str, package: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from limbeck.errors import MissingDependencyError\n"
        "from limbeck_anthropic import AnthropicLLM\n"
        "try: AnthropicLLM(model='m', api_key='k').load()\n"
        "except MissingDependencyError as error: print(error.package, error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(package)
    assert "pip install 'limbeck-anthropic'" in result.stdout


def test_parameters_cannot_be_checked_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(MissingDependencyError, match="limbeck-anthropic"):
        AnthropicLLM(model="m", generation_kwargs={"stop_sequences": ["END"]})


# Connections


async def answer_and_close(llm: AnthropicLLM) -> str | None:
    try:
        return (await llm.agenerate(REQUEST)).generations[0].text
    finally:
        await llm.aclose()


def answer_of(llm: AnthropicLLM) -> str | None:
    return asyncio.run(answer_and_close(llm))


def test_it_works_on_a_second_event_loop(make_llm: Callable[..., AnthropicLLM]) -> None:
    with anthropic_server(reply="x") as server:
        llm = make_llm(server)
        assert [answer_of(llm), answer_of(llm)] == ["x", "x"]


def test_it_works_again_after_it_was_closed(make_llm: Callable[..., AnthropicLLM]) -> None:
    async def twice(llm: AnthropicLLM) -> list[str | None]:
        return [await answer_and_close(llm), await answer_and_close(llm)]

    with anthropic_server(reply="x") as server:
        assert asyncio.run(twice(make_llm(server))) == ["x", "x"]


def test_closing_one_that_was_never_used_is_harmless() -> None:
    llm = AnthropicLLM(model="m")
    asyncio.run(llm.aclose())
    assert llm.model_name == "m"


def test_two_loops_at_once_have_a_client_each(make_llm: Callable[..., AnthropicLLM]) -> None:
    async def nested(llm: AnthropicLLM) -> list[str | None]:
        first = await llm.agenerate(REQUEST)
        second = await asyncio.to_thread(answer_of, llm)
        third = await answer_and_close(llm)  # the other loop's `aclose` left this one's connections alone
        return [first.generations[0].text, second, third]

    with anthropic_server(reply="x") as server:
        assert asyncio.run(nested(make_llm(server))) == ["x", "x", "x"]
        assert server.connections == 2


def test_as_many_connections_are_kept_as_requests_may_be_in_flight(make_llm: Callable[..., AnthropicLLM]) -> None:
    window = 150  # the SDK's own default keeps 100

    async def two_waves(llm: AnthropicLLM) -> None:
        for _ in range(2):
            await asyncio.gather(*(llm.agenerate(REQUEST) for _ in range(window)))
        await llm.aclose()

    with anthropic_server(gather=window) as server:
        asyncio.run(two_waves(make_llm(server, max_concurrency=window)))
        assert (server.most_in_flight, server.connections, server.answers) == (window, window, 2 * window)


def test_idle_connections_are_probed(make_llm: Callable[..., AnthropicLLM]) -> None:
    async def options_of_open_sockets(llm: AnthropicLLM, port: int) -> list[int]:
        await llm.agenerate(REQUEST)
        sockets = [thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() >= 0]
        ours = [one for one in sockets if one.family is socket.AF_INET and peer_port(one) == port]
        options = [one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for one in ours]
        await llm.aclose()
        return options

    with anthropic_server() as server:
        options = asyncio.run(options_of_open_sockets(make_llm(server), int(server.url.rpartition(":")[2])))
    assert options
    assert all(options)


def peer_port(one: socket.socket) -> int | None:
    try:
        return int(one.getpeername()[1])
    except OSError:  # it listens
        return None


# What it promises


class TestContract(LLMContract):
    @pytest.fixture(autouse=True)
    def _served(self) -> Iterator[None]:
        with anthropic_server() as self.server:
            yield

    server: AnthropicServer

    def make_llm(self) -> AnthropicLLM:
        return AnthropicLLM(model="claude-sonnet-5", base_url=self.server.url, api_key=SecretStr("contract-key"))


def test_more_generations_than_one_are_the_engines_to_ask_for(make_llm: Callable[..., AnthropicLLM]) -> None:
    async def once(llm: AnthropicLLM) -> GenerationResponse:
        request = GenerationRequest(messages=REQUEST.messages, num_generations=3)
        response = await llm.agenerate(request)
        await llm.aclose()
        return response

    with anthropic_server(reply="x") as server:
        response = asyncio.run(once(make_llm(server)))
        assert "n" not in server.requests[0].body
    assert response.generations == (Generation(text="x", finish_reason="stop"),)
