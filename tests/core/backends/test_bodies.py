"""Bodies and their parts, in the shapes that servers give them. (The plugins' tests try them through real servers.)"""

from __future__ import annotations

import json
from typing import Any

import pytest

from limbeck.backends import (
    chat_usage,
    completion_in,
    decoded,
    events_in,
    fault_of,
    is_error_body,
    is_event_stream,
    legible,
    messages_in,
    read_refusal,
    reasoning_in,
    text_in,
    tokens_in,
    typed_cause,
)
from limbeck.errors import BadRequestError, TransientError, UnavailableError
from limbeck.types import Generation, GenerationResponse, Usage


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": ' + b"9" * 5000 + b"}", {"a": float("inf")}),
        (b" no JSON ", "no JSON"),
        (b"", ""),
    ],
    ids=["JSON", "a mark before it", "a line end in a text", "no UTF-8", "a long number", "a text", "nothing"],
)
def test_a_body_is_its_json_or_else_its_text(content: bytes, value: Any) -> None:
    assert decoded(content) == value


def test_events_are_read_whatever_ends_their_lines() -> None:
    content = b': hello\r\nevent: x\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata:[DONE]\n\nid: 5\n\ndata: {"last": 1}'
    assert is_event_stream(content)
    assert list(events_in(content)) == [{"a": 1}, "[DONE]", {"last": 1}]


@pytest.mark.parametrize("content", [b'{"data:": 1}', b"", b"[1]", b"<html>data: </html>"])
def test_what_is_no_stream_is_not_taken_for_one(content: bytes) -> None:
    assert not is_event_stream(content)


def test_tool_calls_without_an_index_begin_with_their_ids() -> None:
    pieces = [{"id": "a", "function": {"name": "f", "arguments": "{"}}, {"function": {"arguments": "}"}}, {"id": "b"}]
    chunks = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
    whole = completion_in(
        b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    )
    calls = whole["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"].get("arguments")) for call in calls] == [("a", "{}"), ("b", None)]


def test_a_stream_that_ends_early_is_transient() -> None:
    with pytest.raises(TransientError, match="before the answer did"):
        completion_in(b'data: {"choices": [{"delta": {"content": "pa"}}]}\n\n')


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("data", [b"", b"ping"])
def test_what_keeps_a_stream_alive_costs_no_answer(data: bytes, place: int) -> None:
    pieces = [b'{"choices": [{"delta": {"content": "paid"}, "finish_reason": "stop"}]}', b'{"cut": ']
    pieces.insert(place, data)
    whole = completion_in(b"".join(b"data: %s\n\n" % piece for piece in pieces))
    assert whole["choices"][0]["message"] == {"content": "paid"}


@pytest.mark.parametrize(
    ("value", "count"),
    [(5, 5), (5.0, 5), ("5", 5), ("5.0", 5), (0, 0), (-1, None), (1.5, None), (True, None), ("x", None), (2**63, None)],
)
def test_a_count_of_tokens_is_a_whole_number(value: Any, count: int | None) -> None:
    assert tokens_in(value) == count


def test_text_reasoning_and_messages_are_found_where_they_stand() -> None:
    parts = [{"type": "thinking", "thinking": [{"text": "so"}]}, "pa", {"type": "text", "text": "id"}]
    assert (text_in(parts), reasoning_in(content=parts)) == ("paid", "so")
    assert reasoning_in(None, "", {"summary": "so"}) == "so"
    assert reasoning_in({"odd": 1}) == {"odd": 1}
    assert messages_in({"choices": [{"message": "paid"}, 5]}) == [({"message": "paid"}, {"content": "paid"})]
    assert chat_usage({"prompt_tokens": 5}) == Usage(input_tokens=5)


def test_a_response_that_is_in_order_is_left_as_it_is() -> None:
    response = GenerationResponse(generations=[Generation(text="paid")], usage=Usage(input_tokens=5), model="m")
    assert legible(response) == (response, [])
    assert legible(response)[0] is response


def test_what_was_left_out_of_a_response_is_named() -> None:
    odd: Any = Generation(text="paid", finish_reason=1, tool_calls=[{"id": "a"}, 5])  # type: ignore[arg-type, list-item]
    read, left_out = legible(GenerationResponse(generations=[odd], model=5))  # type: ignore[arg-type]
    assert read == GenerationResponse(generations=[Generation(text="paid", tool_calls=[{"id": "a"}])])
    assert [word.partition(",")[0] for word in left_out] == ["`tool_calls`", "`finish_reason`", "`model`"]


@pytest.mark.parametrize("said", [["an event"], ("an event",), ["an event", 5]], ids=repr)
def test_what_a_backend_has_left_out_itself_is_told_too(said: Any) -> None:
    read, left_out = legible(GenerationResponse(generations=[Generation(text="paid")], left_out=said))
    assert (read, left_out) == (GenerationResponse(generations=[Generation(text="paid")]), ["an event"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ({"object": "error", "message": "no"}, "no"),
        ([{"error": {"message": "no"}}], "no"),
        ({"detail": [{"loc": ["body"], "msg": "no", "input": "the prompt"}]}, "no"),
        ("no", "no"),
        ({}, "no message"),
    ],
    ids=repr,
)
def test_the_words_of_a_refusal_are_found_in_every_form(body: Any, message: str) -> None:
    assert read_refusal(400, body).message == message


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"code": 401}}, 401),
        ({"error": {"code": "429"}}, 429),
        ({"error": {"type": "authentication_error"}}, 401),
        ({"error": {"message": "died"}}, 502),
    ],
    ids=repr,
)
def test_an_error_in_a_successful_response_claims_a_status(body: Any, status: int) -> None:
    assert is_error_body(body, answer="choices")
    assert read_refusal(200, body).status == status


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "Invalid prompt: 'Why was my card declined for insufficient funds?'", "invalid_request_error"),
        (400, "Could not parse 'payment required by law'", None),
        (422, 'Cannot read "my balance is too low"', None),
        (429, "Concurrent request quota exceeded, please wait", "rate_limit_exceeded"),
        (429, "Request quota exceeded, retry shortly", None),
        (429, "You have exceeded your token quota. Slow down.", None),
        (429, "Token quota exceeded", "rate_limit_error"),
    ],
)
def test_a_quoted_prompt_or_a_rate_is_no_lack_of_credit(status: int, message: str, code: str | None) -> None:
    assert not read_refusal(status, {"error": {"message": message, "code": code}}).no_credit


