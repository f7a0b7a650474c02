"""What goes over the wire: chats in OpenAI's form arrive as the Messages API wants them."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from limbeck.errors import BadRequestError
from limbeck_anthropic import AnthropicLLM
from support.anthropic_server import anthropic_server
from support.provider_server import Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from limbeck.types import GenerationResponse


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def sent_for(ask: Callable[..., GenerationResponse], chat: Any, **fields: Any) -> dict[str, Any]:
    with anthropic_server() as server:
        ask(server, chat, **fields)
        body: dict[str, Any] = server.requests[0].body
    return body


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


# System prompts and turns


def test_a_plain_question_is_sent_as_it_stands(ask: Callable[..., GenerationResponse]) -> None:
    assert sent_for(ask, "Hello") == {"model": "claude-sonnet-5", "max_tokens": 64_000, "messages": [user("Hello")]}


def test_the_beginning_of_an_answer_is_sent_as_the_last_message(ask: Callable[..., GenerationResponse]) -> None:
    begun = {"role": "assistant", "content": "The capital is"}
    assert sent_for(ask, [user("Spain?"), begun])["messages"] == [user("Spain?"), begun]
    assert AnthropicLLM.capabilities.prefill


def test_a_system_message_becomes_the_system_prompt(ask: Callable[..., GenerationResponse]) -> None:
    body = sent_for(ask, [system("Be brief."), user("Hello")])
    assert body["system"] == "Be brief."
    assert body["messages"] == [user("Hello")]


def test_system_and_developer_messages_are_lifted_from_anywhere_and_joined(
    ask: Callable[..., GenerationResponse],
) -> None:
    chat = [system("Be brief."), user("Hello"), {"role": "developer", "content": "Be kind."}]
    assert sent_for(ask, chat)["system"] == "Be brief.\n\nBe kind."


def test_a_system_message_of_parts_keeps_its_cache_control(ask: Callable[..., GenerationResponse]) -> None:
    part = {**text("Long."), "cache_control": {"type": "ephemeral"}}
    body = sent_for(ask, [system([part]), system("Short."), user("Hello")])
    assert body["system"] == [part, text("Short.")]


def test_an_empty_system_message_is_left_out(ask: Callable[..., GenerationResponse]) -> None:
    assert "system" not in sent_for(ask, [system(""), user("Hello")])


def test_consecutive_messages_of_one_role_become_one_turn(ask: Callable[..., GenerationResponse]) -> None:
    chat = [user("One."), user([text("Two.")]), {"role": "assistant", "content": "Three."}, user("Four.")]
    assert sent_for(ask, chat)["messages"] == [
        user([text("One."), text("Two.")]),
        {"role": "assistant", "content": "Three."},
        user("Four."),
    ]


def test_the_messages_of_the_caller_are_not_changed(ask: Callable[..., GenerationResponse]) -> None:
    chat = [user([text("One.")]), user([text("Two.")])]
    before = json.dumps(chat)
    sent_for(ask, chat)
    assert json.dumps(chat) == before


@pytest.mark.parametrize(
    ("chat", "words"),
    [
        ([system("Only this.")], "at least one user message"),
        ([{"role": "asistant", "content": "x"}], "Did you mean `assistant`"),
        ([user([{"text": "no type"}])], "`type`"),
        ([user(5)], "`content`"),
        ([user([{"type": "input_audio", "input_audio": {}}])], "audio"),
        ([user([{"type": "file", "file": {}}])], "`document`"),
        ([user([{"type": "image_url", "image_url": {"url": "/home/me/cat.png"}}])], "`data:` URL"),
        ([user([{"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,AAAA"}}])], "image/svg+xml"),
        ([user("x"), {"role": "tool", "content": "1"}], "`tool_call_id`"),
    ],
)
def test_a_chat_that_cannot_be_said_is_refused_before_it_is_sent(
    ask: Callable[..., GenerationResponse], chat: Any, words: str
) -> None:
    with anthropic_server() as server:
        with pytest.raises(BadRequestError) as caught:
            ask(server, chat)
        assert server.requests == []
    assert words in str(caught.value)


# Images and other parts


def test_a_data_url_becomes_a_base64_image(ask: Callable[..., GenerationResponse]) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:image/jpg;base64,{PIXEL}", "detail": "low"}}
    (message,) = sent_for(ask, [user([text("What is it?"), part])])["messages"]
    source = {"type": "base64", "media_type": "image/jpeg", "data": PIXEL}
    assert message["content"] == [text("What is it?"), {"type": "image", "source": source}]


def test_an_http_url_becomes_an_image_by_url(ask: Callable[..., GenerationResponse]) -> None:
    (message,) = sent_for(ask, [user([{"type": "image_url", "image_url": "https://x.test/cat.png"}])])["messages"]
    assert message["content"] == [{"type": "image", "source": {"type": "url", "url": "https://x.test/cat.png"}}]


def test_anthropics_own_blocks_pass_unchanged(ask: Callable[..., GenerationResponse]) -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Facts."}}
    (message,) = sent_for(ask, [user([document, text("Sum it up.")])])["messages"]
    assert message["content"] == [document, text("Sum it up.")]


# Tools

CALLS = [
    {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Madrid"}'}},
    {"id": "t2", "type": "function", "function": {"name": "time", "arguments": ""}},
]
RESULTS = [
    {"role": "tool", "tool_call_id": "t1", "content": "Sunny"},
    {"role": "tool", "tool_call_id": "t2", "content": [text("Noon")]},
]


def test_tool_calls_and_their_results_become_blocks(ask: Callable[..., GenerationResponse]) -> None:
    chat = [user("Weather?"), {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS}, *RESULTS]
    _, assistant, results = sent_for(ask, chat)["messages"]
    assert assistant["content"] == [
        text("Let me see."),
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Madrid"}},
        {"type": "tool_use", "id": "t2", "name": "time", "input": {}},
    ]
    assert results == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "Sunny"},
            {"type": "tool_result", "tool_use_id": "t2", "content": [text("Noon")]},
        ],
    }


def test_what_the_user_says_after_a_tools_result_is_in_the_same_turn(ask: Callable[..., GenerationResponse]) -> None:
    chat = [user("?"), {"role": "assistant", "content": None, "tool_calls": CALLS[:1]}, RESULTS[0], user("And now?")]
    turns = sent_for(ask, chat)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["type"] for block in turns[2]["content"]] == ["tool_result", "text"]


@pytest.mark.parametrize("arguments", ["{not json", "[1, 2]"])
def test_tool_arguments_that_are_no_json_object_are_refused(
    ask: Callable[..., GenerationResponse], arguments: str
) -> None:
    call = {"id": "t9", "type": "function", "function": {"name": "f", "arguments": arguments}}
    with anthropic_server() as server, pytest.raises(BadRequestError, match="'t9'"):
        ask(server, [user("x"), {"role": "assistant", "tool_calls": [call]}])


# Parameters


def test_max_tokens_is_the_field_unless_a_parameter_says_otherwise(ask: Callable[..., GenerationResponse]) -> None:
    assert sent_for(ask, "x", max_tokens=50)["max_tokens"] == 50
    assert sent_for(ask, "x", generation_kwargs={"max_tokens": 60})["max_tokens"] == 60
    assert sent_for(ask, "x", max_tokens=50, parameters={"max_tokens": 70})["max_tokens"] == 70


def test_a_requests_parameters_come_before_those_of_the_llm(ask: Callable[..., GenerationResponse]) -> None:
    kwargs = {"stop_sequences": ["END"], "service_tier": "auto"}
    body = sent_for(ask, "x", generation_kwargs=kwargs, parameters={"stop_sequences": ["STOP"]})
    assert (body["stop_sequences"], body["service_tier"]) == (["STOP"], "auto")


def test_extra_body_headers_and_query_reach_the_server(ask: Callable[..., GenerationResponse]) -> None:
    extras = {"extra_headers": {"anthropic-beta": "b1"}, "extra_body": {"service_tier": "auto"}, "extra_query": None}
    with anthropic_server() as server:
        ask(server, generation_kwargs=extras)
        seen = server.requests[0]
    assert seen.headers["anthropic-beta"] == "b1"
    assert seen.body["service_tier"] == "auto"


EVERY_PARAMETER: dict[str, Any] = {
    "cache_control": {"type": "ephemeral"},
    "container": "container_1",
    "diagnostics": {"previous_message_id": "msg_1"},
    "extra_body": {"service_tier": "auto"},
    "extra_headers": {"anthropic-beta": "b1"},
    "extra_query": {"beta": "true"},
    "inference_geo": "eu",
    "max_tokens": 2000,
    "metadata": {"user_id": "u1"},
    "output_config": {"effort": "low"},
    "service_tier": "standard_only",
    "speed": "fast",
    "stop_sequences": ["END"],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tool_choice": {"type": "auto"},
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "user_profile_id": "profile_1",
    "workspace_id": "wrkspc_1",
}
SET_BY_LIMBECK = {"self", "model", "messages", "system", "stream", "timeout"}


def test_every_parameter_goes_on_the_wire_as_the_sdk_itself_puts_it(
    ask: Callable[..., GenerationResponse], key: str
) -> None:
    """The plugin posts without `messages.create`: this notices when the SDK's own way changes."""
    signature = inspect.signature(anthropic.AsyncAnthropic(api_key="k").messages.create)
    assert set(signature.parameters) - SET_BY_LIMBECK == set(EVERY_PARAMETER)

    async def by_the_sdk(url: str) -> None:
        async with anthropic.AsyncAnthropic(api_key=key, base_url=url, timeout=60) as client:
            messages: Any = [user("x")]
            await client.messages.create(model="claude-sonnet-5", messages=messages, **EVERY_PARAMETER)

    def comparable(seen: Asked) -> Any:
        return seen.path, seen.body, {name: value for name, value in seen.headers.items() if name in compared}

    compared = {"authorization", "x-api-key", "anthropic-version", "content-type", "anthropic-beta"}
    compared |= {"anthropic-user-profile-id", "anthropic-workspace-id"}
    with anthropic_server() as server:
        asyncio.run(by_the_sdk(server.url))
        ask(server, "x", generation_kwargs=EVERY_PARAMETER)
        theirs, ours = map(comparable, server.requests)
    assert ours == theirs
    assert {"anthropic-user-profile-id", "anthropic-workspace-id"} <= ours[2].keys()


def test_a_request_is_sent_once_and_for_one_answer(ask: Callable[..., GenerationResponse]) -> None:
    with anthropic_server() as server:
        response = ask(server)
        assert len(server.requests) == server.answers == len(response.generations) == 1
