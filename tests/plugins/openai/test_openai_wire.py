"""What no server and no setting may do: fill the memory, send a prompt on, show a secret, hide the SDK."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from pydantic import SecretStr

from limbeck.errors import BadRequestError, ConfigurationError, TransientError
from limbeck_openai import AzureOpenAILLM, OpenAILLM
from support.asking import ask, failure
from support.provider_server import Reply
from support.questions import Ask, questions
from support.wire import (
    ECHOES,
    QUOTED_SECRETS,
    as_another_host,
    bomb,
    echo_of_query,
    leaks,
    logged,
    redirect,
    redirect_with_query,
    said_of,
    wire_server,
)

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "paid"}}]}
KEY = SecretStr("a-key-of-a-test")


def llm_at(url: str, **fields: Any) -> OpenAILLM:
    return OpenAILLM(model="m", base_url=url, **{"api_key": KEY, "max_attempts": 1, **fields})


# Bounds


@pytest.mark.parametrize("status", [200, 400, 503])
def test_a_response_that_unpacks_to_more_than_the_bound_is_a_typed_failure(status: int) -> None:
    big = bomb(3_000_000)
    with wire_server(Reply(body=big.body, status=status, headers=big.headers)) as server:
        error = failure(llm_at(server.url, max_response_bytes=1_000_000))
    assert isinstance(error, BadRequestError)
    assert "more than 1,000,000 bytes" in str(error)
    assert "`max_response_bytes`" in str(error)


def test_a_response_that_is_too_long_unpacked_or_not_is_not_read() -> None:
    with wire_server(Reply(body={**GOOD, "padding": "x" * 5000})) as server:
        assert "max_response_bytes" in str(failure(llm_at(server.url, max_response_bytes=4000)))
        assert ask(llm_at(server.url, max_response_bytes=6000)).generations[0].text == "paid"


def test_a_packed_answer_within_the_bound_is_read() -> None:
    import gzip
    import json

    packed = gzip.compress(json.dumps(GOOD).encode())
    with wire_server(Reply(body=packed, headers={"content-encoding": "gzip"})) as server:
        assert ask(llm_at(server.url)).generations[0].text == "paid"


def test_a_packed_answer_that_is_broken_is_transient() -> None:
    with wire_server(Reply(body=b"no gzip", headers={"content-encoding": "gzip"})) as server:
        assert isinstance(failure(llm_at(server.url)), TransientError)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed_and_names_both(status: int) -> None:
    with wire_server(Reply(body=GOOD)) as other:
        elsewhere = as_another_host(other.url)
        with wire_server(redirect(elsewhere, status=status)) as server:
            error = failure(llm_at(server.url))
        assert other.requests == []
    assert isinstance(error, BadRequestError)
    for address in (server.root, as_another_host(other.root)):
        assert address.removeprefix("http://") in str(error)


@pytest.mark.parametrize(
    "location", ["//localhost/v1", "ftp://127.0.0.1/v1", "http://[", "https://127.0.0.1.evil.example/"]
)
def test_a_redirect_to_what_is_another_host_in_disguise_is_not_followed(location: str) -> None:
    with wire_server(redirect(location)) as server:
        assert "redirects" in str(failure(llm_at(server.url)))


def test_a_redirect_on_the_same_host_is_followed() -> None:
    with wire_server(redirect("/elsewhere/chat/completions"), Reply(body=GOOD)) as server:
        assert ask(llm_at(server.url)).generations[0].text == "paid"
    assert [request.path for request in server.requests] == ["/v1/chat/completions", "/elsewhere/chat/completions"]


# Secrets in URLs and parameters


@pytest.mark.parametrize("end", ["?", "/?"])
def test_a_query_in_the_base_url_is_sent_with_every_request_and_shown_nowhere(
    end: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with wire_server(Reply(body=GOOD)) as server:
        llm = llm_at(f"{server.url}{end}tenant=a&token=TOPSECRET")
        assert leaks("TOPSECRET", llm, tmp_path / "run") == []
    (request,) = server.requests
    assert (request.path, request.query) == ("/v1/chat/completions", "tenant=a&token=TOPSECRET")
    assert llm.base_url == server.url
    assert [record for record in logged(caplog) if "TOPSECRET" in record] == []


def test_a_query_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with wire_server(Reply(body=GOOD)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}?token=TOPSECRET")
        assert leaks("TOPSECRET", OpenAILLM(model="m", api_key=KEY), tmp_path / "run") == []
    assert server.requests[0].query == "token=TOPSECRET"


def test_the_query_of_azure_goes_beside_the_version(tmp_path: Path) -> None:
    with wire_server(Reply(body=GOOD)) as server:
        llm = AzureOpenAILLM(model="m", azure_endpoint=f"{server.root}/?sig=TOPSECRET", api_version="v", api_key=KEY)
        assert leaks("TOPSECRET", llm, tmp_path / "run") == []
    assert server.requests[0].query == "api-version=v&sig=TOPSECRET"


def test_a_server_that_echoes_a_secret_of_the_query_gets_it_into_no_error() -> None:
    with wire_server(Reply(body={"error": {"message": "The token TOPSECRET/1 is bad"}}, status=400)) as server:
        error = failure(llm_at(f"{server.url}?token=TOPSECRET%2F1"))
    assert "TOPSECRET" not in str(error)


def test_what_is_no_secret_in_a_query_tells_servers_apart_and_a_secret_does_not() -> None:
    one, two = (llm_at(f"http://localhost/v1?tenant={tenant}&token=x").identity for tenant in ("a", "b"))
    other_token = llm_at("http://localhost/v1?tenant=a&token=y").identity
    assert one != two
    assert one == other_token


def test_a_query_that_is_given_alone_is_sent_too() -> None:
    with wire_server(Reply(body=GOOD)) as server:
        ask(llm_at(server.url, url_query=SecretStr("?token=TOPSECRET")))
    assert server.requests[0].query == "token=TOPSECRET"


def test_two_queries_that_differ_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="another in `url_query`"):
        llm_at("http://localhost/v1?a=1", url_query=SecretStr("a=2"))


def test_a_copy_with_other_parameters_keeps_the_query() -> None:
    from limbeck._task.rerunning import with_parameters

    with wire_server(Reply(body=GOOD)) as server:
        ask(with_parameters(llm_at(f"{server.url}?token=TOPSECRET"), {"temperature": 0.5}))
    assert server.requests[0].query == "token=TOPSECRET"


@pytest.mark.parametrize(
    "parameters",
    [
        {"extra_headers": {"X-Gateway-Token": "TOPSECRET"}},
        {"extra_headers": {"Ocp-Apim-Subscription-Key": "TOPSECRET"}},
        {"extra_headers": {"X-Forwarded": "Bearer TOPSECRET"}},
        {"extra_query": {"sig": "TOPSECRET"}},
        {"extra_query": {"access_token": "TOPSECRET"}},
        {"extra_body": {"api_key": "TOPSECRET"}},
        {"extra_body": {"litellm": [{"credentials": {"password": "TOPSECRET"}}]}},
    ],
    ids=repr,
)
def test_a_secret_in_an_extra_parameter_is_refused_without_being_shown(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="stored with a run") as caught:
        OpenAILLM(model="m", generation_kwargs=parameters)
    assert "TOPSECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"extra_body": {"max_tokens": 5, "stop_token_ids": [1], "prompt_cache_key": "a", "top_k": 4}},
        {"extra_body": {"guided_json": {"properties": {"password": {"type": "string"}, "key": {"type": "string"}}}}},
        {"extra_headers": {"OpenAI-Beta": "a", "Idempotency-Key": "b"}},
        {"extra_query": {"api-version": "2024-01-01"}},
    ],
    ids=repr,
)
def test_an_extra_parameter_that_is_no_secret_is_taken(parameters: dict[str, Any]) -> None:
    assert OpenAILLM(model="m", generation_kwargs=parameters).generation_kwargs == parameters


# Keys


ODD_KEYS = {
    "\u2013": "en dash",
    "\n": "U\\+000A",
    "\u200b": "zero width space",
    "é": "latin small letter e",
    " ": "space",
    "\x7f": "U\\+007F",
}


@pytest.mark.parametrize(("letter", "name"), ODD_KEYS.items())
def test_a_key_that_no_header_can_hold_is_refused_before_the_first_row(letter: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?i)`api_key` holds a character .*{name}") as caught:
        OpenAILLM(model="m", api_key=SecretStr(f"sk-key{letter}of-a-test")).load()
    assert "sk-key" not in str(caught.value)


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
def test_a_variable_that_no_header_can_hold_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-a-test")
    monkeypatch.setenv(variable, "one\ntwo")
    with pytest.raises(ConfigurationError, match=f"`{variable}`"):
        OpenAILLM(model="m").load()


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\n{}"])
def test_white_space_around_a_key_is_no_part_of_it(around: str) -> None:
    with wire_server(Reply(body=GOOD)) as server:
        ask(llm_at(server.url, api_key=SecretStr(around.format("a-key-of-a-test"))))
    assert server.requests[0].headers["authorization"] == "Bearer a-key-of-a-test"


def test_an_extra_header_that_cannot_be_sent_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="'X-Team'"):
        OpenAILLM(model="m", generation_kwargs={"extra_headers": {"X-Team": "a\nb"}})


# The SDK


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("openai.py", "question = 1"),
        ("openai.py", "raise SystemExit(3)"),
        ("openai/__init__.py", ""),
        ("openai/__init__.py", "1 / 0"),
    ],
)
def test_what_hides_the_sdk_is_named_and_not_run_where_it_is_a_script(file: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    program = (
        "from limbeck.errors import ConfigurationError\n"
        "from limbeck_openai import OpenAILLM\n"
        "try:\n    OpenAILLM(model='m', api_key='k').load()\n"
        "except ConfigurationError as exc:\n    print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(path) in done.stdout


# Secrets in a query, quoted anew


@pytest.mark.parametrize("secret", QUOTED_SECRETS)
@pytest.mark.parametrize("echo", ECHOES)
def test_a_secret_that_a_server_repeats_is_shown_nowhere_however_it_is_quoted(
    echo: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    with wire_server(*(echo_of_query(ECHOES[echo], status) for status in (400, 200, 503))) as server:
        said = "".join(said_of(llm_at(f"{server.url}?token={secret}"), caplog) for _ in range(3))
    assert [part for part in ("TOP", "SEC", "RET") if part in said] == []


@pytest.mark.parametrize("secret", QUOTED_SECRETS)
def test_a_redirect_that_keeps_the_query_shows_no_secret_and_repeats_none(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    with wire_server(redirect_with_query, Reply(body=GOOD)) as server:
        said = said_of(llm_at(f"{server.url}?token={secret}&tenant=a"), caplog)
    assert "paid" in said
    assert [part for part in ("TOP", "SEC", "RET") if part in said] == []
    first, second = (sorted(parse_qsl(request.query, True)) for request in server.requests)
    assert second == sorted([*first, ("more", "1")])


# The environment


ODD_VARIABLES = [
    ("HTTPS_PROXY", "not a url"),
    ("ALL_PROXY", "socks5://localhost:1"),
    ("SSL_CERT_FILE", "/nowhere"),
    ("REQUESTS_CA_BUNDLE", "/nowhere"),
    ("OPENAI_CUSTOM_HEADERS", "X-Team: \u00e9"),
    ("OPENAI_CUSTOM_HEADERS", "X-Team: a\nb"),
    ("OPENAI_ORG_ID", "acm\u00e9"),
    ("OPENAI_PROJECT_ID", "a\nb"),
]


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (OpenAILLM, {"base_url": "http://127.0.0.1:1/v1"}),
        (AzureOpenAILLM, {"azure_endpoint": "https://127.0.0.1:1", "api_version": "v"}),
    ],
)
@pytest.mark.parametrize(("variable", "value"), ODD_VARIABLES)
def test_a_variable_that_no_client_could_use_is_named_before_any_row(
    variable: str, value: str, kind: Any, address: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    llm = kind(model="m", api_key=KEY, **address)
    for ask_it in (llm.load, lambda: ask(llm), lambda: list(Ask(llm=llm).run(questions(1)))):
        with pytest.raises(ConfigurationError, match=f"`{variable}`"):
            ask_it()
