"""Answers of every shape: what is paid for is kept, and what is none is a typed failure."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    GenerationError,
    LimbeckWarning,
    RateLimitError,
    TransientError,
)
from limbeck_openai import OpenAILLM
from support.asking import ask, failure
from support.provider_server import Asked, Reply
from support.questions import METADATA, Ask, questions
from support.wire import (
    ODD_COUNTS,
    WireServer,
    events,
    faults,
    spoiled_answers,
    spoiled_refusals,
    spoiled_streams,
    wire_server,
)

GOOD: dict[str, Any] = {
    "id": "c-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "paid", "logprob": -0.1}]},
            "message": {
                "role": "assistant",
                "content": "paid",
                "refusal": None,
                "reasoning_content": "because",
                "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}


STREAM: list[dict[str, Any]] = [
    {"model": "m", "choices": [{"index": 0, "delta": {"content": "pa", "reasoning": "so"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f"}}]}}]},
    {"choices": [{"index": 0, "delta": {"content": "id"}, "finish_reason": "stop"}], "usage": GOOD["usage"]},
]


def llm_at(server: WireServer, **fields: Any) -> OpenAILLM:
    return OpenAILLM(model="m", base_url=server.url, api_key=SecretStr("a-key-of-a-test"), max_attempts=1, **fields)


def one_at_a_time(server: WireServer) -> OpenAILLM:
    return llm_at(server, max_concurrency=1, breaker_threshold=10_000)


def told_of(server: WireServer, words: str) -> Any:
    """The stream of one row, whose text is kept, with a warning in these words."""
    with pytest.warns(LimbeckWarning, match=words):  # noqa: PT031 - it is told while the rows are taken
        stream = Ask(llm=llm_at(server)).run(questions(1))
        assert [row["answer"] for row in stream] == ["paid"]
    return stream


def with_choice(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "choices": [{**GOOD["choices"][0], **changes}]}


def with_message(**changes: Any) -> dict[str, Any]:
    return with_choice(message={"role": "assistant", "content": "paid", **changes})


@pytest.mark.parametrize("seed", range(3))
def test_a_spoiled_answer_keeps_its_text_or_fails_with_a_type(seed: int) -> None:
    spoiled = spoiled_answers(GOOD, ("choices", 0, "message", "content"), seed=seed, number=150)
    assert faults(one_at_a_time, spoiled, "paid") == []


def test_a_spoiled_stream_or_refusal_is_an_answer_or_fails_with_a_type() -> None:
    spoiled = [*spoiled_streams(STREAM, seed=1, number=150), *spoiled_refusals(seed=1, number=150)]
    assert faults(one_at_a_time, spoiled, "paid") == []


@pytest.mark.parametrize("count", ODD_COUNTS, ids=lambda count: repr(count)[:20])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_cannot_be_read_leaves_the_tokens_unknown(name: str, count: Any) -> None:
    with wire_server(Reply(body={**GOOD, "usage": {**GOOD["usage"], name: count}})) as server:
        stream = told_of(server, "with `usage`")
    assert (stream.stats.input_tokens, stream.stats.output_tokens) == (0, 0)


@pytest.mark.parametrize("details", ["none", [1], {"cached_tokens": -1}, {"cached_tokens": "x"}], ids=repr)
def test_odd_details_of_the_tokens_leave_the_tokens(details: Any) -> None:
    with wire_server(Reply(body={**GOOD, "usage": {**GOOD["usage"], "prompt_tokens_details": details}})) as server:
        stream = told_of(server, "cached_tokens")
    assert (stream.stats.input_tokens, stream.stats.cached_tokens) == (5, 0)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (["pa", "id"], "paid"),
        ([{"type": "text", "text": "pa"}, "id"], "paid"),
        ([{"type": "output_text", "text": {"value": "paid"}}], "paid"),
        ({"type": "text", "text": "paid"}, "paid"),
        ([{"type": "thinking", "thinking": ["so"]}, {"type": "text", "text": "paid"}], "paid"),
        ({"capital": "Madrid"}, '{"capital": "Madrid"}'),
        (42, "42"),
    ],
    ids=repr,
)
def test_content_of_every_shape_is_text(content: Any, text: str) -> None:
    with wire_server(Reply(body=with_message(content=content))) as server:
        assert ask(llm_at(server)).generations[0].text == text


@pytest.mark.parametrize(
    "reasoning",
    [
        {"reasoning_content": [{"type": "text", "text": "so"}]},
        {"reasoning": {"summary": "so"}},
        {"reasoning": {"summary": [{"type": "summary_text", "text": "so"}]}},
        {"content": [{"type": "thinking", "thinking": "so"}, {"type": "text", "text": "paid"}]},
        {"content": [{"type": "thinking", "thinking": ["s", {"text": "o"}]}, "paid"]},
        {"content": [{"type": "reasoning", "summary": [{"text": "so"}]}, "paid"]},
    ],
    ids=repr,
)
def test_reasoning_of_every_shape_is_text(reasoning: dict[str, Any]) -> None:
    with wire_server(Reply(body=with_message(**reasoning))) as server:
        (generation,) = ask(llm_at(server)).generations
    assert (generation.text, generation.reasoning) == ("paid", "so")


@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "choices": GOOD["choices"][0]},
        with_choice(message="paid"),
        with_choice(message=None, text="paid"),
        {**GOOD, "choices": [None, *GOOD["choices"]]},
    ],
    ids=["one choice without a list", "a message that is a text", "a completion's text", "an empty choice before"],
)
def test_choices_of_every_shape_are_read(body: Any) -> None:
    with wire_server(Reply(body=body)) as server:
        assert ask(llm_at(server)).generations[0].text == "paid"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(GOOD).encode().replace(b"paid", b"pa\nid"),
        json.dumps(GOOD).encode().replace(b"paid", b"pa\xffid"),
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode().replace(b": 5", b": " + b"9" * 5000),
    ],
    ids=["a line end in a text", "bytes that are no text", "a number of 5,000 digits"],
)
def test_json_that_is_not_quite_that_is_read_all_the_same(body: bytes) -> None:
    with wire_server(Reply(body=body)) as server:
        text = ask(llm_at(server)).generations[0].text
    assert text is not None
    assert text.startswith("pa")
    assert text.endswith("id")


def test_json_that_is_nested_too_deeply_is_a_typed_failure() -> None:
    with wire_server(Reply(body=b"[" * 200_000)) as server:
        assert isinstance(failure(llm_at(server)), TransientError)


# Streams that nobody asked for


def chunk(delta: dict[str, Any], finish_reason: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


CALLS = [
    {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a'}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '": 1}'}}]},
]
USAGE = {"object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json", "text/plain"])
def test_a_stream_is_read_whatever_it_says_to_be(content_type: str) -> None:
    body = events(chunk({"content": "pa"}), chunk({"content": "id"}), chunk({}, "stop"), USAGE, "[DONE]")
    with wire_server(Reply(body=body, content_type=content_type)) as server:
        response = ask(llm_at(server))
    assert (response.generations[0].text, response.generations[0].finish_reason) == ("paid", "stop")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.model) == (5, 2, "m")


def test_a_stream_brings_reasoning_tool_calls_and_log_probabilities() -> None:
    first, second = ({"content": [{"token": token}]} for token in ("pa", "id"))
    chunks = [chunk({"reasoning_content": "so"}), *map(chunk, CALLS), chunk({"content": "paid"}, "tool_calls")]
    chunks[0]["choices"][0]["logprobs"], chunks[3]["choices"][0]["logprobs"] = first, second
    with wire_server(Reply(body=b": PROCESSING\r\n\r\n" + events(*chunks), content_type="text/event-stream")) as server:
        (generation,) = ask(llm_at(server)).generations
    assert (generation.text, generation.reasoning) == ("paid", "so")
    assert [call["function"] for call in generation.tool_calls or ()] == [{"name": "f", "arguments": '{"a": 1}'}]
    assert generation.logprobs == {"content": [{"token": "pa"}, {"token": "id"}]}


def test_a_stream_of_several_choices_keeps_them_apart() -> None:
    parts = [{"index": index, "delta": {"content": text}} for text in ("a", "b") for index in (1, 0)]
    body = events(*({"choices": [part]} for part in parts), "[DONE]")
    with wire_server(Reply(body=body)) as server:
        response = ask(llm_at(server), num_generations=2)
    assert [generation.text for generation in response.generations] == ["ab", "ab"]


@pytest.mark.parametrize(
    "body",
    [
        events(chunk({"content": "pa"}), USAGE),
        events(chunk({"content": "pa"}), USAGE, '{"choices": [{"de'),
    ],
    ids=["no end", "cut in an event"],
)
def test_a_stream_that_breaks_off_is_transient_and_has_its_tokens(body: bytes) -> None:
    with wire_server(Reply(body=body, content_type="text/event-stream")) as server:
        error = failure(llm_at(server))
    assert isinstance(error, TransientError)
    assert error.usage is not None
    assert error.usage.input_tokens == 5


def test_an_error_in_a_stream_is_that_error() -> None:
    body = events(chunk({"content": "pa"}), {"error": {"message": "slow down", "code": "rate_limit_exceeded"}})
    with wire_server(Reply(body=body, content_type="text/event-stream")) as server:
        assert isinstance(failure(llm_at(server)), RateLimitError)


PARTS = [chunk({"content": "pa"}), chunk({"content": "id"}), chunk({}, "stop")]
UNREADABLE = ['{"choices": [{"de', "<html>502</html>", "5", '"text"', "[1, 2]", "true", "\ufffd\ufffd"]


@pytest.mark.parametrize("event", UNREADABLE)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_event_that_cannot_be_read_costs_no_answer_and_is_told(event: str, place: int) -> None:
    body = events(*PARTS[:place], event, *PARTS[place:], "[DONE]")
    with wire_server(Reply(body=body, content_type="text/event-stream")) as server:
        told_of(server, f"with an event of its stream, number {place + 1}. It could not be read")


def test_an_unreadable_event_in_place_of_the_end_costs_no_answer() -> None:
    with wire_server(Reply(body=events(*PARTS[:2], "{garbled", "[DONE]"))) as server:
        (generation,) = ask(llm_at(server)).generations
    assert (generation.text, generation.finish_reason) == ("paid", None)


@pytest.mark.parametrize("event", ["", "ping", "null"])
def test_a_keep_alive_is_nothing_to_tell(event: str) -> None:
    with wire_server(Reply(body=events(PARTS[0], event, *PARTS[1:], "[DONE]", "what follows"))) as server:
        response = ask(llm_at(server))
    assert (response.generations[0].text, list(response.left_out)) == ("paid", [])


def test_many_events_that_cannot_be_read_are_named_up_to_five() -> None:
    with wire_server(Reply(body=events(PARTS[0], *["{"] * 9, *PARTS[1:]))) as server:
        assert list(ask(llm_at(server)).left_out) == ["an event of its stream, number 2, 3, 4, 5, 6 and 4 more"]


# Bodies that are packed, of lines, or in another charset


LINES = [json.dumps(part) for part in PARTS]
WHOLE = json.dumps(GOOD)


@pytest.mark.parametrize(
    "body",
    [
        "\n".join(LINES),
        "\r\n".join([*LINES, ""]),
        "".join(LINES),
        "".join(f"\x1e{line}\n" for line in LINES),
        "\ufeff" + "\n\n".join(LINES),
        "\n".join(json.dumps(part, indent=1) for part in PARTS),
        "\n".join([LINES[0], "<garbage>", *LINES[1:]]),
        WHOLE + "\n<!-- a gateway was here -->",
        WHOLE + "\n" + json.dumps(USAGE),
        WHOLE + "\n",
    ],
    ids=["lines", "CRLF", "nothing between", "separators", "a mark", "indented", "garbage", "a comment", "more", "one"],
)
def test_json_objects_one_after_another_are_read(body: str) -> None:
    with wire_server(Reply(body=body.encode(), content_type="application/x-ndjson")) as server:
        assert ask(llm_at(server)).generations[0].text == "paid"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "", "br"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_body_is_read_whatever_it_says_of_its_packing(encoding: str, packed: bool) -> None:
    body = gzip.compress(WHOLE.encode()) if packed else WHOLE.encode()
    with wire_server(Reply(body=body, headers={"content-encoding": encoding})) as server:
        assert ask(llm_at(server)).generations[0].text == "paid"


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "utf-16"])
def test_a_body_in_another_charset_is_read(charset: str) -> None:
    body = json.dumps(with_message(content="payé"), ensure_ascii=False).encode(charset)
    with wire_server(Reply(body=body, content_type=f"application/json; charset={charset}")) as server:
        assert ask(llm_at(server)).generations[0].text == "payé"


@pytest.mark.parametrize("status", [200, 400, 503])
def test_bytes_that_nobody_can_read_are_a_typed_failure(status: int) -> None:
    reply = Reply(body=b"\x1f\x8b\x08\xff\xfe\x80", status=status, headers={"content-encoding": "gzip"})
    with wire_server(reply) as server:
        assert isinstance(failure(llm_at(server)), BadRequestError if status == 400 else TransientError)


# No credit


NO_CREDIT: list[tuple[int, Any]] = [
    (402, {}),
    (402, "Payment Required"),
    (429, {"error": {"message": "You exceeded your current quota, please check your plan and billing details."}}),
    (429, {"error": {"message": "quota", "type": "insufficient_quota", "code": None}}),
    (429, [{"error": {"code": 429, "message": "Your prepaid credits are depleted."}}]),
    (429, {"detail": "Quota exhausted"}),
    (429, {"detail": {"code": "insufficient_quota", "message": "no"}}),
    (429, {"error": "insufficient_quota"}),
    (429, {"error": {"message": "Your account balance is insufficient.", "code": "1113"}}),
    (400, {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}),
    (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
    (403, {"error": {"message": "Your team has used all available credits or reached its monthly spending limit"}}),
    (200, {"error": {"message": "Insufficient Balance", "code": "402"}}),
    (200, {"error": {"message": "no", "code": "insufficient_quota"}}),
    (200, {"error": "insufficient_quota"}),
    (200, {"code": "402", "message": "pay first"}),
    (200, [{"error": {"message": "billing is not active", "code": "429"}}]),
]


@pytest.mark.parametrize(("status", "body"), NO_CREDIT, ids=repr)
def test_an_account_without_credit_stops_the_run_in_whatever_words_it_is_said(status: int, body: Any) -> None:
    with wire_server(Reply(body=body, status=status)) as server:
        with pytest.raises(AuthenticationError, match="no credit"):
            list(Ask(llm=llm_at(server, max_concurrency=1)).run(questions(5)))
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (429, {"error": {"message": "Rate limit reached on tokens per min. Add a payment method; see billing."}}, {}),
        (429, {"error": {"message": "Resource has been exhausted (e.g. check quota).", "code": 429}}, {}),
        (429, {"error": {"message": "Quota exceeded for metric requests per minute."}}, {}),
        (429, {"error": {"message": "You exceeded your current quota."}}, {"retry-after": "3"}),
        (200, {"error": {"message": "slow down", "code": "429"}}, {}),
        (200, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, {}),
    ],
    ids=repr,
)
def test_a_rate_that_time_mends_is_no_lack_of_credit(status: int, body: Any, headers: dict[str, str]) -> None:
    with wire_server(Reply(body=body, status=status, headers=headers)) as server:
        assert isinstance(failure(llm_at(server)), RateLimitError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("401", AuthenticationError),
        ("invalid_api_key", AuthenticationError),
        ("503", TransientError),
        (None, TransientError),
    ],
)
def test_a_code_in_an_error_that_came_with_200_says_what_it_is(code: Any, kind: type[GenerationError]) -> None:
    with wire_server(Reply(body={"error": {"message": "no", "code": code}})) as server:
        assert isinstance(failure(llm_at(server)), kind)


BROKE = ["I am out of credits", "insufficient funds on my card", "payment required?", "Quota exhausted, says my phone"]


def echoing(asked: Asked) -> Reply:
    """A 400 that repeats the prompt, without quotes; an answer to a harmless one."""
    prompt = asked.body["messages"][-1]["content"]
    refused = Reply(body={"error": {"message": f"Cannot read {prompt}"}}, status=400)
    return Reply(body=GOOD) if prompt == "0" else refused


@pytest.mark.parametrize("question", BROKE)
def test_a_refusal_that_repeats_a_rows_own_words_of_credit_costs_that_row_alone(question: str) -> None:
    with wire_server(echoing, echoing) as server:
        rows = list(Ask(llm=llm_at(server, max_concurrency=1)).run([{"question": question}, {"question": "0"}]))
    assert [row["answer"] for row in rows] == [None, "paid"]
    assert rows[0][METADATA]["error_ask"]["type"] == "BadRequestError"
