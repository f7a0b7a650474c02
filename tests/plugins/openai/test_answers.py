"""What is sent to a chat-completions server, and what is made of its answers."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from limbeck.errors import BadRequestError
from limbeck.types import Generation, Quota, Usage
from limbeck_openai import OpenAILLM
from support.asking import ask, failure
from support.openai_server import answer, openai_server
from support.provider_server import Reply


def llm_at(url: str, **fields: Any) -> OpenAILLM:
    return OpenAILLM(model="m", base_url=url, **fields)


def completion(message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A body as a compatible server sends it, with fields that OpenAI has not."""
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **fields}


class City(BaseModel):
    name: str
    people: int = 0


# The request


def test_a_request_is_the_model_and_the_messages_and_nothing_else() -> None:
    with openai_server() as server:
        ask(llm_at(server.url))
    assert server.requests[0].body == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_the_key_is_sent_as_a_bearer_token() -> None:
    with openai_server(api_key="k-1") as server:
        ask(llm_at(server.url, api_key="k-1"))
    assert server.requests[0].headers["authorization"] == "Bearer k-1"


def test_organization_and_project_are_sent_as_the_sdk_sends_them() -> None:
    with openai_server() as server:
        ask(llm_at(server.url, organization="org-1", project="proj-1"))
    headers = server.requests[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")


def test_generation_kwargs_are_sent_with_every_request() -> None:
    with openai_server() as server:
        ask(llm_at(server.url, generation_kwargs={"temperature": 0.5, "seed": 7}))
    assert {"temperature": 0.5, "seed": 7}.items() <= server.requests[0].body.items()


def test_the_requests_own_parameters_come_before_generation_kwargs() -> None:
    with openai_server() as server:
        ask(llm_at(server.url, generation_kwargs={"temperature": 0.5}), parameters={"temperature": 1.0})
    assert server.requests[0].body["temperature"] == 1.0


def test_extra_body_headers_and_query_travel_as_the_sdk_sends_them() -> None:
    extras = {"extra_body": {"seed": 3}, "extra_headers": {"X-Team": "a"}, "extra_query": {"tier": "b"}}
    with openai_server() as server:
        ask(llm_at(server.url, generation_kwargs=extras))
    sent = server.requests[0]
    assert (sent.body["seed"], sent.headers["x-team"], sent.query) == (3, "a", "tier=b")


def test_a_request_is_sent_once_even_when_it_fails() -> None:
    with openai_server(Reply(body={}, status=500)) as server:
        failure(llm_at(server.url))
    assert len(server.requests) == 1


# Several answers


def test_one_answer_is_asked_for_without_n() -> None:
    with openai_server() as server:
        ask(llm_at(server.url), num_generations=1)
    assert "n" not in server.requests[0].body


def test_several_answers_come_from_one_request() -> None:
    with openai_server() as server:
        response = ask(llm_at(server.url), "Spain", num_generations=3)
    assert server.requests[0].body["n"] == 3
    assert [generation.text for generation in response.generations] == [
        "echo: Spain",
        "echo: Spain #1",
        "echo: Spain #2",
    ]


def test_no_more_than_max_choices_are_asked_for_at_once() -> None:
    with openai_server() as server:
        response = ask(llm_at(server.url, max_choices=2), num_generations=5)
    assert server.requests[0].body["n"] == 2
    assert len(response.generations) == 2


def test_a_server_that_ignores_n_gives_what_it_gave() -> None:
    with openai_server(answer(choices=1)) as server:
        response = ask(llm_at(server.url), num_generations=3)
    assert [generation.text for generation in response.generations] == ["echo: hi"]


def test_choices_beyond_those_asked_for_are_left_out() -> None:
    with openai_server(answer("a", "b", "c")) as server:
        response = ask(llm_at(server.url), num_generations=2)
    assert [generation.text for generation in response.generations] == ["a", "b"]


def test_a_refused_choice_is_left_out_when_others_are_good() -> None:
    good: dict[str, Any] = {"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}
    refused: dict[str, Any] = {"index": 1, "message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}
    with openai_server(Reply(body={"choices": [refused, good]})) as server:
        response = ask(llm_at(server.url), num_generations=2)
    assert [generation.text for generation in response.generations] == ["yes"]


def test_a_choice_that_broke_off_is_left_out_when_others_are_good() -> None:
    good: dict[str, Any] = {"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}
    broken: dict[str, Any] = {"index": 1, "message": {"content": "ye"}, "finish_reason": "error"}
    with openai_server(Reply(body={"choices": [broken, good]})) as server:
        response = ask(llm_at(server.url), num_generations=2)
    assert [generation.text for generation in response.generations] == ["yes"]


# Schemas


def test_an_output_schema_is_sent_as_a_strict_response_format() -> None:
    with openai_server() as server:
        response = ask(llm_at(server.url), output_schema=City.model_json_schema())
    wanted = server.requests[0].body["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"], wanted["json_schema"]["strict"]) == (
        "json_schema",
        "City",
        True,
    )
    assert City.model_validate_json(response.generations[0].text or "") == City(name="")


def test_a_schema_that_strict_mode_cannot_express_is_sent_as_it_is_and_not_strict() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    with openai_server() as server:
        ask(llm_at(server.url), output_schema=schema)
    assert server.requests[0].body["response_format"]["json_schema"] == {
        "name": "answer",
        "schema": schema,
        "strict": False,
    }


def test_the_answer_of_a_server_that_ignores_schemas_is_handed_on_as_it_is() -> None:
    with openai_server(answer(ignore_schema=True)) as server:
        response = ask(llm_at(server.url), output_schema=City.model_json_schema())
    assert response.generations[0].text == "echo: hi"


def test_json_mode_without_a_schema_can_be_asked_for() -> None:
    with openai_server() as server:
        ask(llm_at(server.url, generation_kwargs={"response_format": {"type": "json_object"}}))
    assert server.requests[0].body["response_format"] == {"type": "json_object"}


def test_a_schema_and_a_response_format_together_are_refused_without_a_call() -> None:
    with openai_server() as server:
        llm = llm_at(server.url, generation_kwargs={"response_format": {"type": "json_object"}})
        error = failure(llm, output_schema=City.model_json_schema())
    assert isinstance(error, BadRequestError)
    assert server.requests == []


# The answer


def test_an_answer_says_how_it_ended_and_what_the_server_calls_the_model() -> None:
    with openai_server(answer("Madrid", finish_reason="length")) as server:
        response = ask(llm_at(server.url))
    assert response.generations == [Generation(text="Madrid", finish_reason="length")]
    assert response.model == "m-2026-01-01"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_of_compatible_servers_stands_beside_the_text(field: str) -> None:
    message = {"content": "Madrid", field: "Spain, so"}
    with openai_server(Reply(body=completion(message))) as server:
        response = ask(llm_at(server.url))
    assert (response.generations[0].text, response.generations[0].reasoning) == ("Madrid", "Spain, so")


def test_content_in_parts_is_joined_and_its_thinking_taken_out() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Spain, so"}]}
    parts = [thinking, {"type": "text", "text": "Mad"}, {"type": "text", "text": "rid"}]
    with openai_server(Reply(body=completion({"content": parts}))) as server:
        response = ask(llm_at(server.url))
    assert (response.generations[0].text, response.generations[0].reasoning) == ("Madrid", "Spain, so")


def test_an_answer_cut_off_while_reasoning_is_an_empty_answer() -> None:
    with openai_server(answer(None, finish_reason="length", reasoning_content="Spain, so")) as server:
        response = ask(llm_at(server.url))
    assert response.generations == [Generation(text=None, finish_reason="length", reasoning="Spain, so")]


CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": "Spain"}'}}


def test_tool_calls_are_kept_as_dicts() -> None:
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    with openai_server(answer(None, finish_reason="tool_calls", tool_calls=[CALL])) as server:
        response = ask(llm_at(server.url, generation_kwargs={"tools": tools}))
    assert server.requests[0].body["tools"] == tools
    assert response.generations == [Generation(text=None, finish_reason="tool_calls", tool_calls=[CALL])]


def test_a_function_call_of_the_form_before_tools_becomes_a_tool_call() -> None:
    with openai_server(Reply(body=completion({"content": None, "function_call": CALL["function"]}))) as server:
        response = ask(llm_at(server.url))
    assert response.generations[0].tool_calls == [{"type": "function", "function": CALL["function"]}]


def test_logprobs_are_plain_json_as_the_server_gives_them() -> None:
    with openai_server(answer("Madrid")) as server:
        response = ask(llm_at(server.url, generation_kwargs={"logprobs": True, "top_logprobs": 1}))
    token = {"token": "Madrid", "logprob": -0.5, "bytes": list(b"Madrid")}
    assert response.generations[0].logprobs == {"content": [{**token, "top_logprobs": [token]}], "refusal": None}


def test_usage_counts_cached_and_reasoning_tokens() -> None:
    with openai_server(answer("the capital is Madrid", cached_tokens=2, reasoning_content="so it is")) as server:
        response = ask(llm_at(server.url), "one two three")
    assert response.usage == Usage(input_tokens=3, output_tokens=7, cached_tokens=2, reasoning_tokens=3)


def test_usage_that_a_server_does_not_give_is_unknown_and_not_zero() -> None:
    with openai_server(Reply(body=completion({"content": "a"}))) as server:
        assert ask(llm_at(server.url)).usage is None


def test_usage_in_the_fields_of_deepseek_is_read_and_nulls_count_nothing() -> None:
    usage = {
        "prompt_tokens": 3, "completion_tokens": None, "prompt_cache_hit_tokens": 2, "completion_tokens_details": None
    }  # fmt: skip
    with openai_server(Reply(body=completion({"content": "a"}, usage=usage))) as server:
        assert ask(llm_at(server.url)).usage == Usage(input_tokens=3, cached_tokens=2)


def test_an_answer_says_what_is_left_of_the_allowance() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "1500", "x-ratelimit-reset-tokens": "6m0s",
    }  # fmt: skip
    with openai_server(answer("a", headers=headers)) as server:
        response = ask(llm_at(server.url))
    assert response.quota == Quota(requests_remaining=9, requests_reset=1.0, tokens_remaining=1500, tokens_reset=360.0)


def test_a_filtered_answer_with_text_is_kept_and_says_so() -> None:
    with openai_server(answer("Mad", finish_reason="content_filter")) as server:
        response = ask(llm_at(server.url))
    assert response.generations == [Generation(text="Mad", finish_reason="content_filter")]


def test_messages_with_images_reach_the_server_as_they_are() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    chat: Any = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    with openai_server() as server:
        ask(llm_at(server.url), chat)
    assert server.requests[0].body["messages"] == chat
