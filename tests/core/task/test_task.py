"""What a task returns for its rows: keys, order and values.

Covers `_task.work`.
"""

from __future__ import annotations

import gc
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from pydantic import BaseModel

from limbeck import GeneratorTask, Task
from limbeck.errors import (
    ConfigurationError,
    LimbeckWarning,
    MissingColumnError,
    PluginContractError,
    RunStoppedError,
)
from limbeck.testing import EchoLLM, ScriptedLLM, registry
from limbeck.types import Capabilities, Generation, GenerationRequest, GenerationResponse, Usage
from support.questions import METADATA, PATIENCE, Ask, answered, new_model, processed, prompt_of, questions, response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from limbeck.types import ChatType, Row


class TextGeneration(Task):
    """The task of the documented example."""

    @property
    def inputs(self) -> list[str]:
        return ["instruction"]

    @property
    def outputs(self) -> list[str]:
        return ["generation", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": input["instruction"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"generation": output}


class Judge(Task):
    """Two inputs, one of them optional; two outputs, given back in another order than declared."""

    @property
    def inputs(self) -> dict[str, bool]:
        return {"text": True, "hint": False}

    @property
    def outputs(self) -> Mapping[str, bool]:
        return {"score": True, "reason": True, "doubt": False}

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": f"{input['text']} {input.get('hint', 'no hint')}"}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"reason": f"because {output}", "score": 1}


# What a row becomes


def test_one_row_becomes_the_row_of_the_contract() -> None:
    llm = ScriptedLLM(script=["The capital of Spain is Madrid."], model="meta-llama/Llama")
    task = TextGeneration(name="text-generation", llm=llm)
    (row,) = processed(task, [{"instruction": "What's the capital of Spain?"}])
    assert row == {
        "instruction": "What's the capital of Spain?",
        "generation": "The capital of Spain is Madrid.",
        "distilabel_metadata": {"raw_output_text-generation": "The capital of Spain is Madrid."},
        "model_name": "meta-llama/Llama",
    }
    assert list(row) == ["instruction", "generation", "distilabel_metadata", "model_name"]


def test_several_generations_become_several_rows_in_sample_order() -> None:
    task = TextGeneration(llm=ScriptedLLM(script=["one", "two", "three"], max_concurrency=1), num_generations=3)
    rows = processed(task, [{"instruction": "Count."}])
    assert rows == [
        {
            "instruction": "Count.",
            "generation": text,
            "distilabel_metadata": {"raw_output_text-generation": text},
            "model_name": "scripted",
        }
        for text in ("one", "two", "three")
    ]


def test_a_group_is_one_row_whose_outputs_and_metadata_are_lists_in_sample_order() -> None:
    llm = ScriptedLLM(script=["one", "two", "three"], max_concurrency=1)
    task = TextGeneration(llm=llm, num_generations=3, group_generations=True)
    (row,) = processed(task, [{"instruction": "Count."}])
    assert row == {
        "instruction": "Count.",
        "generation": ["one", "two", "three"],
        "distilabel_metadata": [
            {"raw_output_text-generation": "one"},
            {"raw_output_text-generation": "two"},
            {"raw_output_text-generation": "three"},
        ],
        "model_name": "scripted",
    }
    assert list(row) == ["instruction", "generation", "distilabel_metadata", "model_name"]


def test_a_group_of_one_holds_lists_of_one() -> None:
    (row,) = processed(TextGeneration(llm=EchoLLM(), group_generations=True), [{"instruction": "Hi."}])
    assert (row["instruction"], row["generation"], row["model_name"]) == ("Hi.", ["Hi."], "echo")
    assert row["distilabel_metadata"] == [{"raw_output_text-generation": "Hi."}]


def test_input_columns_come_first_in_their_own_order_then_outputs_as_declared() -> None:
    (row,) = processed(Judge(llm=EchoLLM()), [{"z": 1, "text": "t", "a": [2], "hint": None}])
    assert list(row) == ["z", "text", "a", "hint", "score", "reason", "doubt", METADATA, "model_name"]
    assert row == {
        "z": 1,
        "text": "t",
        "a": [2],
        "hint": None,
        "score": 1,
        "reason": "because t None",
        "doubt": None,
        METADATA: {"raw_output_judge": "t None"},
        "model_name": "echo",
    }


def test_input_values_are_carried_over_untouched_into_lists_and_dicts_of_each_rows_own() -> None:
    given: Row = {"question": "q", "blob": object(), "nested": {"list": [1]}}
    first, second = processed(Ask(llm=EchoLLM(), num_generations=2), [given])
    assert all(row[column] == value for row in (first, second) for column, value in given.items())
    assert len({id(row["nested"]["list"]) for row in (given, first, second)}) == 3


def test_the_rows_given_are_not_changed() -> None:
    given = [{"question": "q", METADATA: {"raw_output_earlier": "x"}, "model_name": "earlier"}]
    processed(Ask(llm=EchoLLM(), output_mappings={"answer": "reply"}), given)
    assert given == [{"question": "q", METADATA: {"raw_output_earlier": "x"}, "model_name": "earlier"}]


def test_a_task_that_changes_its_input_changes_neither_the_rows_given_nor_those_returned() -> None:
    class Careless(Ask):
        def format_input(self, input: Row) -> ChatType:
            return [{"role": "user", "content": input.pop("question")}]

        def format_output(self, output: str | None, input: Row) -> Row:
            input["scribble"] = 1
            return {"answer": input.pop("question")}

    given = [{"question": "q"}]
    (row,) = processed(Careless(llm=EchoLLM()), given)
    assert given == [{"question": "q"}]
    assert row == {"question": "q", "answer": "q", METADATA: {"raw_output_careless": "q"}, "model_name": "echo"}


def test_the_same_row_twice_is_two_rows_that_share_nothing_of_their_own() -> None:
    same: Row = {"question": "q"}
    first, second = processed(Ask(llm=EchoLLM()), [same, same])
    first["answer"] = first[METADATA]["raw_output_ask"] = "changed"
    assert second == answered("q", "q", model="echo")


def test_process_yields_one_list_with_all_that_came_of_the_rows() -> None:
    results = list(Ask(llm=EchoLLM()).process(questions(3)))
    assert results == [[answered(str(place), str(place), model="echo") for place in range(3)]]


def test_no_rows_give_one_empty_list_and_no_request() -> None:
    llm = ScriptedLLM(script=[])
    assert list(Ask(llm=llm).process([])) == [[]]
    assert llm.requests == []


def test_the_model_name_is_the_llms_whatever_format_output_or_the_server_says() -> None:
    class Boastful(TextGeneration):
        def format_output(self, output: str | None, input: Row) -> Row:
            return {"generation": output, "model_name": "a better model"}

    answer = GenerationResponse(generations=[Generation(text="x")], model="server-says-2026-01-01")
    (row,) = processed(Boastful(llm=ScriptedLLM(script=[answer], model="asked-for")), [{"instruction": "i"}])
    assert row["model_name"] == "asked-for"


# The answer's text


@pytest.mark.parametrize("text", ["", None], ids=["an empty text", "no text"])
def test_an_empty_answer_reaches_format_output(text: str | None) -> None:
    seen = []

    class Watch(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            seen.append((output, input))
            return {"answer": "nothing was said"}

    llm = ScriptedLLM(script=[Generation(text=text, finish_reason="length")])
    (row,) = processed(Watch(llm=llm), [{"question": "q"}])
    assert seen == [(text, {"question": "q"})]
    assert row == {
        "question": "q",
        "answer": "nothing was said",
        METADATA: {"raw_output_watch": text},
        "model_name": "scripted",
    }


# Metadata


def test_without_the_raw_output_there_is_no_metadata_column() -> None:
    (row,) = processed(Ask(llm=EchoLLM(), add_raw_output=False), [{"question": "q"}])
    assert row == {"question": "q", "answer": "q", "model_name": "echo"}


def test_without_the_raw_output_a_group_has_no_metadata_column_either() -> None:
    task = Ask(llm=EchoLLM(), add_raw_output=False, num_generations=2, group_generations=True)
    assert processed(task, [{"question": "q"}]) == [{"question": "q", "answer": ["q", "q"], "model_name": "echo"}]


def test_the_raw_input_is_the_messages() -> None:
    (row,) = processed(Ask(llm=EchoLLM(), add_raw_input=True), [{"question": "q"}])
    assert row[METADATA] == {"raw_output_ask": "q", "raw_input_ask": [{"role": "user", "content": "q"}]}


def test_statistics_are_tokens_latency_and_finish_reason() -> None:
    usage = Usage(input_tokens=7, output_tokens=5, cached_tokens=3, reasoning_tokens=2)
    answer = GenerationResponse(generations=[Generation(text="x", finish_reason="length")], usage=usage)
    task = Ask(llm=ScriptedLLM(script=[answer]), add_statistics=True, add_raw_output=False)
    (row,) = processed(task, [{"question": "q"}])
    statistics = row[METADATA]["statistics_ask"]
    latency = statistics.pop("latency")
    assert isinstance(latency, float)
    assert row[METADATA] == {
        "statistics_ask": {
            "input_tokens": 7,
            "output_tokens": 5,
            "cached_tokens": 3,
            "reasoning_tokens": 2,
            "finish_reason": "length",
        }
    }


def test_what_stands_beside_an_answer_is_in_line_with_it_in_a_group() -> None:
    generations = [
        Generation(text="one", finish_reason="stop", reasoning="thought of one", logprobs=[-0.1]),
        Generation(text="two", finish_reason="length"),
        Generation(text="three", finish_reason="stop", logprobs=[-0.3], tool_calls=[{"id": "call"}]),
    ]
    task = Ask(
        llm=ScriptedLLM(script=generations, max_concurrency=1),
        num_generations=3,
        group_generations=True,
        add_statistics=True,
    )
    (row,) = processed(task, [{"question": "q"}])
    beside = [
        {name: value for name, value in each["statistics_ask"].items() if name in Generation.__dataclass_fields__}
        for each in row[METADATA]
    ]
    assert row["answer"] == ["one", "two", "three"]
    assert beside == [
        {"finish_reason": "stop", "reasoning": "thought of one", "logprobs": [-0.1]},
        {"finish_reason": "length"},
        {"finish_reason": "stop", "logprobs": [-0.3], "tool_calls": [{"id": "call"}]},
    ]


def test_tokens_of_one_response_with_several_answers_are_counted_once() -> None:
    class Native(ScriptedLLM):
        capabilities = Capabilities(native_n=True)

    answer = GenerationResponse(
        generations=[Generation(text="a"), Generation(text="b")], usage=Usage(input_tokens=3, output_tokens=4)
    )
    task = Ask(llm=Native(script=[answer]), num_generations=2, add_statistics=True)
    rows = processed(task, [{"question": "q"}])
    assert [row[METADATA]["statistics_ask"]["output_tokens"] for row in rows] == [4, None]


def test_metadata_of_an_earlier_task_is_kept_under_its_own_keys() -> None:
    earlier = {"raw_output_earlier": "x", "error_earlier": {"type": "OutputError"}}
    (row,) = processed(Ask(llm=EchoLLM()), [{"question": "q", METADATA: earlier, "model_name": "earlier-model"}])
    assert row == {
        "question": "q",
        "answer": "q",
        METADATA: {"raw_output_earlier": "x", "error_earlier": {"type": "OutputError"}, "raw_output_ask": "q"},
        "model_name": "echo",
    }
    assert list(row) == ["question", "answer", METADATA, "model_name"]


def test_a_group_carries_the_earlier_metadata_in_each_sample() -> None:
    task = Ask(llm=EchoLLM(), num_generations=2, group_generations=True)
    (row,) = processed(task, [{"question": "q", METADATA: {"raw_output_earlier": "x"}}])
    assert row[METADATA] == [{"raw_output_earlier": "x", "raw_output_ask": "q"}] * 2


def test_metadata_of_an_earlier_group_becomes_lists_under_its_keys() -> None:
    earlier = [{"raw_output_earlier": "x"}, {"raw_output_earlier": None, "error_earlier": {"type": "OutputError"}}]
    (row,) = processed(Ask(llm=EchoLLM()), [{"question": "q", METADATA: earlier}])
    assert row[METADATA] == {
        "raw_output_earlier": ["x", None],
        "error_earlier": [None, {"type": "OutputError"}],
        "raw_output_ask": "q",
    }


def test_metadata_that_holds_nothing_is_replaced() -> None:
    nothings: list[Any] = [None, {}, [], [None]]
    rows = [{"question": "q", METADATA: nothing} for nothing in nothings]
    assert processed(Ask(llm=EchoLLM()), rows) == [answered("q", "q", model="echo")] * 4


def test_a_column_of_that_name_that_is_no_metadata_is_kept_beside_ours() -> None:
    (row,) = processed(Ask(llm=EchoLLM()), [{"question": "q", METADATA: '{"as": "text"}'}])
    assert row[METADATA] == {METADATA: '{"as": "text"}', "raw_output_ask": "q"}


def test_two_tasks_in_a_row_keep_each_others_metadata() -> None:
    first = Ask(name="first", llm=ScriptedLLM(script=["A", "B"], max_concurrency=1, model="m1"), num_generations=2)
    second = Ask(
        name="second",
        llm=EchoLLM(model="m2"),
        input_mappings={"question": "answer"},
        output_mappings={"answer": "echoed"},
    )
    assert processed(second, processed(first, [{"question": "q"}])) == [
        {
            "question": "q",
            "answer": text,
            "echoed": text,
            METADATA: {"raw_output_first": text, "raw_output_second": text},
            "model_name": "m2",
        }
        for text in ("A", "B")
    ]


# Columns


def test_a_required_column_that_no_row_has_is_an_error_before_any_call() -> None:
    llm = ScriptedLLM(script=[])
    rows = [{"instruction": "i"}, {"quest": "q", "instruction": "i"}]
    with pytest.raises(MissingColumnError) as caught:
        next(Ask(name="my-task", llm=llm).process(rows))
    assert (caught.value.columns, caught.value.task, caught.value.present) == (
        ["question"],
        "my-task",
        ["instruction", "quest"],
    )
    for word in ("`question`", "'my-task'", "`instruction`", "`quest`", "input_mappings"):
        assert word in str(caught.value)
    assert llm.requests == []


class Pandas(NamedTuple):
    question: str


@dataclass
class Item:
    question: str


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (Pandas("q"), r"not Pandas\. Write `row\._asdict\(\)`"),
        (Item("q"), r"not Item\. Write `dataclasses\.asdict\(row\)`"),
        (["q"], "not list"),
        ("q", "not str"),
    ],
)
def test_rows_that_are_no_dicts_are_told_as_that_and_not_as_a_missing_column(row: Any, what: str) -> None:
    llm = ScriptedLLM(script=[])
    with pytest.raises(ConfigurationError, match=f"A row must be a dict of columns, {what}") as caught:
        list(Ask(llm=llm).run([row, row]))
    assert not isinstance(caught.value, MissingColumnError)
    assert llm.requests == []


