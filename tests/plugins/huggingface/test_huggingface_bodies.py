"""Answers of every shape, and what the wire allows: the neighbours of the tests of limbeck-openai."""

from __future__ import annotations

import gzip
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from pydantic import SecretStr

from limbeck.errors import AuthenticationError, BadRequestError, ConfigurationError, RateLimitError, TransientError
from limbeck_huggingface import InferenceEndpointsLLM
from support.asking import ask, failure, text_of
from support.provider_server import Asked, Reply
from support.questions import METADATA, Ask, questions
from support.wire import (
    ECHOES,
    QUOTED_SECRETS,
    WireServer,
    as_another_host,
    bomb,
    echo_of_query,
    events,
    faults,
    leaks,
    logged,
    redirect,
    redirect_with_query,
    said_of,
    spoiled_answers,
    spoiled_refusals,
    spoiled_streams,
    wire_server,
)

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "paid", "logprob": -0.1}]},
            "message": {"role": "assistant", "content": "paid", "reasoning": "because", "tool_calls": []},
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
}
CHUNKS = [
    {"choices": [{"index": 0, "delta": {"content": "pa"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "id"}, "finish_reason": "stop"}], "usage": GOOD["usage"]},
]


def llm_at(url: str, **fields: Any) -> InferenceEndpointsLLM:
    return InferenceEndpointsLLM(
        **{"base_url": url, "api_key": SecretStr("a-key-of-a-test"), "max_attempts": 1, **fields}
    )


def one_at_a_time(server: WireServer) -> InferenceEndpointsLLM:
    return llm_at(server.url, max_concurrency=1, breaker_threshold=10_000)


@pytest.mark.parametrize("seed", range(3))
def test_a_spoiled_answer_keeps_its_text_or_fails_with_a_type(seed: int) -> None:
    spoiled = spoiled_answers(GOOD, ("choices", 0, "message", "content"), seed=seed, number=150)
    assert faults(one_at_a_time, spoiled, "paid") == []


def test_a_spoiled_stream_or_refusal_is_an_answer_or_fails_with_a_type() -> None:
    spoiled = [*spoiled_streams(CHUNKS, seed=1, number=150), *spoiled_refusals(seed=1, number=150)]
    assert faults(one_at_a_time, spoiled, "paid") == []


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
def test_a_stream_that_nobody_asked_for_is_read(content_type: str) -> None:
    with wire_server(Reply(body=events(*CHUNKS, "[DONE]"), content_type=content_type)) as server:
        response = ask(llm_at(server.url))
    assert response.generations[0].text == "paid"
    assert response.usage is not None
    assert response.usage.input_tokens == 5


@pytest.mark.parametrize("before", [[], CHUNKS[:1]], ids=["at once", "after a piece"])
def test_an_error_in_a_stream_is_the_one_that_it_says(before: list[Any]) -> None:
    error = {"error": {"message": "Invalid API key", "code": "invalid_api_key"}}
    with wire_server(Reply(body=events(*before, error), content_type="text/event-stream")) as server:
        assert isinstance(failure(llm_at(server.url)), AuthenticationError)


def test_a_stream_that_breaks_off_is_transient() -> None:
    with wire_server(Reply(body=events(CHUNKS[0]), content_type="text/event-stream")) as server:
        assert isinstance(failure(llm_at(server.url)), TransientError)


def test_events_of_text_generation_are_read(tokenizer_folder: str) -> None:
    token = {"index": 1, "token": {"text": "paid", "special": False}, "generated_text": None}
    last = {"index": 2, "token": {"text": "</s>", "special": True}, "generated_text": "paid", "details": None}
    with wire_server(Reply(body=events(token, last), content_type="text/event-stream")) as server:
        assert text_of(llm_at(server.url, tokenizer_id=tokenizer_folder)) == "paid"


