"""Fields, parameters, keys, the SDK's import, and the life of the client."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck.errors import ConfigurationError, MissingCredentialError
from limbeck_openai import OpenAILLM
from support.asking import ask, request
from support.openai_server import openai_server


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


# The SDK


def test_the_sdk_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from limbeck_openai import OpenAILLM, AzureOpenAILLM;"
        "OpenAILLM(model='m').identity; AzureOpenAILLM(model='m', azure_endpoint='http://a', api_version='v').identity;"
        "print(sorted({'openai', 'httpx2', 'aiohttp'} & set(sys.modules)))"
    )
    assert run_python(code) == "[]"


@pytest.mark.parametrize("package", ["openai", "aiohttp"])
def test_a_missing_package_is_named_at_load_with_the_line_that_installs_it(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from limbeck.errors import MissingDependencyError\n"
        "from limbeck_openai import OpenAILLM\n"
        "try: OpenAILLM(model='m', base_url='http://127.0.0.1:1/v1').load()\n"
        "except MissingDependencyError as exc: print(exc.package, '|', exc)"
    )
    named, _, message = run_python(code).partition(" | ")
    assert named == package
    assert "pip install 'limbeck-openai'" in message


# Parameters


def test_a_misspelt_parameter_is_refused_when_the_backend_is_built_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match=r"'temprature'.*Did you mean `temperature`\?.*`extra_body="):
        OpenAILLM(model="m", generation_kwargs={"temprature": 1})


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("model", "x", "the field `model`"),
        ("messages", [], "`format_input`"),
        ("n", 2, "`num_generations`"),
        ("stream", True, "whole answers"),
        ("timeout", 3, "the field `timeout`"),
        ("response_format", {"type": "json_schema", "json_schema": {}}, "`output_schema`"),
    ],
)
def test_a_parameter_that_limbeck_sets_is_refused_with_what_to_use_instead(name: str, value: Any, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        OpenAILLM(model="m", generation_kwargs={name: value})


def test_what_limbeck_sets_cannot_be_smuggled_in_through_extra_body() -> None:
    with pytest.raises(ConfigurationError, match="whole answers"):
        OpenAILLM(model="m", generation_kwargs={"extra_body": {"stream": True}})


def test_credentials_in_extra_headers_are_refused_since_parameters_are_stored() -> None:
    with pytest.raises(ConfigurationError, match="Use the field `api_key`") as caught:
        OpenAILLM(model="m", generation_kwargs={"extra_headers": {"Authorization": "Bearer hush"}})
    assert "hush" not in str(caught.value)


def test_extra_body_must_be_a_dict() -> None:
    with pytest.raises(ConfigurationError, match="must be a dict, not list"):
        OpenAILLM(model="m", generation_kwargs={"extra_body": ["top_k"]})


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "reasoning_effort", "logprobs", "tools"])
def test_the_sdks_own_parameters_are_accepted(name: str) -> None:
    assert OpenAILLM(model="m", generation_kwargs={name: 1}).generation_kwargs == {name: 1}


def test_nothing_limits_the_length_of_an_answer_unless_asked_for() -> None:
    with openai_server() as server:
        ask(OpenAILLM(model="m", base_url=server.url))
    assert not {"max_tokens", "max_completion_tokens"} & server.requests[0].body.keys()


# Keys


def test_openai_without_a_key_is_refused_at_load_naming_the_variable() -> None:
    with pytest.raises(MissingCredentialError, match="`OPENAI_API_KEY`"):
        OpenAILLM(model="m").load()


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://eu.api.openai.com/v1"])
def test_openais_own_addresses_need_a_key(url: str) -> None:
    with pytest.raises(MissingCredentialError):
        OpenAILLM(model="m", base_url=url).load()


def test_an_empty_key_is_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    with pytest.raises(MissingCredentialError):
        OpenAILLM(model="m").load()


def test_another_server_is_called_without_a_key() -> None:
    with openai_server() as server:
        llm = OpenAILLM(model="m", base_url=server.url)
        llm.load()
        assert ask(llm).generations[0].text == "echo: hi"
    assert server.requests[0].headers["authorization"] == "Bearer no-key"


def test_the_key_is_read_from_the_environment_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with openai_server() as server:
        llm = OpenAILLM(model="m", base_url=server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "from-environment\n")
        ask(llm)
    assert server.requests[0].headers["authorization"] == "Bearer from-environment"


def test_a_key_that_is_given_goes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    with openai_server() as server:
        ask(OpenAILLM(model="m", base_url=server.url, api_key=SecretStr("given")))
    assert server.requests[0].headers["authorization"] == "Bearer given"


def test_an_admin_key_in_the_environment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-key")
    with openai_server() as server:
        ask(OpenAILLM(model="m", base_url=server.url))
    assert "admin-key" not in "".join(server.requests[0].headers.values())


# Addresses


def test_the_base_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with openai_server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert ask(OpenAILLM(model="m")).generations[0].text == "echo: hi"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("localhost:8000/v1", "must be a URL"),
        ("http://user:hush@localhost/v1", "a user name or a password"),
        ("http://localhost/v1/chat/completions", "must stop before `/chat/completions`"),
    ],
)
def test_a_base_url_that_cannot_be_right_is_refused_when_the_backend_is_built(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault) as caught:
        OpenAILLM(model="m", base_url=url)
    assert "hush" not in str(caught.value)


def test_a_wrong_base_url_in_the_environment_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost")
    with pytest.raises(ConfigurationError, match="`OPENAI_BASE_URL` must be a URL"):
        OpenAILLM(model="m").load()


# Identity


def test_the_identity_holds_the_base_url_in_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = OpenAILLM(model="m")
    assert llm.identity["base_url"] == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1/")
    assert llm.identity["base_url"] == "http://localhost:8000/v1"


def test_the_same_server_named_in_a_field_and_in_the_environment_is_one_identity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = OpenAILLM(model="m", base_url="http://localhost:8000/v1/").identity
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert OpenAILLM(model="m").identity == given


def test_who_pays_and_how_it_travels_is_no_part_of_the_identity() -> None:
    plain = OpenAILLM(model="m").identity
    paid = OpenAILLM(
        model="m", api_key=SecretStr("k"), organization="o", project="p", max_choices=1, timeout=3, max_concurrency=2
    )
    assert paid.identity == plain


def test_a_name_after_the_slash_is_the_model() -> None:
    assert OpenAILLM.from_model("Qwen/Qwen3-8B").model_name == "Qwen/Qwen3-8B"


# The client


def test_a_second_event_loop_gets_a_client_of_its_own_though_nobody_closed_the_first() -> None:
    with openai_server() as server:
        llm = OpenAILLM(model="m", base_url=server.url)
        texts = [ask(llm, str(number)).generations[0].text for number in range(3)]
    assert texts == ["echo: 0", "echo: 1", "echo: 2"]


def test_a_backend_that_was_closed_can_be_used_again() -> None:
    async def twice(llm: OpenAILLM) -> list[str | None]:
        texts = []
        for _ in range(2):
            texts.append((await llm.agenerate(request())).generations[0].text)
            await llm.aclose()
        return texts

    with openai_server() as server:
        assert asyncio.run(twice(OpenAILLM(model="m", base_url=server.url))) == ["echo: hi"] * 2


def test_closing_what_was_never_used_does_nothing() -> None:
    asyncio.run(OpenAILLM(model="m").aclose())


def test_as_many_requests_as_max_concurrency_travel_at_once_on_connections_that_are_kept() -> None:
    width = 150

    async def waves(llm: OpenAILLM) -> None:
        for _ in range(2):
            await asyncio.gather(*(llm.agenerate(request()) for _ in range(width)))

    with openai_server(gather=width) as server:
        asyncio.run(waves(OpenAILLM(model="m", base_url=server.url, max_concurrency=width)))
    assert server.most_in_flight == width
    assert len({sent.connection for sent in server.requests}) == width


def test_a_backend_in_use_is_equal_to_a_fresh_one_and_can_be_pickled() -> None:
    async def use(llm: OpenAILLM) -> OpenAILLM:
        await llm.agenerate(request())
        copy: OpenAILLM = pickle.loads(pickle.dumps(llm))
        assert copy == llm == OpenAILLM(model="m", base_url=llm.base_url)
        return copy

    with openai_server() as server:
        copy = asyncio.run(use(OpenAILLM(model="m", base_url=server.url)))
        assert ask(copy).generations[0].text == "echo: hi"
