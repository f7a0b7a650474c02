"""Tools behind Hugging Face's chat APIs."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.errors import BadRequestError
from limbeck_huggingface import InferenceEndpointsLLM
from support.asking import ask, failure
from support.tool_chats import CHAT, NAMED, QUESTION, TOOLS, call, called, result

from .server import HuggingFaceServer, chat_body


@pytest.fixture(params=["tgi", "openai_like"])
def server(request: pytest.FixtureRequest) -> HuggingFaceServer:
    found: HuggingFaceServer = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("choice", ["auto", "none", "required", {"function": {"name": "time"}}])
def test_tools_results_and_the_choice_are_sent_as_the_sdk_takes_them(server: HuggingFaceServer, choice: Any) -> None:
    ask(InferenceEndpointsLLM(base_url=server.url), CHAT, parameters={"tools": TOOLS, "tool_choice": choice})
    body = server.requests[0].body
    assert (body["tools"], body["tool_choice"], body["messages"]) == (TOOLS, choice, CHAT)
    assert server.refused == []


def test_a_named_tool_may_be_chosen_in_openais_form(server: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=server.url), CHAT, parameters={"tools": TOOLS, "tool_choice": NAMED})
    assert server.requests[0].body["tool_choice"]["function"] == {"name": "time"}
    assert server.refused == []


def test_one_call_at_a_time_is_asked_for_though_the_sdk_has_no_name_for_it(server: HuggingFaceServer) -> None:
    parameters = {"tools": TOOLS, "parallel_tool_calls": False}
    ask(InferenceEndpointsLLM(base_url=server.url), CHAT, parameters=parameters)
    assert server.requests[0].body["parallel_tool_calls"] is False


def test_the_thinking_that_led_to_calls_goes_back_to_its_model(server: HuggingFaceServer) -> None:
    server.script(
        chat_body(None, finish_reason="tool_calls", tool_calls=[call("t1", "time")], reasoning_content="Let me look.")
    )
    llm = InferenceEndpointsLLM(base_url=server.url)
    (generation,) = ask(llm, [QUESTION], parameters={"tools": TOOLS}).generations
    ask(llm, [QUESTION, called(*(generation.tool_calls or ())), result("t1", "noon")], parameters={"tools": TOOLS})
    _, assistant, _ = server.requests[1].body["messages"]
    assert assistant == {**called(call("t1", "time")), "reasoning_content": "Let me look."}
    assert server.refused == []


def test_text_generation_takes_no_tools(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder)
    assert isinstance(failed := failure(llm, parameters={"tools": TOOLS}), BadRequestError)
    assert "'tools'" in str(failed)
