"""From the Messages API's answers to generations, whole or streamed alike."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import ContentFilteredError, RateLimitError, TransientError, UnavailableError
from limbeck.types import Generation, GenerationResponse, Quota, Usage
from support.anthropic_server import Answer, anthropic_server, count_tokens, thinking, tool_use
from support.provider_server import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def generation_of(ask: Callable[..., GenerationResponse], answer: Answer, *, stream: bool) -> Generation:
    with anthropic_server(answer) as server:
        (generation,) = ask(server, stream=stream).generations
        assert server.requests[0].body.get("stream", False) is stream
    return generation


@both_ways
def test_an_answer_is_its_text_its_model_and_its_usage(ask: Callable[..., GenerationResponse], stream: bool) -> None:
    with anthropic_server(reply="The capital of Spain is Madrid.") as server:
        response = ask(server, "Which one is it?", stream=stream)
    assert response == GenerationResponse(
        generations=(Generation(text="The capital of Spain is Madrid.", finish_reason="stop"),),
        usage=Usage(input_tokens=count_tokens("Which one is it?"), output_tokens=6),
        model="claude-sonnet-5-20260101",
    )


@both_ways
def test_text_blocks_are_concatenated(ask: Callable[..., GenerationResponse], stream: bool) -> None:
    blocks = [{"type": "text", "text": "According to the map, "}, {"type": "text", "text": "Madrid"}]
    assert generation_of(ask, Answer(".", blocks), stream=stream).text == "According to the map, Madrid."


@both_ways
def test_thinking_is_kept_apart_from_the_text(ask: Callable[..., GenerationResponse], stream: bool) -> None:
    answer = Answer("Madrid.", [thinking("Spain is a country."), thinking("So its capital.")])
    generation = generation_of(ask, answer, stream=stream)
    assert generation.text == "Madrid."
    assert generation.reasoning == "Spain is a country.\n\nSo its capital."


@both_ways
def test_redacted_and_withheld_thinking_are_no_reasoning(ask: Callable[..., GenerationResponse], stream: bool) -> None:
    answer = Answer("Madrid.", [{"type": "redacted_thinking", "data": "c2VjcmV0"}, thinking("")])
    assert generation_of(ask, answer, stream=stream) == Generation(text="Madrid.", finish_reason="stop")


@both_ways
def test_tool_calls_come_in_openais_form(ask: Callable[..., GenerationResponse], stream: bool) -> None:
    answer = Answer(None, [tool_use("t1", "weather", city="Málaga"), tool_use("t2", "time")])
    generation = generation_of(ask, answer, stream=stream)
    assert generation.text is None
    assert generation.finish_reason == "tool_calls"
    assert generation.tool_calls == (
        {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Málaga"}'}},
        {"id": "t2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    )


@both_ways
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("stop_sequence", "stop_sequence"),
        ("pause_turn", "pause_turn"),
        ("refusal", "refusal"),
        ("a_reason_of_next_year", "a_reason_of_next_year"),
    ],
)
def test_stop_reasons_are_said_in_openais_words_where_there_is_one(
    ask: Callable[..., GenerationResponse], stream: bool, theirs: str, ours: str
) -> None:
    generation = generation_of(ask, Answer("Some text", stop_reason=theirs), stream=stream)
    assert (generation.text, generation.finish_reason) == ("Some text", ours)


@both_ways
def test_an_answer_without_a_block_is_an_empty_text(ask: Callable[..., GenerationResponse], stream: bool) -> None:
    assert generation_of(ask, Answer(None), stream=stream) == Generation(text="", finish_reason="stop")


@both_ways
def test_an_answer_cut_while_it_thinks_is_an_empty_text_of_finish_length(
    ask: Callable[..., GenerationResponse], stream: bool
) -> None:
    generation = generation_of(ask, Answer(None, [thinking("Hm")], stop_reason="max_tokens"), stream=stream)
    assert generation == Generation(text="", finish_reason="length", reasoning="Hm")


@both_ways
def test_a_refusal_without_text_is_a_content_filtered_error(
    ask: Callable[..., GenerationResponse], stream: bool
) -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "It could do harm."}
    answer = Answer(None, stop_reason="refusal", stop_details=details)
    with anthropic_server(answer) as server, pytest.raises(ContentFilteredError) as caught:
        ask(server, stream=stream)
    assert str(caught.value) == "The model refused to answer (category 'cyber'): It could do harm."


@both_ways
def test_a_refusal_has_the_tokens_it_took_and_the_models_name(
    ask: Callable[..., GenerationResponse], stream: bool
) -> None:
    answer = Answer(None, stop_reason="refusal", usage={"input_tokens": 10, "output_tokens": 3})
    with anthropic_server(answer) as server, pytest.raises(ContentFilteredError) as caught:
        ask(server, stream=stream)
    assert caught.value.usage == Usage(input_tokens=10, output_tokens=3)
    assert str(caught.value.model).endswith("-20260101")


@pytest.mark.parametrize("ending", [{"cut": True}, {"error": ("overloaded_error", "Busy.")}], ids=["cut", "an error"])
def test_a_stream_that_broke_off_has_the_tokens_counted_by_then(
    ask: Callable[..., GenerationResponse], ending: dict[str, Any]
) -> None:
    answer = Answer("Madrid", usage={"input_tokens": 10}, **ending)
    with anthropic_server(answer) as server, pytest.raises(TransientError) as caught:
        ask(server, stream=True)
    assert caught.value.usage == Usage(input_tokens=10, output_tokens=1)
    assert str(caught.value.model).endswith("-20260101")


@both_ways
def test_input_tokens_include_what_the_cache_gave_and_took(
    ask: Callable[..., GenerationResponse], stream: bool
) -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 3000,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
    }
    with anthropic_server(Answer("x", usage=usage)) as server:
        response = ask(server, stream=stream)
    assert response.usage == Usage(input_tokens=3210, output_tokens=50, cached_tokens=200, reasoning_tokens=40)


def test_an_answer_without_usage_has_none(ask: Callable[..., GenerationResponse]) -> None:
    with anthropic_server(
        Reply(body=b'{"content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn"}')
    ) as server:
        response = ask(server)
    assert response == GenerationResponse(generations=(Generation(text="x", finish_reason="stop"),))


# Streams


def test_a_stream_that_ends_before_the_message_is_a_transient_error(ask: Callable[..., GenerationResponse]) -> None:
    with anthropic_server(Answer("Madrid is", cut=True)) as server, pytest.raises(TransientError, match="ended before"):
        ask(server, stream=True)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("overloaded_error", UnavailableError), ("api_error", TransientError), ("rate_limit_error", RateLimitError)],
)
def test_an_error_inside_a_stream_is_the_error_it_would_have_been(
    ask: Callable[..., GenerationResponse], kind: str, expected: type[Exception]
) -> None:
    with anthropic_server(Answer("Madrid is", error=(kind, "No more."))) as server, pytest.raises(expected) as caught:
        ask(server, stream=True)
    assert type(caught.value) is expected
    assert "No more" in str(caught.value)


def test_a_server_that_does_not_stream_is_read_as_it_answers(ask: Callable[..., GenerationResponse]) -> None:
    whole = Reply(body=b'{"content": [{"type": "text", "text": "Madrid."}], "stop_reason": "end_turn"}')
    with anthropic_server(whole) as server:
        assert ask(server, stream=True).generations[0].text == "Madrid."


@pytest.mark.parametrize(
    ("fields", "streamed"),
    [
        ({}, False),
        ({"timeout": 601.0}, True),
        ({"timeout": 601.0, "max_tokens": 21_333}, False),
        ({"timeout": 601.0, "generation_kwargs": {"max_tokens": 100}}, False),
        ({"timeout": 601.0, "stream": False}, False),
        ({"stream": True, "max_tokens": 10}, True),
    ],
)
def test_an_answer_is_streamed_where_it_may_need_more_than_ten_minutes(
    ask: Callable[..., GenerationResponse], fields: dict[str, Any], streamed: bool
) -> None:
    with anthropic_server() as server:
        ask(server, **fields)
        assert server.requests[0].body.get("stream", False) is streamed


# What is left


def test_the_quota_of_the_headers_stands_in_the_response(ask: Callable[..., GenerationResponse]) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    headers = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": soon.isoformat().replace("+00:00", "Z"),
        "anthropic-ratelimit-tokens-remaining": "96000",
        "anthropic-ratelimit-tokens-reset": "not an instant",
    }
    with anthropic_server(Answer("x", headers=headers)) as server:
        quota = ask(server).quota
    assert quota is not None
    assert quota.requests_reset == pytest.approx(soon.timestamp() - time.time(), abs=30)
    assert quota == Quota(requests_remaining=0, requests_reset=quota.requests_reset, tokens_remaining=96_000)
