"""TextGeneration: rows in, rows out, and what it refuses to be built with."""

import pickle
from typing import Any

import pytest

from limbeck import Task, get_task
from limbeck.errors import ConfigurationError, MissingColumnError, RowFailedError
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.types import ChatType, Row
from limbeck_tasks import TextGeneration

QUESTION = "What's the capital of Spain?"
ANSWER = "The capital of Spain is Madrid."


def run(task: Task, *rows: Row) -> list[Row]:
    return next(task.process(list(rows)))


def prompts_for(row: Row, **fields: Any) -> ChatType:
    return TextGeneration(llm="offline", **fields).format_input(row)


def error_of(row: Row) -> Any:
    return row["distilabel_metadata"]["error_text-generation"]


# What comes of a row


def test_one_row_gives_exactly_the_row_of_the_contract() -> None:
    task = get_task("text-generation")(llm=ScriptedLLM(script=[ANSWER], model="meta-llama/Llama"))
    (row,) = run(task, {"instruction": QUESTION})
    assert list(row.items()) == [
        ("instruction", QUESTION),
        ("generation", ANSWER),
        ("distilabel_metadata", {"raw_output_text-generation": ANSWER}),
        ("model_name", "meta-llama/Llama"),
    ]


def test_three_generations_are_three_rows_in_sample_order() -> None:
    task = TextGeneration(llm=ScriptedLLM(script=["a", "b", "c"], model="m", max_concurrency=1), num_generations=3)
    assert run(task, {"instruction": QUESTION}) == [
        {
            "instruction": QUESTION,
            "generation": answer,
            "distilabel_metadata": {"raw_output_text-generation": answer},
            "model_name": "m",
        }
        for answer in "abc"
    ]


def test_three_grouped_generations_are_one_row_of_lists() -> None:
    task = TextGeneration(
        llm=ScriptedLLM(script=["a", "b", "c"], model="m", max_concurrency=1), num_generations=3, group_generations=True
    )
    assert run(task, {"instruction": QUESTION}) == [
        {
            "instruction": QUESTION,
            "generation": ["a", "b", "c"],
            "distilabel_metadata": [{"raw_output_text-generation": answer} for answer in "abc"],
            "model_name": "m",
        }
    ]


@pytest.mark.parametrize("answer", ["", None, "  \n", "数 \U0001f600 \ud83d"])
def test_the_answer_is_kept_as_it_came(answer: str | None) -> None:
    (row,) = run(TextGeneration(llm=ScriptedLLM(script=[answer])), {"instruction": QUESTION})
    assert row["generation"] == answer
    assert row["distilabel_metadata"] == {"raw_output_text-generation": answer}


def test_rows_come_out_in_the_order_they_went_in() -> None:
    rows = [{"instruction": str(number)} for number in range(200)]
    task = TextGeneration(llm=EchoLLM(), template="{{ instruction }}!")
    assert [row["generation"] for row in run(task, *rows)] == [f"{number}!" for number in range(200)]
    assert [row["generation"] for row in task.run(iter(rows))] == [f"{number}!" for number in range(200)]


def test_a_prompt_of_ten_megabytes_goes_there_and_back() -> None:
    text = "é" * 10_000_000
    (row,) = run(TextGeneration(llm=EchoLLM()), {"instruction": text})
    assert row["generation"] == text


def test_a_lone_surrogate_goes_there_and_back() -> None:
    (row,) = run(TextGeneration(llm=EchoLLM()), {"instruction": "half \ud83d"})
    assert row["generation"] == "half \ud83d"


# The chat


def test_the_template_makes_the_only_message() -> None:
    assert prompts_for({"instruction": QUESTION}) == [{"role": "user", "content": QUESTION}]


def test_the_attributes_system_prompt_comes_first() -> None:
    assert prompts_for({"instruction": "x"}, system_prompt="Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "x"},
    ]


def test_a_rows_own_system_prompt_wins_over_the_attribute() -> None:
    chat = prompts_for({"instruction": "x", "system_prompt": "Be long."}, system_prompt="Be brief.")
    assert chat[0] == {"role": "system", "content": "Be long."}