def test_the_missing_column_is_named_as_the_rows_should_have_it() -> None:
    with pytest.raises(MissingColumnError) as caught:
        next(Ask(llm=EchoLLM(), input_mappings={"question": "prompt"}).process([{"question": "q"}]))
    assert caught.value.columns == ["prompt"]


def test_a_required_column_that_some_rows_lack_fails_those_rows_as_data() -> None:
    assert processed(Ask(llm=EchoLLM()), [{"other": 1}, {"question": "q"}, {}]) == [
        {
            "other": 1,
            "answer": None,
            METADATA: {
                "raw_output_ask": None,
                "error_ask": {
                    "type": "RowError",
                    "message": "The row lacks the column `question`, which task 'ask' needs as `question`.",
                    "attempts": 0,
                },
            },
            "model_name": "echo",
        },
        answered("q", "q", model="echo"),
        {
            "answer": None,
            METADATA: {
                "raw_output_ask": None,
                "error_ask": {
                    "type": "RowError",
                    "message": "The row lacks the column `question`, which task 'ask' needs as `question`.",
                    "attempts": 0,
                },
            },
            "model_name": "echo",
        },
    ]


def test_a_column_that_is_there_and_empty_is_not_missing() -> None:
    assert processed(Ask(llm=EchoLLM()), [{"question": None}])[0]["answer"] == "None"


