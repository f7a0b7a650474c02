"""Chats sent as chats, to a server of one's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck.errors import BadRequestError, ContentFilteredError, TransientError
from limbeck.types import Generation, GenerationRequest, Quota, Usage
from limbeck_huggingface import InferenceEndpointsLLM
from support.asking import CHAT, ask, failure, text_of
from support.provider_server import Asked, Reply

from .server import HuggingFaceServer, chat_body

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def test_the_answer_is_the_message_of_the_first_choice(tgi: HuggingFaceServer) -> None:
    tgi.script("Madrid.")
    response = ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert response.generations == [Generation(text="Madrid.", finish_reason="stop")]


def test_the_messages_go_out_as_they_are(tgi: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert tgi.requests[0].path == "/v1/chat/completions"
    assert tgi.requests[0].body == {"model": "dummy", "messages": CHAT}


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_url_may_end_where_it_likes(tgi: HuggingFaceServer, suffix: str) -> None:
    assert text_of(InferenceEndpointsLLM(base_url=tgi.url + suffix)) == "ok"
    assert tgi.requests[0].path == "/v1/chat/completions"


def test_served_model_name_goes_into_the_request(openai_like: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=openai_like.url, served_model_name="my-model"))
    assert openai_like.requests[0].body["model"] == "my-model"


def test_generation_kwargs_and_the_requests_parameters_go_into_the_request(tgi: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url, generation_kwargs={"temperature": 0.5, "max_tokens": 9})
    ask(llm, parameters={"max_tokens": 10})
    body = tgi.requests[0].body
    assert (body["temperature"], body["max_tokens"]) == (0.5, 10)


def test_extra_body_is_merged_into_the_request(tgi: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url, generation_kwargs={"extra_body": {"top_p": 0.25}}))
    assert tgi.requests[0].body["top_p"] == 0.25


def test_no_maximum_of_tokens_is_sent_unless_asked_for(tgi: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert "max_tokens" not in tgi.requests[0].body


def test_usage_holds_cached_and_reasoning_tokens(tgi: HuggingFaceServer) -> None:
    body = chat_body("Madrid.")
    body["usage"] |= {
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    tgi.script(body)
    usage = ask(InferenceEndpointsLLM(base_url=tgi.url)).usage
    assert usage == Usage(input_tokens=7, output_tokens=3, cached_tokens=4, reasoning_tokens=2)


def test_usage_is_none_where_the_server_does_not_say(tgi: HuggingFaceServer) -> None:
    body = chat_body("Madrid.")
    del body["usage"]
    tgi.script(body)
    assert ask(InferenceEndpointsLLM(base_url=tgi.url)).usage is None


def test_what_is_left_of_the_allowance_stands_in_the_response(tgi: HuggingFaceServer) -> None:
    tgi.script(Reply(body=chat_body("Madrid."), headers={"ratelimit": '"api";r=2;t=55'}))
    response = ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert response.quota == Quota(requests_remaining=2, requests_reset=55.0)


def test_the_servers_name_for_the_model_is_kept(tgi: HuggingFaceServer) -> None:
    assert ask(InferenceEndpointsLLM(base_url=tgi.url)).model == "served/model"


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_reasoning_stands_beside_the_text(tgi: HuggingFaceServer, key: str) -> None:
    tgi.script(chat_body("Madrid.", **{key: "Spain is in Europe."}))
    (generation,) = ask(InferenceEndpointsLLM(base_url=tgi.url)).generations
    assert (generation.text, generation.reasoning) == ("Madrid.", "Spain is in Europe.")


def test_an_answer_cut_while_reasoning_has_no_text_and_says_why(tgi: HuggingFaceServer) -> None:
    tgi.script(chat_body(None, finish_reason="length", reasoning="Spain is"))
    (generation,) = ask(InferenceEndpointsLLM(base_url=tgi.url)).generations
    assert generation == Generation(text=None, finish_reason="length", reasoning="Spain is")


def test_tool_calls_are_kept_in_openais_form(tgi: HuggingFaceServer) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": '{"city": "Madrid"}'}}
    tgi.script(chat_body(None, finish_reason="tool_calls", tool_calls=[call]))
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    (generation,) = ask(InferenceEndpointsLLM(base_url=tgi.url), parameters={"tools": tools}).generations
    assert generation == Generation(text=None, finish_reason="tool_calls", tool_calls=[call])


def test_logprobs_are_kept(tgi: HuggingFaceServer) -> None:
    body = chat_body("Madrid.")
    logprobs = {"content": [{"token": "Madrid.", "logprob": -0.1, "top_logprobs": []}]}
    body["choices"][0]["logprobs"] = logprobs
    tgi.script(body)
    (generation,) = ask(InferenceEndpointsLLM(base_url=tgi.url), parameters={"logprobs": True}).generations
    assert generation.logprobs == logprobs


def test_content_in_parts_is_joined(tgi: HuggingFaceServer) -> None:
    body = chat_body(None)
    body["choices"][0]["message"]["content"] = [{"type": "text", "text": "Mad"}, {"type": "text", "text": "rid."}]
    tgi.script(body)
    assert text_of(InferenceEndpointsLLM(base_url=tgi.url)) == "Madrid."


def test_an_empty_answer_is_an_answer(tgi: HuggingFaceServer) -> None:
    tgi.script("")
    assert text_of(InferenceEndpointsLLM(base_url=tgi.url)) == ""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no choices"),
        ({"choices": []}, "no choices"),
        ({"choices": None, "error": {"message": "engine died"}}, "engine died"),
        ({"choices": ["x"]}, "no choices"),
        ({"choices": [{"message": None}]}, "no choices with a message"),
        (chat_body(None), "no content"),
    ],
)
def test_a_response_without_an_answer_is_a_transient_error(
    tgi: HuggingFaceServer, body: dict[str, Any], words: str
) -> None:
    tgi.script(body)
    error = failure(InferenceEndpointsLLM(base_url=tgi.url))
    assert isinstance(error, TransientError)
    assert words in str(error)


@pytest.mark.parametrize("body", ["", "<html>", '{"choices": [', "[]", "null", b"\xff\xfe"])
def test_a_body_that_is_not_the_json_of_an_answer_is_a_transient_error(tgi: HuggingFaceServer, body: str) -> None:
    tgi.script(Reply(body=body))
    assert isinstance(failure(InferenceEndpointsLLM(base_url=tgi.url)), TransientError)


@pytest.mark.parametrize(
    "body",
    [
        chat_body("", finish_reason="content_filter"),
        chat_body(None, finish_reason="content_filter"),
        chat_body(None, refusal="I cannot help with that."),
    ],
)
def test_a_withheld_answer_is_a_content_filtered_error(tgi: HuggingFaceServer, body: dict[str, Any]) -> None:
    tgi.script(body)
    error = failure(InferenceEndpointsLLM(base_url=tgi.url))
    assert isinstance(error, ContentFilteredError)
    assert error.usage is not None and error.usage.input_tokens > 0  # it was read, and is billed


# Schemas


def test_a_schema_goes_to_tgi_in_tgis_form(tgi: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url), output_schema=SCHEMA)
    assert tgi.requests[0].body["response_format"] == {"type": "json_object", "value": SCHEMA}


def test_a_schema_goes_to_any_other_server_in_openais_form(openai_like: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=openai_like.url), output_schema=SCHEMA)
    assert openai_like.requests[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        SCHEMA | {"required": []},
        {"type": "array", "items": {"type": "object"}},
        SCHEMA | {"properties": {"city": {"anyOf": [{"type": "object"}, {"type": "null"}]}}},
    ],
)
def test_a_schema_that_strict_servers_refuse_is_not_called_strict(
    openai_like: HuggingFaceServer, schema: dict[str, Any]
) -> None:
    ask(InferenceEndpointsLLM(base_url=openai_like.url), output_schema=schema)
    assert openai_like.requests[0].body["response_format"]["json_schema"]["strict"] is False


def test_a_response_format_of_the_users_own_is_put_into_the_servers_form_too(tgi: HuggingFaceServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "mine", "schema": SCHEMA}}
    ask(InferenceEndpointsLLM(base_url=tgi.url, generation_kwargs={"response_format": form}))
    assert tgi.requests[0].body["response_format"] == {"type": "json_object", "value": SCHEMA}


def test_a_regular_expression_goes_to_tgi_as_it_is(tgi: HuggingFaceServer) -> None:
    form = {"type": "regex", "value": "yes|no"}
    ask(InferenceEndpointsLLM(base_url=tgi.url, generation_kwargs={"response_format": form}))
    assert tgi.requests[0].body["response_format"] == form


def test_a_schema_and_a_response_format_together_are_refused(tgi: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url, generation_kwargs={"response_format": {"type": "text"}})
    error = failure(llm, output_schema=SCHEMA)
    assert isinstance(error, BadRequestError)
    assert "Leave one out" in str(error)


def test_the_server_is_asked_once_what_it_is(tgi: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url, api_key=SecretStr("secret"))

    async def twenty() -> None:
        request = GenerationRequest(messages=CHAT, output_schema=SCHEMA)
        await asyncio.gather(*(llm.agenerate(request) for _ in range(20)))
        await llm.aclose()

    asyncio.run(twenty())
    assert [(request.path, request.headers["authorization"]) for request in tgi.hub_requests] == [
        ("/info", "Bearer secret")
    ]


def test_a_server_without_a_schema_to_honour_is_not_asked_what_it_is(tgi: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert tgi.hub_requests == []


# Connections


def test_as_many_requests_are_in_flight_as_max_concurrency_allows(tgi: HuggingFaceServer) -> None:
    together = 150  # the SDK's own client stops at 100
    all_there = asyncio.Event()

    async def wait_for_all(_request: Asked) -> str:
        if tgi.in_flight == together:
            all_there.set()
        await all_there.wait()
        return "ok"

    tgi.script(*[wait_for_all] * together)
    llm = InferenceEndpointsLLM(base_url=tgi.url, max_concurrency=together, timeout=30)

    async def ask_all() -> None:
        await asyncio.gather(*(llm.agenerate(GenerationRequest(messages=CHAT)) for _ in range(together)))
        await llm.aclose()

    asyncio.run(ask_all())
    assert tgi.most_in_flight == together


def test_connections_are_kept_for_the_next_request(tgi: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url)

    async def five() -> None:
        for _ in range(5):
            await llm.agenerate(GenerationRequest(messages=CHAT))
        await llm.aclose()

    asyncio.run(five())
    assert len({request.connection for request in tgi.requests}) == 1


def test_it_works_on_a_second_event_loop(tgi: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url)
    assert [text_of(llm), text_of(llm)] == ["ok", "ok"]


def test_it_works_on_a_second_event_loop_when_nothing_was_closed_on_the_first(tgi: HuggingFaceServer) -> None:
    # The server closes the connection, so that none is left open with its loop gone.
    tgi.script(Reply(body=chat_body("first"), headers={"connection": "close"}))
    llm = InferenceEndpointsLLM(base_url=tgi.url)
    request = GenerationRequest(messages=CHAT)
    assert asyncio.run(llm.agenerate(request)).generations[0].text == "first"
    assert text_of(llm) == "ok"


def test_closing_it_twice_or_unused_does_nothing(tgi: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url)

    async def close() -> None:
        await llm.aclose()
        await llm.aclose()

    asyncio.run(close())
    assert text_of(llm) == "ok"


def test_the_users_own_client_factory_is_kept_to(tgi: HuggingFaceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2
    from huggingface_hub.utils import _http

    monkeypatch.setattr(
        _http, "_GLOBAL_ASYNC_CLIENT_FACTORY", lambda: httpx2.AsyncClient(headers={"x-proxy": "the company's"})
    )
    ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert tgi.requests[0].headers["x-proxy"] == "the company's"


def test_the_factory_of_the_process_is_left_as_it_was(tgi: HuggingFaceServer) -> None:
    from huggingface_hub.utils import _http

    ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert _http._GLOBAL_ASYNC_CLIENT_FACTORY is _http.default_async_client_factory
