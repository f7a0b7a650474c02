"""ChatGeneration: which conversations go to the model, and what is wrong with the others."""

import copy
from typing import Any

import pytest

from limbeck import Task
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import ChatType, Row
from limbeck_tasks import ChatGeneration

USER = {"role": "user", "content": "hello"}


def chat_of(messages: Any) -> ChatType:
    return ChatGeneration(llm="offline").format_input({"messages": messages})


def run(task: Task, *rows: Row) -> list[Row]:
    return next(task.process(list(rows)))


def test_a_row_keeps_its_messages_and_gets_the_answer() -> None:
    task = ChatGeneration(llm=ScriptedLLM(script=["hi"], model="m"))
    assert run(task, {"messages": [USER]}) == [
        {
            "messages": [USER],
            "generation": "hi",
            "distilabel_metadata": {"raw_output_chat-generation": "hi"},
            "model_name": "m",
        }
    ]


@pytest.mark.parametrize("grouped", [True, False])
def test_three_generations_come_as_three_rows_or_one_group(grouped: bool) -> None:
    llm = ScriptedLLM(script=["a", "b", "c"], max_concurrency=1)  # asked for one after another
    task = ChatGeneration(llm=llm, num_generations=3, group_generations=grouped)
    generations = [row["generation"] for row in run(task, {"messages": [USER]})]
    assert generations == ([["a", "b", "c"]] if grouped else ["a", "b", "c"])


def test_the_messages_are_sent_as_they_are() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {}}]},
        {"role": "tool", "tool_call_id": "1", "content": ""},
        {"role": "user", "name": "Ada", "content": "数 \ud83d"},
    ]
    assert chat_of(messages) == messages


def test_the_last_message_may_be_a_tools() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {}}]}
    answer = {"role": "tool", "tool_call_id": "1", "content": "22 °C"}
    assert chat_of([USER, call, answer]) == [USER, call, answer]


def test_keys_that_an_arrow_table_filled_with_null_are_left_out_and_the_row_is_untouched() -> None:
    parts = [{"type": "text", "text": "x", "image_url": None}]
    messages = [
        {"role": "user", "content": parts, "tool_calls": None, "name": None},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}], "name": None},
        {"role": "tool", "content": "y", "tool_calls": None, "tool_call_id": "1"},
    ]
    before = copy.deepcopy(messages)
    assert chat_of(messages) == [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "y", "tool_call_id": "1"},
    ]
    assert messages == before


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        (None, "must hold a list of messages, not null"),
        ("hello", "must hold a list of messages, not str"),
        ([], "holds no message"),
        ([USER, "hello"], r"`messages\[1\]` must be a dict with `role` and `content`, not str"),
        ([None], r"`messages\[0\]` must be a dict"),
        ([{"content": "x"}], r"`messages\[0\]` has the role None; the roles are system, developer, user"),
        ([{"role": "bot", "content": "x"}], "has the role 'bot'"),
        ([{"role": ["user"], "content": "x"}], r"has the role \['user'\]"),
        ([{"role": "user"}], r"`content` of `messages\[0\]` must be text or a list of parts, not null"),
        ([{"role": "user", "content": 3}], "not int"),
        ([{"role": "user", "content": None, "tool_calls": [{}]}], "not null"),
        ([{"role": "assistant", "content": None}, USER], "not null"),
        ([{"role": "user", "content": ["x"]}], r"Each part of the `content` of `messages\[0\]`.*'x'"),
        ([{"role": "user", "content": [{"text": "x"}]}], "must be a dict with a `type`"),
        ([{"role": "tool", "content": "x"}], "needs a `tool_call_id`"),
        ([{"role": "system", "content": "x"}], "not 'system'"),
    ],
)
def test_a_malformed_conversation_says_what_is_wrong_and_where(messages: Any, fault: str) -> None:
    with pytest.raises((ValueError, TypeError), match=fault):
        chat_of(messages)


def test_a_malformed_conversation_fails_its_row_alone_and_nothing_is_sent_for_it() -> None:
    llm = EchoLLM()
    good, bad = run(ChatGeneration(llm=llm), {"messages": [USER]}, {"messages": []})
    assert good["generation"] == "hello"
    assert bad["generation"] is None
    assert bad["distilabel_metadata"]["error_chat-generation"] == {
        "type": "RowError",
        "message": (
            "`format_input` of task 'chat-generation' raised ValueError: The column `messages` holds no message."
        ),
        "attempts": 0,
    }


def test_a_message_of_ten_megabytes_goes_there_and_back() -> None:
    text = "x" * 10_000_000
    (row,) = run(ChatGeneration(llm=EchoLLM()), {"messages": [{"role": "user", "content": text}]})
    assert row["generation"] == text


def test_the_configuration_survives_a_round_trip() -> None:
    task = ChatGeneration(llm="offline", num_generations=2, on_error="drop")
    assert ChatGeneration.model_validate(task.model_dump(mode="json")).model_dump() == task.model_dump()