def test_an_optional_column_may_be_missing_everywhere() -> None:
    assert processed(Judge(llm=EchoLLM()), [{"text": "t"}])[0]["reason"] == "because t no hint"


def test_input_mappings_give_a_task_the_columns_under_its_own_names() -> None:
    llm = EchoLLM()
    task = Judge(llm=llm, input_mappings={"text": "body", "hint": "clue"})
    (row,) = processed(task, [{"body": "b", "clue": "c", "text": "another thing"}, {"body": "b"}][:1])
    assert row == {
        "body": "b",
        "clue": "c",
        "text": "another thing",
        "score": 1,
        "reason": "because b c",
        "doubt": None,
        METADATA: {"raw_output_judge": "b c"},
        "model_name": "echo",
    }


def test_an_optional_column_that_is_renamed_and_missing_stays_missing() -> None:
    task = Judge(llm=EchoLLM(), input_mappings={"hint": "clue"})
    assert processed(task, [{"text": "t"}])[0]["reason"] == "because t no hint"


def test_two_input_columns_can_be_exchanged() -> None:
    task = Judge(llm=EchoLLM(), input_mappings={"text": "hint", "hint": "text"})
    assert processed(task, [{"text": "T", "hint": "H"}])[0]["reason"] == "because H T"


def test_output_mappings_rename_the_columns_of_the_rows_the_models_name_too() -> None:
    mappings = {"score": "points", "model_name": "judge_model"}
    (row,) = processed(Judge(llm=EchoLLM(), output_mappings=mappings), [{"text": "t", "model_name": "writer"}])
    assert row == {
        "text": "t",
        "model_name": "writer",
        "points": 1,
        "reason": "because t no hint",
        "doubt": None,
        METADATA: {"raw_output_judge": "t no hint"},
        "judge_model": "echo",
    }
    assert list(row) == ["text", "model_name", "points", "reason", "doubt", METADATA, "judge_model"]


