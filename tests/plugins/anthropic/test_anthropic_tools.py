"""Tools in OpenAI's form, as the Messages API takes them; and thinking, which goes back with their results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from limbeck import Task
from limbeck.errors import BadRequestError
from limbeck.tools import run_tools
from limbeck.types import GenerationRequest, Row
from limbeck_anthropic import AnthropicLLM
from support.anthropic_batches import anthropic_batch_server
from support.anthropic_server import Answer, anthropic_server, thinking, tool_use
from support.tool_chats import CHAT, NAMED, QUESTION, SCHEMA, TOOLS, call, called, function, result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from limbeck.types import GenerationResponse

THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
WIRE_TOOLS = [
    {"name": "people", "description": "Counts people.", "input_schema": SCHEMA},
    {"name": "time", "input_schema": SCHEMA},
]


def sent(ask: Callable[..., GenerationResponse], chat: Any = "hi", **parameters: Any) -> dict[str, Any]:
    with anthropic_server() as server:
        ask(server, chat, parameters=parameters)
    body: dict[str, Any] = server.requests[0].body
    return body


# The request


def test_tools_are_sent_with_an_input_schema(ask: Callable[..., GenerationResponse]) -> None:
    assert sent(ask, tools=TOOLS)["tools"] == WIRE_TOOLS


def test_a_tool_without_parameters_has_the_schema_of_an_empty_object(ask: Callable[..., GenerationResponse]) -> None:
    (tool,) = sent(ask, tools=[{"type": "function", "function": {"name": "f"}}])["tools"]
    assert tool == {"name": "f", "input_schema": {"type": "object", "properties": {}}}


def test_strictness_goes_along(ask: Callable[..., GenerationResponse]) -> None:
    assert sent(ask, tools=[function("f", strict=True)])["tools"][0]["strict"] is True


def test_anthropics_own_tools_pass_beside_those_in_openais_form(ask: Callable[..., GenerationResponse]) -> None:
    own = {"type": "web_search_20250305", "name": "web_search"}
    assert sent(ask, tools=[own, TOOLS[1]])["tools"] == [own, WIRE_TOOLS[1]]


def test_tools_in_openais_form_may_stand_in_generation_kwargs(make_llm: Callable[..., AnthropicLLM]) -> None:
    with anthropic_server() as server:
        llm = make_llm(server, generation_kwargs={"tools": TOOLS})
        entry = json.loads(llm.encode_batch_entry("t", GenerationRequest(messages=[QUESTION])))
    assert entry["params"]["tools"] == WIRE_TOOLS


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        (NAMED, {"type": "tool", "name": "time"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_a_choice_is_sent_in_anthropics_words(ask: Callable[..., GenerationResponse], choice: Any, wire: Any) -> None:
    assert sent(ask, tools=TOOLS, tool_choice=choice)["tool_choice"] == wire


@pytest.mark.parametrize("choice", ["any-one", 5, {"name": "time"}])
def test_a_choice_that_is_none_is_refused_before_anything_is_sent(
    ask: Callable[..., GenerationResponse], choice: Any
) -> None:
    with anthropic_server() as server, pytest.raises(BadRequestError, match="tool_choice"):
        ask(server, parameters={"tools": TOOLS, "tool_choice": choice})
    assert server.requests == []


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        (NAMED, {"type": "tool", "name": "time", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
    ],
)
def test_one_call_at_a_time_is_said_with_the_choice(
    ask: Callable[..., GenerationResponse], choice: Any, wire: Any
) -> None:
    given = {} if choice is None else {"tool_choice": choice}
    assert sent(ask, tools=TOOLS, parallel_tool_calls=False, **given)["tool_choice"] == wire


def test_several_calls_at_a_time_need_no_word(ask: Callable[..., GenerationResponse]) -> None:
    assert "tool_choice" not in sent(ask, tools=TOOLS, parallel_tool_calls=True)


def test_no_tools_are_no_choice_either(ask: Callable[..., GenerationResponse]) -> None:
    body = sent(ask, tools=[], tool_choice="auto", parallel_tool_calls=False)
    assert body.keys() == {"model", "max_tokens", "messages"}


def test_results_in_a_row_are_one_turn_of_the_user(ask: Callable[..., GenerationResponse]) -> None:
    *_, last = sent(ask, CHAT, tools=TOOLS)["messages"]
    assert last == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "3277451"},
            {"type": "tool_result", "tool_use_id": "t2", "content": "noon"},
        ],
    }


def test_a_batch_entry_has_tools_and_results_as_a_request_has() -> None:
    llm = AnthropicLLM(model="m", api_key=SecretStr("k"))
    request = GenerationRequest(messages=CHAT, parameters={"tools": TOOLS, "tool_choice": "required"})
    params = json.loads(llm.encode_batch_entry("t", request))["params"]
    assert (params["tools"], params["tool_choice"]) == (WIRE_TOOLS, {"type": "any"})
    assert [turn["role"] for turn in params["messages"]] == ["user", "assistant", "user"]


# Thinking


def turns_with(
    ask: Callable[..., GenerationResponse], answer: Answer, *, edit: Any = None, stream: bool = False
) -> list[dict[str, Any]]:
    """The messages of a second request, which brings the results of the tools that an answer to the first called."""
    with anthropic_server(answer) as server:
        (generation,) = ask(server, [QUESTION], parameters={"tools": TOOLS, **THINKING}, stream=stream).generations
        message = called(*(generation.tool_calls or ()), content=generation.text)
        if edit is not None:
            edit(message)
        results = [result(each["id"], "noon") for each in message["tool_calls"]]
        parameters = {"tools": TOOLS, **(THINKING if edit is None else {})}
        ask(server, [QUESTION, message, *results], parameters=parameters)
    assert server.answers == 2
    turns: list[dict[str, Any]] = server.requests[1].body["messages"]
    return turns


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_goes_back_signed_and_in_place_with_the_results(
    ask: Callable[..., GenerationResponse], stream: bool
) -> None:
    calls = [tool_use("t1", "people", city="Madrid"), tool_use("t2", "time", city="Madrid")]
    blocks = [thinking("Let me look."), {"type": "text", "text": "One moment."}, *calls]
    _, assistant, _ = turns_with(ask, Answer(blocks=blocks), stream=stream)
    assert assistant["content"] == blocks


def test_thinking_between_calls_stays_between_them(ask: Callable[..., GenerationResponse]) -> None:
    calls = [tool_use("t1", "people", city="Madrid"), tool_use("t2", "time", city="Madrid")]
    blocks = [thinking("First."), calls[0], thinking("Then."), calls[1]]
    _, assistant, _ = turns_with(ask, Answer(blocks=blocks))
    assert assistant["content"] == blocks


def test_redacted_thinking_goes_back_too(ask: Callable[..., GenerationResponse]) -> None:
    blocks = [{"type": "redacted_thinking", "data": "c2VjcmV0"}, tool_use("t1", "time", city="Madrid")]
    _, assistant, _ = turns_with(ask, Answer(blocks=blocks))
    assert assistant["content"] == blocks


def changed_text(message: Any) -> None:
    message["content"] = "Another."


def changed_id(message: Any) -> None:
    message["tool_calls"] = [{**message["tool_calls"][0], "id": "t9"}]


@pytest.mark.parametrize("edit", [changed_text, changed_id])
def test_a_message_that_is_not_the_models_own_any_more_goes_without_its_thinking(
    ask: Callable[..., GenerationResponse], edit: Any
) -> None:
    blocks = [thinking("Let me look."), tool_use("t1", "time", city="Madrid")]
    _, assistant, _ = turns_with(ask, Answer(blocks=blocks), edit=edit)
    assert "thinking" not in [block["type"] for block in assistant["content"]]


def test_an_answer_without_thinking_carries_nothing_beside_its_calls(ask: Callable[..., GenerationResponse]) -> None:
    with anthropic_server(Answer(blocks=[tool_use("t1", "time", city="Madrid")])) as server:
        (generation,) = ask(server, parameters={"tools": TOOLS}).generations
    assert generation.tool_calls == (call("t1", "time"),)


# Batches


class Clock(Task):
    """Asks for the time with a tool."""

    inputs = property(lambda self: ["city"])
    outputs = property(lambda self: ["answer"])

    def converse(self, input: Row) -> Any:
        answer = yield from run_tools(f"The time in {input['city']}?", [noon])
        return {"answer": answer.text}


def noon(city: str) -> str:
    """The time in a city."""
    return f"noon in {city}"


def says(body: dict[str, Any]) -> Answer:
    last = body["messages"][-1]["content"]
    if isinstance(last, str):
        return Answer(blocks=[thinking("Let me look."), tool_use("t1", "noon", city=last[12:-1])])
    return Answer(f"It is {last[0]['content']}.")


def test_a_conversation_with_tools_goes_through_batches_turn_by_turn(tmp_path: Path) -> None:
    with anthropic_batch_server() as (server, desk):
        desk.says = says
        fields: Any = {
            "mode": "batch",
            "batch_poll_seconds": 0.02,
            "batch_gather_seconds": 0.1,
            "generation_kwargs": THINKING,
        }
        clock: Any = Clock
        task = clock(llm=AnthropicLLM(model="m", base_url=server.url, api_key=SecretStr("k"), **fields))
        rows = [{"city": city} for city in ("Rome", "Oslo")]
        answers = [row["answer"] for row in task.run(rows, run_dir=tmp_path / "run")]
    assert answers == ["It is noon in Rome.", "It is noon in Oslo."]
    assert server.answers == 0
    assert sum(len(filed.entries) for filed in desk.filed) == 4
