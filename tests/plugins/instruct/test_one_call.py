"""The tasks of one call a row: what is asked, and which answers are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck_instruct import CLAIR, URIAL, Genstruct, SelfInstruct

if TYPE_CHECKING:
    from limbeck import Task


def row_of(task: Task, /, **row: Any) -> dict[str, Any]:
    (done,) = next(task.process([row]))
    return done


def type_of_error(task: Task, /, **row: Any) -> str:
    done = row_of(task, **row)
    assert [done[column] for column in task.outputs if column != "model_name"] == [None] * (len(task.outputs) - 1)
    return str(done["distilabel_metadata"][f"error_{task.name}"]["type"])


def llm(*answers: str | None) -> ScriptedLLM:
    return ScriptedLLM(script=list(answers))


def prompt_of(task: Task) -> str:
    return str(task.llm.requests[0].messages[-1]["content"])


def test_self_instruct_asks_with_its_three_attributes() -> None:
    task = SelfInstruct(
        llm=llm('{"instructions": ["a"]}'),
        num_instructions=3,
        criteria_for_query_generation="Be brief {always}.",
        application_description="a {cook}",
    )
    row_of(task, input="salt {and} pepper")
    for part in ("Write 3 queries", "Be brief {always}.", "a {cook}", "salt {and} pepper"):
        assert part in prompt_of(task)


@pytest.mark.parametrize(
    ("answer", "instructions"),
    [
        ('Here are 3:\n```json\n{"instructions": ["a", "b"]}\n```', ["a", "b"]),
        ('{"instructions": [" a ", "", "a", "b", "c"]}', ["a", "b"]),
    ],
)
def test_self_instruct_takes_no_talk_blanks_repeats_or_surplus(answer: str, instructions: list[str]) -> None:
    assert row_of(SelfInstruct(llm=llm(answer), num_instructions=2), input="x")["instructions"] == instructions


@pytest.mark.parametrize("answer", ["1. Name a river.\n2. Name a lake.", '{"instructions": [1]}', None])
def test_self_instruct_takes_nothing_but_a_list_of_texts(answer: str | None) -> None:
    assert type_of_error(SelfInstruct(llm=llm(answer)), input="x") == "SchemaError"


def test_self_instruct_without_any_instruction_fails() -> None:
    assert type_of_error(SelfInstruct(llm=llm('{"instructions": [" "]}')), input="x") == "OutputError"


def test_genstruct_asks_about_title_and_content() -> None:
    task = Genstruct(llm=llm("q [[[Assistant]]] a"))
    row_of(task, title="On <CONTENT>", content="Salt.")
    assert prompt_of(task).startswith("[[[Title]]] On <CONTENT>\n[[[Content]]] Salt.\n")
    assert prompt_of(task).endswith("[[[User]]] ")


@pytest.mark.parametrize(
    "answer",
    [
        "Why?\n[[[Assistant]]] So.",
        "[[[User]]] Why? [[[Assistant]]] So.\n[[[User]]] And then? [[[Assistant]]] No.",
        "<think>[[[Assistant]]] hm</think> Why? [[[Assistant]]]\n\nSo.",
    ],
)
def test_genstruct_reads_one_question_and_its_answer(answer: str) -> None:
    row = row_of(Genstruct(llm=llm(answer)), title="t", content="c")
    assert (row["user"], row["assistant"]) == ("Why?", "So.")


@pytest.mark.parametrize("answer", ["Why? So.", "[[[Assistant]]] So.", "Why? [[[Assistant]]]", "", None])
def test_genstruct_without_both_parts_fails(answer: str | None) -> None:
    assert type_of_error(Genstruct(llm=llm(answer)), title="t", content="c") == "OutputError"


def test_a_template_of_genstruct_without_its_places_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="`<CONTENT>`"):
        Genstruct(llm="offline", template="<TITLE>")


def test_clair_keeps_the_revision_and_why() -> None:
    task = CLAIR(llm=llm('Well: {"rational": "r", "revision": "{v}"}'), system_prompt="Be kind.")
    row = row_of(task, task="Name {one}.", student_solution="{x}")
    assert (row["revision"], row["rational"]) == ("{v}", "r")
    assert task.llm.requests[0].messages[0] == {"role": "system", "content": "Be kind."}
    assert "Name {one}." in prompt_of(task)


@pytest.mark.parametrize("answer", ["Good.", '{"revision": "x"}', '{"rational": "", "revision": "x"}'])
def test_clair_without_both_parts_fails(answer: str) -> None:
    assert type_of_error(CLAIR(llm=llm(answer)), task="t", student_solution="s") == "SchemaError"


def test_urial_ends_with_the_assistants_turn() -> None:
    chat = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Name a river."},
    ]
    task = URIAL(llm=llm("The Ebro."))
    row_of(task, conversation=chat)
    end = "# User:\nHello.\n\n# Assistant:\nHello!\n\n# User:\nName a river.\n\n# Assistant:\n"
    assert prompt_of(task).endswith(end)


@pytest.mark.parametrize("answer", ["The Ebro.", "\n\nThe Ebro.\n\n# User:\nMore?", "# Assistant:\nThe Ebro."])
def test_urial_stops_where_the_model_speaks_for_the_user(answer: str) -> None:
    assert row_of(URIAL(llm=llm(answer)), instruction="Name a river.")["generation"] == "The Ebro."


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": None},
        {"conversation": []},
        {"conversation": [{"role": "assistant", "content": "Hello!"}]},
        {"conversation": [{"role": "tool", "content": "x"}]},
        {"conversation": "Hello."},
        {"conversation": [{"role": "user"}]},
    ],
)
def test_urial_needs_words_of_a_user(row: dict[str, Any]) -> None:
    task = URIAL(llm=llm())
    assert type_of_error(task, **row) == "RowError"
    assert task.llm.requests == []


def test_urial_without_an_answer_fails() -> None:
    assert type_of_error(URIAL(llm=llm("# User:\nMore?")), instruction="x") == "OutputError"


def test_the_outputs_of_examples_are_plain_json() -> None:
    for task in (SelfInstruct(llm="offline"), Genstruct(llm="offline"), CLAIR(llm="offline"), URIAL(llm="offline")):
        for example in task.examples():
            assert json.loads(json.dumps(example.output)) == example.output
