"""`@task`: a task from a function.

Covers `_task.decorator`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

import limbeck
from limbeck import Task, get_task, register_task, task
from limbeck.errors import ConfigurationError, PluginContractError
from limbeck.testing import EchoLLM, ScriptedLLM, registry
from support.questions import METADATA, processed

if TYPE_CHECKING:
    from limbeck.types import Row


@task(inputs=["text"], outputs=["summary"])
def summarise_text(row: Row) -> str:
    """Make it short."""
    return f"Summarise: {row['text']}"


def test_a_function_that_returns_a_string_asks_it_as_the_users_only_message() -> None:
    llm = ScriptedLLM(script=["short"])
    assert processed(summarise_text(llm=llm), [{"text": "long"}]) == [
        {
            "text": "long",
            "summary": "short",
            METADATA: {"raw_output_summarise-text": "short"},
            "model_name": "scripted",
        }
    ]
    assert llm.requests[0].messages == [{"role": "user", "content": "Summarise: long"}]


def test_a_function_may_return_the_whole_chat() -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]

    @task(inputs=[], outputs=["answer"])
    def ask(row: Row) -> Any:
        return chat

    llm = ScriptedLLM(script=["Because."])
    assert processed(ask(llm=llm), [{}])[0]["answer"] == "Because."
    assert llm.requests[0].messages == chat


def test_what_it_makes_is_a_task_class_with_the_functions_identity() -> None:
    assert issubclass(summarise_text, Task)
    made = summarise_text(llm=EchoLLM())
    assert (summarise_text.__name__, summarise_text.__module__, summarise_text.__doc__) == (
        "SummariseText",
        __name__,
        "Make it short.",
    )
    assert (made.name, made.inputs, made.outputs) == ("summarise-text", ["text"], ["summary"])


def test_it_takes_all_the_fields_of_a_task_and_refuses_others() -> None:
    made = summarise_text(llm=EchoLLM(), name="s", num_generations=2, group_generations=True)
    assert processed(made, [{"text": "t"}])[0]["summary"] == ["Summarise: t", "Summarise: t"]
    with pytest.raises(ConfigurationError, match="`SummariseText` has no field 'temperature'"):
        summarise_text(llm=EchoLLM(), temperature=1)  # type: ignore[call-arg]  # the mistake


def test_it_can_be_registered_and_found_by_name() -> None:
    with registry():
        register_task("short", summarise_text)
        assert get_task("short") is summarise_text
        assert summarise_text(llm=EchoLLM()).name == "short"


def test_the_function_may_be_decorated_by_the_name_in_the_package() -> None:
    assert limbeck.task is task


def test_parse_of_the_text_gives_the_columns() -> None:
    @task(
        inputs=["text"],
        outputs=["first", "rest"],
        parse=lambda text: dict(zip(["first", "rest"], text.split(" ", 1), strict=True)),
    )
    def split(row: Row) -> str:
        return str(row["text"])

    (row,) = processed(split(llm=EchoLLM()), [{"text": "a b c"}])
    assert list(row) == ["text", "first", "rest", METADATA, "model_name"]
    assert (row["first"], row["rest"]) == ("a", "b c")


def test_parse_may_take_the_row_too() -> None:
    def parse(text: str | None, row: Row) -> Row:
        return {"both": f"{row['text']} became {text}"}

    made = task(inputs=["text"], outputs=["both"], parse=parse)(lambda row: row["text"].upper())
    assert processed(made(llm=EchoLLM(), name="m"), [{"text": "a"}])[0]["both"] == "a became A"


@pytest.mark.parametrize("parse", [json.loads, lambda text, strict=False: json.loads(text, strict=strict)])
def test_a_parse_with_further_arguments_that_have_defaults_gets_the_text_alone(parse: Any) -> None:
    made = task(inputs=["text"], outputs=["x", "y"], parse=parse)(lambda row: row["text"])
    (row,) = processed(made(llm=EchoLLM(), name="m"), [{"text": '{"y": 2, "x": 1}'}])
    assert (row["x"], row["y"]) == (1, 2)


def test_a_parse_that_raises_fails_the_row_with_the_text_kept() -> None:
    made = task(inputs=["text"], outputs=["x"], parse=json.loads)(lambda row: row["text"])
    (row,) = processed(made(llm=EchoLLM(), name="m"), [{"text": "no json"}])
    assert row["x"] is None
    assert (row[METADATA]["raw_output_m"], row[METADATA]["error_m"]["type"]) == ("no json", "OutputError")


class Verdict(BaseModel):
    score: int
    reason: str = "none given"


def test_with_a_schema_the_columns_are_read_from_the_json() -> None:
    @task(inputs=["text"], outputs=["reason", "score"], output_schema=Verdict)
    def judge(row: Row) -> str:
        return "Judge."

    llm = ScriptedLLM(
        script=['Well: {"score": 3, "reason": "clear"}', '{"score": 4}', '{"score": "high"}'], max_concurrency=1
    )
    rows = processed(judge(llm=llm), [{"text": letter} for letter in "abc"])
    assert [(row["reason"], row["score"]) for row in rows] == [("clear", 3), ("none given", 4), (None, None)]
    assert [row[METADATA].get("error_judge", {}).get("type") for row in rows] == [None, None, "SchemaError"]
    assert llm.requests[0].output_schema == Verdict.model_json_schema()


def test_a_schema_and_a_parse_work_together() -> None:
    made = task(
        inputs=[],
        outputs=["doubled"],
        output_schema=Verdict,
        parse=lambda text: {"doubled": 2 * json.loads(text)["score"]},
    )(lambda row: "Judge.")
    assert processed(made(llm=ScriptedLLM(script=['{"score": 3}']), name="m"), [{}])[0]["doubled"] == 6


def test_several_outputs_and_nothing_to_fill_them_with_is_refused_at_once() -> None:
    with pytest.raises(PluginContractError, match="`@task` on `f`: it has several outputs, so give it `parse=`"):

        @task(inputs=["a"], outputs=["x", "y"])
        def f(row: Row) -> str:
            return ""


def test_the_models_name_among_the_outputs_is_filled_in_and_is_no_second_output() -> None:
    @task(inputs=["a"], outputs=["x", "model_name"])
    def ask(row: Row) -> str:
        return str(row["a"])

    assert processed(ask(llm=EchoLLM()), [{"a": 1}]) == [
        {"a": 1, "x": "1", METADATA: {"raw_output_ask": "1"}, "model_name": "echo"}
    ]


def test_inputs_may_say_which_columns_are_required() -> None:
    @task(inputs={"a": True, "b": False}, outputs=["x"])
    def ask(row: Row) -> str:
        return f"{row['a']}{row.get('b')}"

    rows = processed(ask(llm=EchoLLM()), [{"a": 1}, {"a": 1, "b": 2}, {"b": 2}])
    assert [row["x"] for row in rows] == ["1None", "12", None]


def test_one_columns_name_in_place_of_a_list_is_refused() -> None:
    made = task(inputs="text", outputs=["x"])(lambda row: "")
    with pytest.raises(PluginContractError, match=r"`inputs` must be .* and is 'text'"):
        made(llm=EchoLLM())


def test_a_function_that_raises_fails_its_row() -> None:
    (row,) = processed(summarise_text(llm=EchoLLM(), input_mappings={"text": "body"}), [{"body": "b"}])
    assert row["summary"] == "Summarise: b"
    made = task(inputs=["a"], outputs=["x"])(lambda row: row["no such column"])
    (row,) = processed(made(llm=EchoLLM(), name="m"), [{"a": 1}])
    assert row[METADATA]["error_m"]["message"] == "`format_input` of task 'm' raised KeyError: 'no such column'"


async def coroutine(row: Row) -> str:
    return ""


@pytest.mark.parametrize("function", [lambda: "", lambda row, other: "", coroutine], ids=["none", "two", "async"])
def test_a_function_that_does_not_take_one_row_and_return_is_refused_at_once(function: Any) -> None:
    with pytest.raises(
        PluginContractError, match=r"`@task` on `.*`: it must be a plain function of one argument, the row"
    ):
        task(inputs=["a"], outputs=["x"])(function)
