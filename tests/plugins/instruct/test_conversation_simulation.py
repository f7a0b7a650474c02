"""Chats between a model that plays the user and one that answers."""

from __future__ import annotations

from typing import Any

from limbeck.testing import ScriptedLLM
from limbeck_instruct import ConversationSimulation


def row_of(task: ConversationSimulation, /, **row: Any) -> dict[str, Any]:
    (done,) = next(task.process([row]))
    return done


def texts_of(row: dict[str, Any]) -> list[str]:
    return [message["content"] for message in row["conversation"]]


def test_user_and_assistant_speak_in_turn_each_with_its_own_model() -> None:
    user, assistant = ScriptedLLM(script=["u1", "u2"], model="user"), ScriptedLLM(script=["a1", "a2"])
    row = row_of(ConversationSimulation(llm=assistant, user_llm=user, n_turns=2), persona="a baker")
    assert row["conversation"] == [
        {"role": "user", "content": "u1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "u2"},
        {"role": "assistant", "content": "a2"},
    ]
    assert "Who you are: a baker\n" in str(user.requests[0].messages[0]["content"])
    assert [message["role"] for message in user.requests[1].messages] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in assistant.requests[1].messages] == ["u1", "a1", "u2"]


def test_an_instruction_of_the_row_is_the_first_message() -> None:
    user, assistant = ScriptedLLM(script=["u2"]), ScriptedLLM(script=["a1", "a2"])
    row = row_of(ConversationSimulation(llm=assistant, user_llm=user, n_turns=2), instruction="What is [END]?")
    assert texts_of(row) == ["What is [END]?", "a1", "u2", "a2"]


def test_the_user_ends_the_conversation() -> None:
    task = ConversationSimulation(llm=ScriptedLLM(script=["u1", "a1", "Thanks! [END]"]), n_turns=5)
    assert texts_of(row_of(task)) == ["u1", "a1"]


def test_a_conversation_that_ends_before_it_begins_fails() -> None:
    task = ConversationSimulation(llm=ScriptedLLM(script=["[END]"]))
    row = row_of(task)
    assert row["conversation"] is None
    assert "before the conversation began" in row["distilabel_metadata"][f"error_{task.name}"]["message"]


def test_the_rows_system_prompt_wins_over_the_attribute() -> None:
    for row, expected in (
        ({}, "Be brief."),
        ({"system_prompt": "Rhyme."}, "Rhyme."),
        ({"system_prompt": ""}, "Be brief."),
    ):
        llm = ScriptedLLM(script=["a1"])
        row_of(ConversationSimulation(llm=llm, n_turns=1, system_prompt="Be brief."), instruction="Hello.", **row)
        assert llm.requests[0].messages[0] == {"role": "system", "content": expected}