@pytest.mark.parametrize("mappings", [{"score": "reason"}, {"score": "x", "reason": "x"}, {"score": "model_name"}])
def test_two_outputs_in_one_column_are_refused(mappings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="puts both"):
        Judge(llm=EchoLLM(), output_mappings=mappings)


def test_two_outputs_can_be_exchanged() -> None:
    task = Judge(llm=EchoLLM(), output_mappings={"score": "reason", "reason": "score"})
    (row,) = processed(task, [{"text": "t"}])
    assert (row["score"], row["reason"]) == ("because t no hint", 1)


@pytest.mark.parametrize("field", ["input_mappings", "output_mappings"])
def test_a_mapping_of_a_column_that_the_task_does_not_have_is_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`{field}` of 'judge' renames the column 'nope'"):
        Judge.model_validate({"llm": EchoLLM(), field: {"nope": "x"}})


def test_overwriting_an_input_value_warns_once_naming_the_task_and_the_column() -> None:
    rows: list[Row] = [{"question": "q", "answer": "mine"}, {"question": "r", "answer": "mine too"}]
    with pytest.warns(LimbeckWarning) as caught:
        result = processed(Ask(name="asker", llm=EchoLLM()), rows)
    assert [str(warning.message) for warning in caught] == [
        (
            "Task 'asker' overwrites the input column `answer`. "
            "Keep both with `output_mappings={'answer': '<another name>'}`."
        )
    ]
    assert [(list(row), row["answer"]) for row in result] == [
        (["question", "answer", METADATA, "model_name"], "q"),
        (["question", "answer", METADATA, "model_name"], "r"),
    ]


