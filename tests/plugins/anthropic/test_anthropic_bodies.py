"""Answers of every shape, and what the wire allows: the neighbours of the tests of limbeck-openai."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from pydantic import SecretStr

from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    LimbeckWarning,
    RateLimitError,
    TransientError,
)
from limbeck_anthropic import AnthropicLLM
from support.asking import ask, failure
from support.provider_server import Asked, Reply
from support.questions import METADATA, Ask, questions
from support.wire import (
    ECHOES,
    ODD_COUNTS,
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

    from limbeck.types import ChatType

GOOD: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "end_turn",
    "content": [
        {"type": "text", "text": "paid"},
        {"type": "thinking", "thinking": "because", "signature": "s"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ],
    "usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 1, "output_tokens_details": None},
}


EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**GOOD, "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "paid"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


def llm_at(url: str, **fields: Any) -> AnthropicLLM:
    return AnthropicLLM(
        **{"model": "m", "base_url": url, "api_key": SecretStr("a-key-of-a-test"), "max_attempts": 1, **fields}
    )


def one_at_a_time(server: WireServer) -> AnthropicLLM:
    return llm_at(server.root, max_concurrency=1, breaker_threshold=10_000)


@pytest.mark.parametrize("seed", range(3))
def test_a_spoiled_answer_keeps_its_text_or_fails_with_a_type(seed: int) -> None:
    spoiled = spoiled_answers(GOOD, ("content", 0, "text"), seed=seed, number=150)
    assert faults(one_at_a_time, spoiled, "paid") == []


def test_a_spoiled_stream_or_refusal_is_an_answer_or_fails_with_a_type() -> None:
    spoiled = [*spoiled_streams(EVENTS, seed=1, number=150), *spoiled_refusals(seed=1, number=150)]
    assert faults(one_at_a_time, spoiled, "paid") == []


@pytest.mark.parametrize("count", ODD_COUNTS, ids=lambda count: repr(count)[:20])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cache_creation_input_tokens"])
def test_a_count_that_cannot_be_read_costs_no_text(name: str, count: Any) -> None:
    with wire_server(Reply(body={**GOOD, "usage": {**GOOD["usage"], name: count}})) as server:
        stream = Ask(llm=llm_at(server.root)).run(questions(1))
        assert [row["answer"] for row in stream] == ["paid"]
    assert (stream.stats.input_tokens, stream.stats.output_tokens) == (0, 0)


@pytest.mark.parametrize(
    "content",
    ["paid", ["pa", "id"], {"type": "text", "text": "paid"}, [{"text": "paid"}], [7, {"type": "text", "text": "paid"}]],
    ids=repr,
)
def test_content_of_every_shape_is_text(content: Any) -> None:
    with wire_server(Reply(body={**GOOD, "content": content})) as server:
        assert ask(llm_at(server.root)).generations[0].text == "paid"


@pytest.mark.parametrize("odd", [{"usage": "x"}, {"usage": [1]}, {"usage": {"output_tokens": "x"}}], ids=repr)
def test_a_stream_with_odd_counts_keeps_its_text(odd: dict[str, Any]) -> None:
    body = events(
        {"type": "message_start", "message": {**GOOD, "content": [], **odd}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "paid"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, **odd},
        {"type": "message_stop"},
    )
    with wire_server(Reply(body=body, content_type="text/event-stream")) as server:
        (row,) = Ask(llm=llm_at(server.root)).run(questions(1))
    assert row["answer"] == "paid"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {}),
        (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access."}}),
        (429, {"detail": "quota exhausted"}),
        (429, {"error": {"message": "no", "code": "insufficient_quota"}}),
        (429, [{"error": {"message": "Insufficient balance"}}]),
        (200, {"type": "error", "error": {"type": "billing_error", "message": "no"}}),
        (200, {"type": "error", "error": {"message": "no", "code": "402"}}),
    ],
    ids=repr,
)
def test_an_account_without_credit_stops_the_run(status: int, body: Any) -> None:
    with wire_server(Reply(body=body, status=status)) as server:
        with pytest.raises(AuthenticationError, match="add credit"):
            list(Ask(llm=llm_at(server.root, max_concurrency=1)).run(questions(5)))
        assert len(server.requests) == 1


@pytest.mark.parametrize("error", [{"message": "slow down", "code": "429"}, "rate_limit_exceeded"], ids=repr)
def test_an_error_without_its_type_that_came_with_200_is_what_its_code_says(error: Any) -> None:
    with wire_server(Reply(body={"error": error})) as server:
        assert isinstance(failure(llm_at(server.root)), RateLimitError)


@pytest.mark.parametrize("status", [200, 500])
def test_a_response_that_unpacks_to_more_than_the_bound_is_a_typed_failure(status: int) -> None:
    big = bomb(3_000_000)
    with wire_server(Reply(body=big.body, status=status, headers=big.headers)) as server:
        error = failure(llm_at(server.root, max_response_bytes=1_000_000))
    assert isinstance(error, BadRequestError)
    assert "more than 1,000,000 bytes" in str(error)


def test_a_redirect_to_another_host_is_not_followed_and_names_both() -> None:
    with wire_server(Reply(body=GOOD)) as other:
        with wire_server(redirect(as_another_host(other.root))) as server:
            error = failure(llm_at(server.root))
        assert other.requests == []
    assert isinstance(error, BadRequestError)
    for address in (server.root, as_another_host(other.root)):
        assert address.removeprefix("http://") in str(error)


def test_a_query_in_the_base_url_is_sent_and_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with wire_server(Reply(body=GOOD)) as server:
        llm = llm_at(f"{server.root}/?token=TOPSECRET")
        assert leaks("TOPSECRET", llm, tmp_path / "run") == []
    assert (server.requests[0].path, server.requests[0].query) == ("/v1/messages", "token=TOPSECRET")
    assert [record for record in logged(caplog) if "TOPSECRET" in record] == []


def test_a_query_in_the_environment_is_sent_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with wire_server(Reply(body=GOOD)) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{server.root}?token=TOPSECRET")
        assert leaks("TOPSECRET", llm_at("", base_url=None), tmp_path / "run") == []
    assert server.requests[0].query == "token=TOPSECRET"


def test_a_secret_of_the_query_that_is_echoed_is_in_no_error() -> None:
    with wire_server(Reply(body={"error": {"message": "bad token TOPSECRET"}}, status=400)) as server:
        assert "TOPSECRET" not in str(failure(llm_at(f"{server.root}?token=TOPSECRET")))


@pytest.mark.parametrize(
    "parameters",
    [
        {"extra_query": {"sig": "TOPSECRET"}},
        {"extra_body": {"api_key": "TOPSECRET"}},
        {"extra_headers": {"X-Key": "S"}},
    ],
    ids=repr,
)
def test_a_secret_in_an_extra_parameter_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="stored with a run"):
        llm_at("http://localhost", generation_kwargs=parameters)


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
@pytest.mark.parametrize("odd", ["one\ntwo", "one\u2013two"])
def test_a_key_that_no_header_can_hold_is_refused_by_its_variables_name(
    variable: str, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, odd)
    with pytest.raises(ConfigurationError, match=f"`{variable}`"):
        llm_at("http://localhost", api_key=None).load()


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_a_line_end_after_a_key_is_no_part_of_it(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "a-key-of-a-test\n")
    with wire_server(Reply(body=GOOD)) as server:
        assert ask(llm_at(server.root, api_key=None)).generations[0].text == "paid"
    assert server.requests[0].headers["authorization"] == "Bearer a-key-of-a-test"


# Empty texts


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


@pytest.mark.parametrize(
    ("chat", "sent"),
    [
        ([{"role": "user", "content": [text(""), text("b"), text(" \n")]}], [("user", [text("b")])]),
        (
            [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": None},
                {"role": "user", "content": "b"},
            ],
            [("user", [text("a"), text("b")])],
        ),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}], [("user", "a")]),
        ([{"role": "user", "content": []}, {"role": "user", "content": "b"}], [("user", "b")]),
        ([{"role": "system", "content": " "}, {"role": "user", "content": "b"}], [("user", "b")]),
        ([{"role": "system", "content": [text("")]}, {"role": "user", "content": "b"}], [("user", "b")]),
        (
            [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [text("")]}]}],
            [("user", [{"type": "tool_result", "tool_use_id": "t", "content": []}])],
        ),
    ],
    ids=repr,
)
def test_empty_texts_and_turns_are_not_sent(chat: ChatType, sent: list[tuple[str, Any]]) -> None:
    from limbeck.types import GenerationRequest

    body, _ = llm_at("http://localhost")._wire(GenerationRequest(messages=chat))
    assert [(message["role"], message["content"]) for message in body["messages"]] == sent
    assert "system" not in body


@pytest.mark.parametrize("content", ["", " ", [], [text("")], None], ids=repr)
def test_a_chat_that_says_nothing_is_refused_before_it_is_sent(content: Any) -> None:
    with wire_server(Reply(body=GOOD)) as server:
        llm = llm_at(server.root)
        with pytest.raises(BadRequestError, match="what is empty"):
            llm._wire(_request(content))
    assert server.requests == []


def _request(content: Any) -> Any:
    from limbeck.types import GenerationRequest

    return GenerationRequest(messages=[{"role": "user", "content": content}])


# The SDK


@pytest.mark.parametrize(
    ("file", "code"), [("anthropic.py", "x = 1"), ("anthropic/__init__.py", ""), ("anthropic.py", "1 / 0")]
)
def test_what_hides_the_sdk_is_named(file: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    program = (
        "from limbeck.errors import ConfigurationError\n"
        "from limbeck_anthropic import AnthropicLLM\n"
        "try:\n    AnthropicLLM(model='m', api_key='k').load()\n"
        "except ConfigurationError as exc:\n    print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(path) in done.stdout


def test_a_body_that_is_no_json_in_any_way_is_transient() -> None:
    for body in (b"", b"[" * 200_000, json.dumps("text").encode(), b"\xff\xfe"):
        with wire_server(Reply(body=body)) as server:
            assert isinstance(failure(llm_at(server.root)), TransientError)


BROKE = ["I am out of credits", "insufficient funds on my card", "payment required?", "Quota exhausted, says my phone"]


def echoing(asked: Asked) -> Reply:
    """A 400 that repeats the prompt, without quotes; an answer to a harmless one."""
    prompt = asked.body["messages"][-1]["content"]
    prompt = prompt if isinstance(prompt, str) else prompt[0]["text"]
    refused = Reply(body={"error": {"message": f"Cannot read {prompt}"}}, status=400)
    return Reply(body=GOOD) if prompt == "0" else refused


@pytest.mark.parametrize("question", BROKE)
def test_a_refusal_that_repeats_a_rows_own_words_of_credit_costs_that_row_alone(question: str) -> None:
    with wire_server(echoing, echoing) as server:
        rows = list(Ask(llm=llm_at(server.root, max_concurrency=1)).run([{"question": question}, {"question": "0"}]))
    assert [row["answer"] for row in rows] == [None, "paid"]
    assert rows[0][METADATA]["error_ask"]["type"] == "BadRequestError"


# Secrets in a query, quoted anew


@pytest.mark.parametrize("secret", QUOTED_SECRETS[::3])
@pytest.mark.parametrize("echo", ECHOES)
def test_a_secret_that_a_server_repeats_is_shown_nowhere_however_it_is_quoted(
    echo: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    with wire_server(*(echo_of_query(ECHOES[echo], status) for status in (400, 200, 503))) as server:
        said = "".join(said_of(llm_at(f"{server.root}?token={secret}"), caplog) for _ in range(3))
    assert [part for part in ("TOP", "SEC", "RET") if part in said] == []


@pytest.mark.parametrize("secret", QUOTED_SECRETS)
def test_a_redirect_that_keeps_the_query_shows_no_secret_and_repeats_none(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    with wire_server(redirect_with_query, Reply(body=GOOD)) as server:
        said = said_of(llm_at(f"{server.root}?token={secret}&tenant=a"), caplog)
    assert "paid" in said
    assert [part for part in ("TOP", "SEC", "RET") if part in said] == []
    first, second = (sorted(parse_qsl(request.query, True)) for request in server.requests)
    assert second == sorted([*first, ("more", "1")])


# Streams with events that cannot be read


def streamed(*data: Any) -> Reply:
    return Reply(body=events(*data), content_type="text/event-stream")


def delta(text: Any, index: Any = 0, kind: str = "text_delta") -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, "text": text, "thinking": text}}


START, BLOCK, _, _, _, END, STOP = EVENTS
TWO = [delta("pa"), delta("id")]


@pytest.mark.parametrize(
    "broken",
    [
        [START, BLOCK, TWO[0], "{garbled", TWO[1], END, STOP],
        [START, BLOCK, TWO[0], "<html>", TWO[1], END],
        [START, "{garbled", *TWO, END, STOP],
        [START, *TWO, END, STOP],
        ["{garbled", BLOCK, *TWO, END, STOP],
        [START, BLOCK, *TWO, delta(5), delta(None), END, STOP],
        [START, BLOCK, *TWO, {"type": "content_block_delta", "index": 0}, END, STOP],
        [START, BLOCK, *TWO, "{garbled", STOP],
        [START, BLOCK, *TWO, {"type": "message_delta", "usage": {"output_tokens": 2}}, STOP],
        [START, BLOCK, *TWO, delta("{", 7, "input_json_delta"), END, STOP],
        [START, {"type": "content_block_start", "index": 0, "content_block": None}, *TWO, END, STOP],
        [{"type": "message_start"}, BLOCK, *TWO, END, STOP],
    ],
    ids=repr,
)
def test_an_event_that_cannot_be_read_costs_no_text_and_is_told(broken: list[Any]) -> None:
    with wire_server(streamed(*broken)) as server, pytest.warns(LimbeckWarning, match="with an event of its stream"):
        rows = list(Ask(llm=llm_at(server.root)).run(questions(1)))
    assert [row["answer"] for row in rows] == ["paid"]


@pytest.mark.parametrize("index", [None, "0", 1.5, True])
def test_a_delta_of_no_block_by_number_belongs_to_the_last(index: Any) -> None:
    with wire_server(streamed(START, BLOCK, *(delta(text, index) for text in ("pa", "id")), END, STOP)) as server:
        response = ask(llm_at(server.root))
    assert (response.generations[0].text, list(response.left_out)) == ("paid", [])


def test_thinking_whose_beginning_was_lost_is_no_text() -> None:
    with wire_server(streamed(START, BLOCK, *TWO, delta("so", 1, "thinking_delta"), END, STOP)) as server:
        (generation,) = ask(llm_at(server.root)).generations
    assert (generation.text, generation.reasoning) == ("paid", "so")


def test_without_its_beginning_an_answer_counts_no_tokens_but_those_that_are_whole() -> None:
    whole = {**END, "usage": {"input_tokens": 5, "output_tokens": 2}}
    with wire_server(streamed(BLOCK, *TWO, END, STOP), streamed(BLOCK, *TWO, whole, STOP)) as server:
        part, all_of_it = (ask(llm_at(server.root)).usage for _ in range(2))
    assert part is None
    assert all_of_it is not None
    assert (all_of_it.input_tokens, all_of_it.output_tokens) == (5, 2)


@pytest.mark.parametrize("more", [[], [{"type": "ping"}], ["[DONE]"]], ids=repr)
def test_a_message_that_has_said_why_it_stopped_has_ended_without_its_last_event(more: list[Any]) -> None:
    with wire_server(streamed(START, BLOCK, *TWO, END, *more)) as server:
        response = ask(llm_at(server.root))
    (generation,) = response.generations
    assert (generation.text, generation.finish_reason, list(response.left_out)) == ("paid", "stop", [])


def test_a_message_that_has_not_said_why_it_stopped_has_broken_off() -> None:
    unfinished = {**START, "message": {**START["message"], "stop_reason": None}}
    with wire_server(streamed(unfinished, BLOCK, *TWO)) as server:
        error = failure(llm_at(server.root))
    assert isinstance(error, TransientError)
    assert error.usage is not None
    assert error.usage.input_tokens == 6


@pytest.mark.parametrize("divider", ["\n", ""])
def test_events_as_lines_of_json_are_read(divider: str) -> None:
    body = divider.join(json.dumps(event) for event in EVENTS).encode()
    with wire_server(Reply(body=body, content_type="application/x-ndjson")) as server:
        assert ask(llm_at(server.root)).generations[0].text == "paid"


@pytest.mark.parametrize("encoding", ["x-gzip", "", "gzip"])
def test_a_body_is_unpacked_by_what_it_is(encoding: str) -> None:
    body = json.dumps(GOOD).encode()
    replies = (Reply(body=each, headers={"content-encoding": encoding}) for each in (gzip.compress(body), body))
    with wire_server(*replies) as server:
        assert [ask(llm_at(server.root)).generations[0].text for _ in range(2)] == ["paid", "paid"]


def test_a_body_in_another_charset_is_read() -> None:
    body = json.dumps({**GOOD, "content": "payé"}, ensure_ascii=False).encode("latin-1")
    with wire_server(Reply(body=body, content_type="application/json; charset=iso-8859-1")) as server:
        assert ask(llm_at(server.root)).generations[0].text == "payé"


# The environment


ODD_VARIABLES = [
    ("HTTPS_PROXY", "not a url"),
    ("ALL_PROXY", "socks5://localhost:1"),
    ("SSL_CERT_FILE", "/nowhere"),
    ("REQUESTS_CA_BUNDLE", "/nowhere"),
    ("ANTHROPIC_CUSTOM_HEADERS", "X-Team: \u00e9"),
    ("ANTHROPIC_CUSTOM_HEADERS", "X-Team: a\nb"),
    ("ANTHROPIC_ORGANIZATION_ID", "acm\u00e9"),
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
