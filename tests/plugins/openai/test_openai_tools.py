"""Tools at OpenAI and at servers that speak its API: sent as they are, with the thinking that some want back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from limbeck import Task
from limbeck.tools import run_tools
from limbeck.types import GenerationRequest, Row
from limbeck_openai import OpenAILLM
from support.asking import ask
from support.openai_batches import openai_batch_server
from support.openai_server import answer, openai_server
from support.tool_chats import CHAT, NAMED, QUESTION, TOOLS, call, called, result

if TYPE_CHECKING:
    from pathlib import Path

    from support.provider_server import Asked


@pytest.mark.parametrize("choice", ["auto", "none", "required", NAMED])
def test_tools_and_the_choice_of_one_are_sent_as_they_are(choice: Any) -> None:
    with openai_server() as server:
        parameters = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False}
        ask(OpenAILLM(model="m", base_url=server.url), CHAT, parameters=parameters)
    body = server.requests[0].body
    assert (body["tools"], body["tool_choice"], body["parallel_tool_calls"]) == (TOOLS, choice, False)
    assert body["messages"] == CHAT


def test_a_batch_entry_has_tools_and_results_as_a_request_has() -> None:
    llm = OpenAILLM(model="m", api_key=SecretStr("k"))
    request = GenerationRequest(messages=CHAT, parameters={"tools": TOOLS})
    body = json.loads(llm.encode_batch_entry("t", request))["body"]
    assert (body["tools"], body["messages"]) == (TOOLS, CHAT)


@pytest.mark.parametrize("extra", [{"anthropic": {"content": []}}, {"answer": {"model": "other", "reasoning": "So."}}])
def test_what_another_model_wants_back_is_not_sent(extra: Any) -> None:
    chat = [QUESTION, called(call("t1", "time", extra_content=extra)), result("t1", "noon")]
    with openai_server() as server:
        ask(OpenAILLM(model="m", base_url=server.url), chat, parameters={"tools": TOOLS})
    assert server.requests[0].body["messages"] == [QUESTION, called(call("t1", "time")), result("t1", "noon")]
    assert server.answers == 1


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_details"])
def test_the_thinking_that_led_to_calls_goes_back_where_it_came_from(field: str) -> None:
    said = [{"type": "reasoning.text", "text": "Let me look."}] if field == "reasoning_details" else "Let me look."
    message: Any = {"tool_calls": [call("t1", "time")], field: said}
    with openai_server(answer(None, finish_reason="tool_calls", **message)) as server:
        llm = OpenAILLM(model="m", base_url=server.url)
        (generation,) = ask(llm, [QUESTION], parameters={"tools": TOOLS}).generations
        chat: Any = [QUESTION, called(*(generation.tool_calls or ())), result("t1", "noon")]
        query = llm._query(GenerationRequest(messages=chat, parameters={"tools": TOOLS}))
    assert query.body["messages"][1] == {**called(call("t1", "time")), field: said}


def test_what_a_server_keeps_with_a_call_goes_back_with_it() -> None:
    signed = call("t1", "time", extra_content={"google": {"thought_signature": "c2ln"}})
    chat: Any = [QUESTION, called(signed), result("t1", "noon")]
    llm = OpenAILLM(model="m", api_key=SecretStr("k"))
    assert llm._query(GenerationRequest(messages=chat)).body["messages"][1] == called(signed)


def test_the_messages_of_the_caller_are_not_changed() -> None:
    chat: Any = [QUESTION, called(call("t1", "time", extra_content={"anthropic": {"content": []}}))]
    before = json.dumps(chat)
    OpenAILLM(model="m", api_key=SecretStr("k"))._query(GenerationRequest(messages=chat))
    assert json.dumps(chat) == before


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


def says(asked: Asked) -> Any:
    last = asked.body["messages"][-1]
    if last["role"] == "tool":
        return answer(f"It is {last['content']}.")(asked)
    calls = [call("t1", "noon", json.dumps({"city": last["content"][12:-1]}))]
    return answer(None, finish_reason="tool_calls", tool_calls=calls)(asked)


def test_a_conversation_with_tools_goes_through_batches_turn_by_turn(tmp_path: Path) -> None:
    with openai_batch_server() as (server, desk):
        desk.says = says
        fields: Any = {"mode": "batch", "batch_poll_seconds": 0.02, "batch_gather_seconds": 0.1}
        clock: Any = Clock
        task = clock(llm=OpenAILLM(model="m", base_url=server.url, api_key=SecretStr("k"), **fields))
        rows = [{"city": city} for city in ("Rome", "Oslo")]
        answers = [row["answer"] for row in task.run(rows, run_dir=tmp_path / "run")]
    assert answers == ["It is noon in Rome.", "It is noon in Oslo."]
    assert server.requests == []
    assert sum(len(filed.entries) for filed in desk.filed) == 4