@pytest.mark.parametrize("generated", [-1, 1.5, "many", None, [2]], ids=repr)
def test_an_odd_count_of_generated_tokens_costs_no_text(generated: Any, tokenizer_folder: str) -> None:
    body = [{"generated_text": "paid", "details": {"finish_reason": 5, "generated_tokens": generated}}]
    with wire_server(Reply(body=body)) as server:
        (row,) = Ask(llm=llm_at(server.url, tokenizer_id=tokenizer_folder)).run(questions(1))
    assert row["answer"] == "paid"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"error": "You have exceeded your monthly included credits for Inference Providers."}),
        (429, {"error": {"message": "Insufficient balance", "code": "1113"}}),
        (429, {"detail": "quota exhausted"}),
        (400, [{"error": {"message": "no", "type": "billing_not_active"}}]),
        (200, {"error": {"message": "no", "code": "402"}}),
        (200, {"error": "insufficient_quota"}),
    ],
    ids=repr,
)
def test_an_account_without_credit_stops_the_run(status: int, body: Any) -> None:
    with wire_server(Reply(body=body, status=status)) as server:
        with pytest.raises(AuthenticationError, match="no credit"):
            list(Ask(llm=llm_at(server.url, max_concurrency=1)).run(questions(5)))
        assert len(server.requests) == 1


def test_an_error_that_came_with_200_is_what_its_code_says() -> None:
    with wire_server(Reply(body={"error": {"message": "slow down", "code": "429"}})) as server:
        assert isinstance(failure(llm_at(server.url)), RateLimitError)


@pytest.mark.parametrize("status", [200, 500])
def test_a_response_that_unpacks_to_more_than_the_bound_is_a_typed_failure(status: int) -> None:
    big = bomb(3_000_000)
    with wire_server(Reply(body=big.body, status=status, headers=big.headers)) as server:
        error = failure(llm_at(server.url, max_response_bytes=1_000_000))
    assert isinstance(error, BadRequestError)
    assert "more than 1,000,000 bytes" in str(error)


def test_a_redirect_to_another_host_is_not_followed_and_names_both() -> None:
    with wire_server(Reply(body=GOOD)) as other:
        with wire_server(redirect(as_another_host(other.url))) as server:
            error = failure(llm_at(server.url))
        assert other.requests == []
    assert isinstance(error, BadRequestError)
    for address in (server.root, as_another_host(other.root)):
        assert address.removeprefix("http://") in str(error)


def test_a_query_in_the_base_url_is_sent_and_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with wire_server(Reply(body=GOOD)) as server:
        llm = llm_at(f"{server.url}?token=TOPSECRET")
        assert leaks("TOPSECRET", llm, tmp_path / "run") == []
    assert (server.requests[0].path, server.requests[0].query) == ("/v1/chat/completions", "token=TOPSECRET")
    assert llm.model_name == server.url
    assert [record for record in logged(caplog) if "TOPSECRET" in record] == []


def test_a_client_of_the_users_own_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2
    from huggingface_hub.utils import _http

    shared = httpx2.AsyncClient()
    before = vars(shared).copy()
    monkeypatch.setattr(_http, "_GLOBAL_ASYNC_CLIENT_FACTORY", lambda: shared)
    with wire_server(Reply(body=GOOD)) as server:
        assert text_of(llm_at(f"{server.url}?token=TOPSECRET")) == "paid"
    assert server.requests[0].query == "token=TOPSECRET"
    assert shared._transport is before["_transport"]
    assert shared._mounts == before["_mounts"]


def test_a_secret_in_the_extra_body_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'api_key'"):
        llm_at("http://localhost", generation_kwargs={"extra_body": {"auth": {"api_key": "TOPSECRET"}}})


# A model at an address


@pytest.mark.parametrize(
    ("fields", "sent"), [({}, "org/model"), ({"served_model_name": "local"}, "local")], ids=["as such", "renamed"]
)
def test_a_model_at_an_address_is_asked_there_by_its_name(fields: dict[str, Any], sent: str) -> None:

    with wire_server(Reply(body=GOOD)) as server:
        llm = llm_at(server.url, model_id="org/model", **fields)
        assert text_of(llm) == "paid"
    assert server.requests[0].body["model"] == sent
    assert llm.model_name == "org/model"
    assert (llm.identity["model_id"], llm.identity["base_url"]) == ("org/model", server.url)


def test_a_model_at_an_address_needs_no_key_of_hugging_face() -> None:
    llm = InferenceEndpointsLLM(model_id="org/model", base_url="http://localhost:8000/v1")
    llm.load()