def test_the_warning_names_the_tasks_own_column_in_its_remedy() -> None:
    task = Ask(llm=EchoLLM(), output_mappings={"answer": "reply"})
    with pytest.warns(LimbeckWarning, match=r"column `reply`.*output_mappings=\{'answer':"):
        processed(task, [{"question": "q", "reply": "mine"}])


def test_an_output_column_that_is_there_and_empty_is_filled_in_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (row,) = processed(Ask(llm=EchoLLM()), [{"answer": None, "question": "q"}])
    assert row == answered("q", "q", model="echo")
    assert list(row) == ["question", "answer", METADATA, "model_name"]


def test_where_warnings_are_errors_overwriting_stops_the_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RunStoppedError, match="overwrites the input column `answer`"):
            processed(Ask(llm=EchoLLM()), [{"question": "q", "answer": "mine"}])


# What may be given as rows


def test_any_iterable_of_rows_will_do_and_is_read_once() -> None:
    rows = (row for row in questions(3))
    (result,) = Ask(llm=EchoLLM()).process(rows)  # type: ignore[arg-type]  # lists are the contract; this must not lose rows
    assert [row["answer"] for row in result] == ["0", "1", "2"]


@pytest.mark.parametrize("rows", [{"question": "q"}, "question"], ids=["one row", "a text"])
def test_one_row_in_place_of_a_list_is_refused_with_the_remedy(rows: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"write `\[row\]`"):
        next(Ask(llm=EchoLLM()).process(rows))