def test_a_lack_of_credit_in_an_invalid_request_is_one() -> None:
    message = "Your credit balance is too low; you don't have enough."
    body = {"error": {"message": message, "type": "invalid_request_error"}}
    assert read_refusal(400, body, sent=b'{"messages": [{"role": "user", "content": "Hello"}]}').no_credit


ECHOES = [
    (400, "Could not process: Is my balance is too low to pay?", "Is my balance is too low to pay?"),
    (422, "Unprocessable input Out of credits, what now", "Out of\ncredits, what now"),
    (400, "bad my quota exhausted; out of credits", [{"text": "MY QUOTA EXHAUSTED"}, "out of credits"]),
    (500, "crashed at insufficient_funds in <user> insufficient funds </user>", "insufficient funds"),
    (429, "busy with: payment required?", "Payment required?"),
    (413, "余额不足 is too long", "余额不足"),
]


@pytest.mark.parametrize(("status", "message", "prompt"), ECHOES, ids=repr)
def test_words_of_the_request_itself_are_no_lack_of_credit(status: int, message: str, prompt: Any) -> None:
    sent = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    for form in (sent, json.dumps(sent).encode(), json.dumps(sent, ensure_ascii=False).encode()):
        assert not read_refusal(status, {"error": {"message": message}}, sent=form).no_credit
    assert read_refusal(status, {"error": {"message": message}}, sent=b"{}").no_credit


def test_a_code_that_only_repeats_the_request_is_no_lack_of_credit() -> None:
    sent = b'{"messages": [{"content": "insufficient_quota"}]}'
    assert not read_refusal(400, {"error": "insufficient_quota"}, sent=sent).no_credit
    assert read_refusal(429, {"error": "insufficient_quota"}, sent=sent).no_credit


@pytest.mark.parametrize("status", [400, 413, 422])
def test_words_in_an_invalid_request_that_is_not_known_are_no_lack_of_credit(status: int) -> None:
    assert not read_refusal(status, {"error": "your credit balance is too low"}).no_credit
    assert read_refusal(status, {"error": {"code": "insufficient_quota"}}).no_credit


def test_other_words_than_those_of_the_request_are_a_lack_of_credit() -> None:
    sent = b'{"messages": [{"content": "What does out of credits mean?"}]}'
    message = "out of credits: your credit balance is too low"
    assert read_refusal(400, {"error": {"message": message}}, sent=sent).no_credit


def test_an_answer_is_no_error() -> None:
    assert not is_error_body({"choices": [1], "message": "thanks", "error": None}, answer="choices")


@pytest.mark.parametrize(
    "error",
    [{"message": "", "type": ""}, {"code": 0}, {"code": 0, "message": "success"}, "none", "", [], {"code": "0"}],
)
def test_an_empty_error_beside_an_answer_is_none(error: Any) -> None:
    assert not is_error_body({"choices": [1], "error": error}, answer="choices")
    assert is_error_body({"choices": [1], "error": {"code": 0, "message": "died"}}, answer="choices")


@pytest.mark.parametrize(
    ("status", "body", "guessed"),
    [(200, {"error": "died"}, True), (200, {"error": {"code": 502}}, False), (502, {"error": "died"}, False)],
)
def test_a_status_that_nobody_said_does_not_mean_a_server_that_is_away(status: int, body: Any, guessed: bool) -> None:
    refusal = read_refusal(status, body)
    assert (refusal.status, refusal.guessed) == (502, guessed)
    assert isinstance(fault_of(502, "died", guessed=refusal.guessed), UnavailableError) is not guessed


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        (400, {"error": {"message": "Budget has been exceeded!", "type": "budget_exceeded"}}),
        (403, {"error": "The team exceeded its monthly spending cap."}),
        (403, {"error": "Your credits have run out."}),
        (429, {"error": "You have reached your monthly usage limit."}),
        (403, {"error": "Please purchase more credits."}),
        (429, {"error": "Credit limit reached"}),
        (403, {"error": "There are unpaid invoices."}),
        (500, {"error": "insufficient balance"}),
    ],
)
def test_a_lack_of_credit_is_found_in_the_words_of_many_servers(status: int, body: Any) -> None:
    assert status != 200 or is_error_body(body, answer="choices")
    assert read_refusal(status, body).no_credit


def test_an_outcome_of_zero_is_no_error() -> None:
    assert not is_error_body({"choices": [1], "base_resp": {"status_code": 0, "status_msg": ""}}, answer="choices")


def test_the_typed_cause_of_an_error_is_not_what_was_handled_before() -> None:
    typed = BadRequestError("no")
    wrapped, unrelated = RuntimeError("wrapped"), RuntimeError("later")
    wrapped.__cause__, unrelated.__context__ = typed, typed
    assert typed_cause(wrapped) is typed
    assert typed_cause(unrelated) is None