def test_a_tokenizer_beside_a_model_at_an_address_makes_texts_of_chats(tokenizer_folder: str) -> None:
    with wire_server(Reply(body=[{"generated_text": "paid"}])) as server:
        llm = llm_at(server.url, model_id="org/model", tokenizer_id=tokenizer_folder)
        assert text_of(llm) == "paid"
    assert "inputs" in server.requests[0].body


@pytest.mark.parametrize("fields", [{"bill_to": "team"}, {"provider": "novita"}, {"endpoint_namespace": "me"}])
def test_what_belongs_to_the_hub_is_refused_beside_a_model_at_an_address(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(fields))):
        llm_at("http://localhost", model_id="org/model", **fields)


def test_a_query_without_a_base_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="url_query"):
        InferenceEndpointsLLM(model_id="org/model", url_query=SecretStr("token=x"))


BROKE = ["I am out of credits", "insufficient funds on my card", "payment required?", "Quota exhausted, says my phone"]


def echoing(asked: Asked) -> Reply:
    """A 400 that repeats the prompt, without quotes; an answer to a harmless one."""
    prompt = asked.body["messages"][-1]["content"]
    refused = Reply(body={"error": {"message": f"Cannot read {prompt}"}}, status=400)
    return Reply(body=GOOD) if prompt == "0" else refused


@pytest.mark.parametrize("question", BROKE)
def test_a_refusal_that_repeats_a_rows_own_words_of_credit_costs_that_row_alone(question: str) -> None:
    with wire_server(echoing, echoing) as server:
        rows = list(Ask(llm=llm_at(server.url, max_concurrency=1)).run([{"question": question}, {"question": "0"}]))
    assert [row["answer"] for row in rows] == [None, "paid"]
    assert rows[0][METADATA]["error_ask"]["type"] == "BadRequestError"


# Secrets in a query, quoted anew


@pytest.mark.parametrize("secret", QUOTED_SECRETS[::3])
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


@pytest.mark.parametrize("event", ['{"choices": [{"de', "<html>", "7"])
def test_an_event_that_cannot_be_read_costs_no_answer_and_is_told(event: str) -> None:
    with wire_server(Reply(body=events(CHUNKS[0], event, CHUNKS[1]))) as server:
        response = ask(llm_at(server.url))
    assert response.generations[0].text == "paid"
    assert list(response.left_out) == ["an event of its stream, number 2"]


@pytest.mark.parametrize("encoding", ["x-gzip", "", "gzip"])
def test_a_body_is_unpacked_by_what_it_is(encoding: str) -> None:
    body = json.dumps(GOOD).encode()
    replies = (Reply(body=each, headers={"content-encoding": encoding}) for each in (gzip.compress(body), body))
    with wire_server(*replies) as server:
        assert [ask(llm_at(server.url)).generations[0].text for _ in range(2)] == ["paid", "paid"]


def test_lines_of_json_and_another_charset_are_read() -> None:
    lines = "\n".join(json.dumps(part) for part in CHUNKS)
    latin = json.dumps(GOOD, ensure_ascii=False).replace("paid", "payé").encode("latin-1")
    with wire_server(
        Reply(body=lines, content_type="application/x-ndjson"),
        Reply(body=latin, content_type="application/json;charset=ISO-8859-1"),
    ) as server:
        assert [ask(llm_at(server.url)).generations[0].text for _ in range(2)] == ["paid", "payé"]


# The environment


ODD_VARIABLES = [
    ("HTTPS_PROXY", "not a url"),
    ("ALL_PROXY", "socks5://localhost:1"),
    ("SSL_CERT_FILE", "/nowhere"),
    ("REQUESTS_CA_BUNDLE", "/nowhere"),
    ("http_proxy", "ftp://localhost:1"),
]


@pytest.mark.parametrize(("variable", "value"), ODD_VARIABLES)
def test_a_variable_that_no_client_could_use_is_named_before_any_row(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    llm = llm_at("http://127.0.0.1:1")
    for ask_it in (llm.load, lambda: ask(llm), lambda: list(Ask(llm=llm).run(questions(1)))):
        with pytest.raises(ConfigurationError, match=f"`{variable}`"):
            ask_it()


def test_a_payer_that_no_header_can_hold_is_named() -> None:
    with pytest.raises(ConfigurationError, match="`bill_to`"):
        InferenceEndpointsLLM(model_id="a/b", api_key=SecretStr("hf_a-key-of-a-test"), bill_to="acm\u00e9").load()