def test_a_row_that_is_no_dict_fails_as_data() -> None:
    rows: list[Any] = ["question", {"question": "q"}]
    assert processed(Ask(llm=EchoLLM()), rows) == [
        {
            "answer": None,
            METADATA: {
                "raw_output_ask": None,
                "error_ask": {
                    "type": "RowError",
                    "message": "A row must be a dict of columns, not str.",
                    "attempts": 0,
                },
            },
            "model_name": "echo",
        },
        answered("q", "q", model="echo"),
    ]


# What reaches the backend


def test_a_request_holds_the_chat_the_parameters_and_the_schema() -> None:
    class Verdict(BaseModel):
        answer: str

    class Structured(Ask):
        output_schema = Verdict

    llm = ScriptedLLM(script=['{"answer": "x"}'], generation_kwargs={"temperature": 0.5})
    processed(Structured(llm=llm), [{"question": "q"}])
    assert llm.requests == [
        GenerationRequest(
            messages=[{"role": "user", "content": "q"}],
            num_generations=1,
            parameters={"temperature": 0.5},
            output_schema=Verdict.model_json_schema(),
        )
    ]


def test_a_backend_without_native_n_is_asked_once_a_generation() -> None:
    llm = ScriptedLLM(script=["a", "b", "c"], max_concurrency=1)
    processed(Ask(llm=llm, num_generations=3), [{"question": "q"}])
    assert [request.num_generations for request in llm.requests] == [1, 1, 1]


def test_a_backend_with_native_n_is_asked_once_a_row() -> None:
    class Native(ScriptedLLM):
        capabilities = Capabilities(native_n=True)

    llm = Native(script=lambda request: response(*"abc"))
    rows = processed(Ask(llm=llm, num_generations=3), questions(2))
    assert [request.num_generations for request in llm.requests] == [3, 3]
    assert [row["answer"] for row in rows] == ["a", "b", "c", "a", "b", "c"]


def test_answers_missing_from_a_response_are_asked_for_again_and_come_in_sample_order() -> None:
    class Native(ScriptedLLM):
        capabilities = Capabilities(native_n=True)

    llm = Native(script=[response("a", "b"), response(), response("c"), response("d", "one too many")])
    (row,) = processed(Ask(llm=llm, num_generations=4, group_generations=True), [{"question": "q"}])
    assert [request.num_generations for request in llm.requests] == [4, 2, 2, 1]
    assert row["answer"] == ["a", "b", "c", "d"]


# Structured answers


class Verdict(BaseModel):
    verdict: str


class Structured(Ask):
    """A task with a schema on it."""

    output_schema = Verdict

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": Verdict.model_validate_json(output or "").verdict}


def test_format_output_gets_the_json_alone_and_the_raw_output_is_all_that_was_said() -> None:
    said = '<think>hm {"verdict": 1}</think>Here:\n```json\n{"verdict": "good"}\n```'
    (row,) = processed(Structured(llm=ScriptedLLM(script=[said])), [{"question": "q"}])
    assert row == {
        "question": "q",
        "answer": "good",
        METADATA: {"raw_output_structured": said},
        "model_name": "scripted",
    }


def test_a_schema_may_depend_on_the_row() -> None:
    class ByRow(Ask):
        def schema_for(self, input: Row) -> dict[str, Any] | None:
            return {"const": input["question"]} if input["question"] else None

    rows = processed(ByRow(llm=ScriptedLLM(script=lambda request: '"yes"')), [{"question": "yes"}, {"question": "no"}])
    assert [row["answer"] for row in rows] == ['"yes"', None]
    assert rows[1][METADATA]["error_by-row"]["type"] == "SchemaError"


def test_a_plain_json_schema_works_as_well() -> None:
    class Plain(Ask):
        output_schema = {"type": "array", "items": {"type": "integer"}}  # noqa: RUF012 - as an author writes it

    rows = processed(
        Plain(llm=ScriptedLLM(script=["[1, 2]", "[1, true]"], max_concurrency=1)),
        [{"question": "a"}, {"question": "b"}],
    )
    assert [row["answer"] for row in rows] == ["[1, 2]", None]