@pytest.mark.parametrize("empty", ["", None])
def test_a_rows_empty_system_prompt_leaves_the_attribute(empty: str | None) -> None:
    chat = prompts_for({"instruction": "x", "system_prompt": empty}, system_prompt="Be brief.")
    assert chat[0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("empty", ["", None])
def test_without_a_system_prompt_there_is_no_system_message(empty: str | None) -> None:
    assert prompts_for({"instruction": "x", "system_prompt": empty}, system_prompt=empty) == [
        {"role": "user", "content": "x"}
    ]


def test_a_system_prompt_that_is_not_text_fails_its_row() -> None:
    (row,) = run(TextGeneration(llm=EchoLLM()), {"instruction": "x", "system_prompt": 3.5})
    assert "The column `system_prompt` must hold text, not float." in error_of(row)["message"]


def test_the_system_prompt_may_be_a_column_of_the_template_too() -> None:
    task = TextGeneration(llm="offline", template="{{ system_prompt }}: {{ q }}")
    assert task.inputs == {"system_prompt": True, "q": True}


def test_input_mappings_name_the_column_that_is_the_instruction() -> None:
    task = TextGeneration(llm=EchoLLM(), input_mappings={"instruction": "my question"})
    (row,) = run(task, {"my question": QUESTION})
    assert row["generation"] == QUESTION


# Rows that fail


def test_a_null_column_fails_its_row_alone() -> None:
    good, bad = run(TextGeneration(llm=EchoLLM()), {"instruction": "x"}, {"instruction": None})
    assert good["generation"] == "x"
    assert bad["generation"] is None
    assert error_of(bad)["type"] == "RowError"
    assert error_of(bad)["attempts"] == 0
    assert "The column `instruction` is null." in error_of(bad)["message"]


def test_a_row_without_the_column_fails_alone() -> None:
    _, bad = run(TextGeneration(llm=EchoLLM()), {"instruction": "x"}, {"other": "y"})
    assert "lacks the column `instruction`" in error_of(bad)["message"]


def test_rows_that_all_lack_a_column_stop_before_any_call() -> None:
    llm = ScriptedLLM(script=[])
    with pytest.raises(MissingColumnError, match="`context`"):
        run(TextGeneration(llm=llm, template="{{ instruction }} {{ context }}"), {"instruction": "x"})
    assert llm.requests == []


def test_a_template_that_fails_on_a_row_says_what_and_raises_when_asked_to() -> None:
    task = TextGeneration(llm=EchoLLM(), template="{{ user.name }}", on_error="raise")
    with pytest.raises(RowFailedError, match="has no attribute 'name'"):
        run(task, {"user": {}})


# Columns and template


def test_columns_left_out_are_the_templates_variables() -> None:
    task = TextGeneration(llm="offline", template="{{ b | upper }} {{ a }}")
    assert task.columns == ["b", "a"]
    assert task.inputs == {"system_prompt": False, "b": True, "a": True}


def test_columns_may_be_one_name() -> None:
    assert TextGeneration(llm="offline", template="{{ q | upper }}", columns="q").inputs["q"] is True


def test_a_variable_that_is_no_column_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError) as caught:
        TextGeneration(llm="offline", template="{{ instruction }} {{ contxt }}", columns=["instruction", "context"])
    assert str(caught.value) == (
        "The template '{{ instruction }} {{ contxt }}' uses `contxt`, not among the `columns` of `TextGeneration`, "
        "which are `instruction`, `context`. Did you mean `context`? "
        "Set `columns=['instruction', 'context', 'contxt']`, or leave `columns` out to take the template's variables."
    )


def test_columns_without_a_template_are_told_to_bring_one() -> None:
    with pytest.raises(ConfigurationError, match=r'Give the template too: `template="{{ prompt }}"`'):
        TextGeneration(llm="offline", columns="prompt")


def test_a_column_that_the_template_does_not_use_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"has `context`, which the template .* does not use.*{{ context }}"):
        TextGeneration(llm="offline", template="{{ q }}", columns=["q", "context"])


def test_a_column_that_no_template_can_name_is_pointed_to_input_mappings() -> None:
    with pytest.raises(ConfigurationError, match=r"input_mappings={'text': 'my column'}"):
        TextGeneration(llm="offline", template="{{ q }}", columns=["q", "my column"])


def test_a_template_without_a_column_is_refused_unless_meant() -> None:
    with pytest.raises(ConfigurationError, match="every row would get the same prompt"):
        TextGeneration(llm="offline", template="Answer { instruction }")
    task = TextGeneration(llm=EchoLLM(), template="Write a poem.", columns=[])
    assert [row["generation"] for row in run(task, {}, {})] == ["Write a poem."] * 2


def test_a_syntax_error_is_found_when_the_task_is_built() -> None:
    with pytest.raises(ConfigurationError, match=r"line 2 in '\{% endif %\}'"):
        TextGeneration(llm="offline", template="{{ q }}\n{% endif %}")


def test_a_long_template_is_shortened_in_messages() -> None:
    with pytest.raises(ConfigurationError) as caught:
        TextGeneration(llm="offline", template="x" * 5000 + "{{ q }}", columns="p")
    assert len(str(caught.value)) < 400


# Configuration


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"template": "{{ q | upper }}", "system_prompt": "Be brief.", "num_generations": 3, "group_generations": True},
        {"template": "Write.", "columns": []},
        {"template": "{{ a }}{{ b }}", "columns": ["a", "b"], "name": "other", "input_mappings": {"a": "x"}},
    ],
)
@pytest.mark.parametrize("exclude_unset", [True, False])
def test_the_configuration_survives_a_round_trip(fields: dict[str, Any], exclude_unset: bool) -> None:
    task = TextGeneration(llm="offline", **fields)
    config = task.model_dump(mode="json", exclude_unset=exclude_unset)
    assert TextGeneration.model_validate(config).model_dump() == task.model_dump()


def test_a_task_with_a_template_can_be_pickled() -> None:
    task = TextGeneration(llm=EchoLLM(), template="{{ q | upper }}")
    assert run(pickle.loads(pickle.dumps(task)), {"q": "x"})[0]["generation"] == "X"


def test_a_template_of_several_columns_has_no_example_to_fail_with() -> None:
    task = TextGeneration(llm="offline", template="{{ user.name }}: {{ q }}")
    task.load()
    assert task.examples() == ()
