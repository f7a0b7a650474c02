"""What goes back to a model with the results of its calls, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.backends import chat_calls, chat_messages, extra_in, with_extra
from support.tool_chats import CHAT, call, called


def test_the_first_of_several_calls_carries_what_goes_back() -> None:
    first, second = with_extra([call("a", "f"), call("b", "f")], "acme", {"state": 1})
    assert first == call("a", "f", extra_content={"acme": {"state": 1}})
    assert second == call("b", "f")


def test_what_a_call_carries_already_stays() -> None:
    signed = call("a", "f", extra_content={"google": {"thought_signature": "c2ln"}})
    (carrying,) = with_extra([signed], "acme", {"state": 1})
    assert carrying["extra_content"] == {"google": {"thought_signature": "c2ln"}, "acme": {"state": 1}}


@pytest.mark.parametrize("calls", [None, [], "f()", 5, ["f()"]])
def test_calls_that_are_none_are_left_to_the_engine(calls: Any) -> None:
    assert with_extra(calls, "acme", {"state": 1}) == calls


@pytest.mark.parametrize("extra", [None, "text", {"acme": "text"}, {"other": {}}])
def test_what_is_not_there_or_not_readable_is_none(extra: Any) -> None:
    assert extra_in(called(call("a", "f", extra_content=extra)), "acme") is None


def test_an_answer_without_thinking_has_its_calls_as_they_came() -> None:
    calls = [call("a", "f")]
    assert chat_calls({"tool_calls": calls, "reasoning": None, "reasoning_content": ""}, model="m") is calls


def test_a_chat_without_calls_is_sent_as_the_object_that_it_is() -> None:
    chat = [{"role": "user", "content": "hi"}]
    assert chat_messages(chat, model="m") is chat


def test_thinking_goes_back_to_the_model_whose_it_is_and_to_no_other() -> None:
    (carrying,) = chat_calls({"tool_calls": [call("a", "f")], "reasoning_content": "So."}, model="m")
    (own,) = chat_messages([called(carrying)], model="m")
    (others,) = chat_messages([called(carrying)], model="n")
    assert own == {**called(call("a", "f")), "reasoning_content": "So."}
    assert others == called(call("a", "f"))


@pytest.mark.parametrize("odd", [None, "text", [], {"id": "x"}])
def test_an_odd_call_in_a_chat_is_left_to_whoever_reads_it(odd: Any) -> None:
    assert chat_messages([called(odd)], model="m") == [called(odd)]


def test_a_chat_in_plain_form_stays_equal() -> None:
    assert chat_messages(CHAT, model="m") == CHAT