def test_a_schema_that_is_none_is_an_error_before_any_call() -> None:
    class Wrong(Ask):
        output_schema = {"type": "objct"}  # noqa: RUF012 - as an author writes it

    llm = ScriptedLLM(script=[])
    with pytest.raises(ConfigurationError, match="`output_schema` is not a valid JSON Schema: at type"):
        next(Wrong(llm=llm).process([{"question": "q"}]))
    assert llm.requests == []


# Loading


class Loaded:
    """Counts how often it is loaded and closed."""

    model_name = "loaded"

    def __init__(self) -> None:
        self.events: list[str] = []
        self._closed = threading.Event()

    def load(self) -> None:
        self.events.append("load")

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        self.events.append(prompt_of(request))
        return response("x")

    async def aclose(self) -> None:
        self.events.append("close")
        self._closed.set()

    def is_closed(self) -> bool:
        """Whether it is closed once nobody holds it; the engine's thread may be about to let go of it."""
        attempts = 0
        while not self._closed.wait(PATIENCE / 1000) and attempts < 1000:
            gc.collect()
            attempts += 1
        return self._closed.is_set()


def test_process_without_load_loads_once() -> None:
    llm = Loaded()
    task = Ask(llm=llm)
    processed(task, [{"question": "a"}])
    processed(task, [{"question": "b"}])
    assert llm.events == ["load", "a", "b"]


def test_load_twice_loads_once() -> None:
    llm = Loaded()
    task = Ask(llm=llm)
    task.load()
    task.load()
    assert llm.events == ["load"]


def test_a_backend_that_cannot_be_loaded_fails_before_any_row_is_read() -> None:
    class Unready(Loaded):
        def load(self) -> None:
            raise ConfigurationError("no key")

    rows = iter(questions(3))
    with pytest.raises(ConfigurationError, match="no key"):
        Ask(llm=Unready()).run(rows)
    assert len(list(rows)) == 3


def test_unloading_the_last_task_closes_the_backend() -> None:
    llm = Loaded()
    first, second = Ask(llm=llm), Ask(llm=llm)
    processed(first, [{"question": "a"}])
    processed(second, [{"question": "b"}])
    first.unload()
    gc.collect()
    assert llm.events == ["load", "a", "load", "b"]
    second.unload()
    assert llm.is_closed()


def test_a_task_can_be_used_again_after_it_was_unloaded() -> None:
    llm = Loaded()
    task = Ask(llm=llm)
    processed(task, [{"question": "a"}])
    task.unload()
    assert llm.is_closed()
    processed(task, [{"question": "b"}])
    assert llm.events == ["load", "a", "close", "load", "b"]


def test_a_task_that_is_given_another_llm_asks_that_one() -> None:
    task = Ask(llm=EchoLLM())
    processed(task, [{"question": "q"}])
    task.llm = ScriptedLLM(script=["from the other one"])
    assert processed(task, [{"question": "q"}]) == [answered("q", "from the other one", model="scripted")]


# Names and configuration


def test_a_tasks_default_name_is_its_class_name_in_kebab_case() -> None:
    class HTTPJudgeV2(Ask):
        pass

    assert (Ask(llm=EchoLLM()).name, TextGeneration(llm=EchoLLM()).name, HTTPJudgeV2(llm=EchoLLM()).name) == (
        "ask",
        "text-generation",
        "http-judge-v2",
    )


def test_a_tasks_default_name_is_its_registered_name_where_it_has_one() -> None:
    with registry() as names:
        names.register("task", "the-asker", Ask)
        task = Ask(llm=EchoLLM())
        assert task.name == "the-asker"
        assert processed(task, [{"question": "q"}])[0][METADATA] == {"raw_output_the-asker": "q"}


def test_a_name_that_is_given_is_the_name() -> None:
    assert Ask(llm=EchoLLM(), name="mine").name == "mine"


def test_an_unknown_field_is_refused_with_what_is_near_and_what_there_is() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Ask(llm=EchoLLM(), num_generation=3)  # type: ignore[call-arg]
    for part in ("`Ask` has no field 'num_generation'", "Did you mean `num_generations`", "on_error"):
        assert part in str(caught.value)


@pytest.mark.parametrize("fields", [{"num_generations": 0}, {"on_error": "ignore"}, {}])
def test_a_value_that_does_not_fit_its_field_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        Ask(**{"llm": EchoLLM(), **fields} if fields else {})


def test_a_tasks_configuration_survives_the_round_trip_through_json() -> None:
    with registry() as names:
        names.register("llm", "my-echo", EchoLLM)
        task = Ask(
            llm=EchoLLM(model="m", generation_kwargs={"temperature": 1}),
            num_generations=2,
            group_generations=True,
            on_error="drop",
            input_mappings={"question": "prompt"},
            add_statistics=True,
        )
        again = Ask.model_validate_json(task.model_dump_json())
    assert again.model_dump() == task.model_dump()
    assert again.llm == task.llm
    assert isinstance(again.llm, EchoLLM)


@pytest.mark.parametrize("columns", [["a"], ("a",), {"a": True}, {"a"}])
def test_a_list_of_columns_in_the_class_body_is_answered_with_the_property_to_write(columns: Any) -> None:
    with pytest.raises(PluginContractError, match=r"`inputs = .*` must be a property: `@property` above"):
        type("Listed", (Ask,), {"inputs": columns, "__module__": "acme"})


def test_inputs_without_the_property_decorator_are_told_so() -> None:
    class Forgot(Ask):
        def inputs(self) -> list[str]:  # type: ignore[override]  # the mistake
            return ["question"]

    with pytest.raises(PluginContractError, match=r"Forgot`: `inputs` must be .* put `@property` above it"):
        Forgot(llm=EchoLLM())


def test_one_columns_name_in_place_of_a_list_is_refused() -> None:
    class Bare(Ask):
        @property
        def outputs(self) -> Any:
            return "answer"

    with pytest.raises(PluginContractError, match=r"`outputs` must be .* and is 'answer'"):
        Bare(llm=EchoLLM())


def test_a_task_without_format_output_cannot_be_made() -> None:
    class Half(Task):
        def format_input(self, input: Row) -> ChatType:
            return []

    with pytest.raises(TypeError, match="format_output"):
        Half(llm=EchoLLM())


def test_a_field_of_ones_own_is_configuration_like_any_other() -> None:
    class Shout(Ask):
        marks: int = 1

        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": f"{output}{'!' * self.marks}"}

    assert processed(Shout(llm=EchoLLM(), marks=3), [{"question": "q"}])[0]["answer"] == "q!!!"


# Tasks that need no rows


class Invent(GeneratorTask):
    """Makes topics out of nothing."""

    @property
    def outputs(self) -> Sequence[str]:
        return ["topic"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": "A topic, please."}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"topic": output}


def test_a_generator_task_asks_once_for_each_seed() -> None:
    llm = ScriptedLLM(script=["bread", "salt"], max_concurrency=1)
    assert list(Invent(llm=llm, num_rows=2).process()) == [
        [
            {"topic": "bread", METADATA: {"raw_output_invent": "bread"}, "model_name": "scripted"},
            {"topic": "salt", METADATA: {"raw_output_invent": "salt"}, "model_name": "scripted"},
        ]
    ]


def test_a_generator_task_makes_its_own_seeds() -> None:
    class Seeded(Invent):
        def seeds(self) -> list[Row]:
            return [{"field": "food"}, {"field": "art"}]

        def format_input(self, input: Row) -> ChatType:
            return [{"role": "user", "content": input["field"]}]

    (rows,) = Seeded(llm=EchoLLM(model=new_model())).process()
    assert [(row["field"], row["topic"]) for row in rows] == [("food", "food"), ("art", "art")]


def test_what_a_task_changes_in_its_input_changes_nobody_elses_row() -> None:
    class Chat(Ask):
        def format_input(self, input: Row) -> ChatType:
            messages: ChatType = input["question"]
            messages.append({"role": "user", "content": "Go on."})
            return messages

        def format_output(self, output: str | None, input: Row) -> Row:
            input["question"].append("answered")
            return {"answer": output}

    rows: list[Row] = [{"question": [{"role": "user", "content": "Why?"}]}]
    (row,) = next(Chat(llm=EchoLLM()).process(rows))
    assert rows[0]["question"] == row["question"] == [{"role": "user", "content": "Why?"}]
