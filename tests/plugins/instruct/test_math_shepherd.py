"""Solutions in steps: written, labelled, and formatted for reward models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import OutputError
from limbeck.testing import ScriptedLLM
from limbeck_instruct import FormatPRM, MathShepherdCompleter, MathShepherdGenerator
from limbeck_instruct.math_steps import same_answer, steps_in

if TYPE_CHECKING:
    from limbeck import Step

ONE, TWO, THREE = "Step 1: a = 1.", "Step 2: b = 2.", "Step 3: c = 3."


def row_of(step: Step, /, **row: Any) -> dict[str, Any]:
    (done,) = next(step.process([row]))
    return done


@pytest.mark.parametrize(
    "text",
    [
        f"{ONE}\n{TWO}\nThe answer is: 18",
        f"Let us see.\n\n**{ONE}\n{TWO} The answer is: 18".replace("**", ""),
        f"<think>Step 1: hm</think>{ONE} {TWO}\n\nThe answer is: 18\nI hope that helps.",
    ],
)
def test_steps_are_told_apart_and_the_answer_is_the_last(text: str) -> None:
    assert steps_in(text) == [ONE, TWO, "The answer is: 18"]


@pytest.mark.parametrize(
    "text", [None, "", "The answer is: 18", ONE, f"{ONE} The answer is:", f"The answer is: 18 {ONE}", "18"]
)
def test_what_is_no_solution_in_steps_cannot_be_read(text: str | None) -> None:
    with pytest.raises(OutputError):
        steps_in(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("18", "18."), ("18", "$18.00"), ("18", "36/2"), ("1,800", "1800"), ("0.5", "1/2"), ("-3", "-3.0")),
        *((r"$\boxed{245}$", "245"), ("Blue", "blue."), ("x + 1", "x + 1"), ("18\nor so", "18")),
    ],
)
def test_equal_answers_are_told_in_whatever_form(one: str, other: str) -> None:
    assert same_answer(f"The answer is: {one}", f"The answer is: {other}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("18", "19"),
        ("18", "eighteen"),
        ("1/0", "0"),
        ("3.14", "3.1"),
        ("2", "-2"),
        ("", "0"),
        ("1e3", "1000"),
        ("__import__", "1"),
    ],
)
def test_other_answers_are_other_answers(one: str, other: str) -> None:
    assert not same_answer(f"The answer is: {one}", f"The answer is: {other}")


def test_solutions_that_cannot_be_read_are_left_out() -> None:
    llm = ScriptedLLM(script=[f"{ONE} The answer is: 1", "I do not know.", f"{TWO} The answer is: 2"])
    assert row_of(MathShepherdGenerator(llm=llm, M=3), instruction="?")["solutions"] == [
        [ONE, "The answer is: 1"],
        [TWO, "The answer is: 2"],
    ]


def test_a_problem_without_any_readable_solution_fails() -> None:
    row = row_of(MathShepherdGenerator(llm=ScriptedLLM(script=["No.", "No."]), M=2), instruction="?")
    assert row["solutions"] is None
    assert row["distilabel_metadata"]["error_math-shepherd-generator"]["type"] == "OutputError"


def test_the_system_prompt_has_its_rules_and_examples_or_is_left_out() -> None:
    llm = ScriptedLLM(script=[f"{ONE} The answer is: 1"] * 2)
    row_of(MathShepherdGenerator(llm=llm, system_prompt="Solve.", extra_rules=None, few_shots="One."), instruction="?")
    row_of(MathShepherdGenerator(llm=llm, system_prompt=None), instruction="?")
    assert llm.requests[0].messages[0] == {"role": "system", "content": "Solve.\n\nOne."}
    assert [message["role"] for message in llm.requests[1].messages] == ["user"]


SOLUTION = [ONE, TWO, THREE, "The answer is: 18"]


def completed(answers: list[str], **fields: Any) -> dict[str, Any]:
    task = MathShepherdCompleter(llm=ScriptedLLM(script=answers), **fields)
    return row_of(task, instruction="?", solutions=[SOLUTION], golden_solution=[ONE, "The answer is: 18.0"])


def test_a_step_is_good_if_one_of_its_completions_reaches_the_golden_answer() -> None:
    answers = [f"{TWO} The answer is: {number}" for number in (17, 18, 16, 15)]
    assert completed(answers, N=2)["labelled_solutions"] == [[f"{ONE} +", f"{TWO} -", f"{THREE} The answer is: 18 +"]]


def test_a_completion_that_cannot_be_read_reaches_nothing() -> None:
    answers = ["No.", f"{TWO} The answer is: 18", "No.", f"{TWO} The answer is: 1"]
    assert completed(answers, N=2)["labelled_solutions"] == [[f"{ONE} +", f"{TWO} -", f"{THREE} The answer is: 18 +"]]


def test_a_step_without_any_readable_completion_fails_its_row() -> None:
    assert completed(["No.", f"{TWO} The answer is: 18"])["labelled_solutions"] is None


def test_each_completion_sees_the_steps_before_it() -> None:
    llm = ScriptedLLM(script=[f"{TWO} The answer is: 18"] * 2)
    row_of(MathShepherdCompleter(llm=llm), instruction="?", solutions=[SOLUTION], golden_solution=SOLUTION)
    ends = [str(request.messages[-1]["content"]).partition("steps:\n")[2] for request in llm.requests]
    assert ends == [ONE, f"{ONE}\n{TWO}"]


def test_a_solution_of_one_step_needs_no_completion() -> None:
    llm = ScriptedLLM(script=[])
    row = row_of(
        MathShepherdCompleter(llm=llm),
        instruction="?",
        solutions=json.dumps([[ONE, "The answer is: 3"]]),
        golden_solution=json.dumps(SOLUTION),
    )
    assert row["labelled_solutions"] == [[f"{ONE} The answer is: 3 -"]]


@pytest.mark.parametrize("solutions", [None, "x", [[]], [["only one"]], [[1, 2]], [None], "[1]", 3])
def test_solutions_that_are_none_fail_their_row(solutions: Any) -> None:
    task = MathShepherdCompleter(llm=ScriptedLLM(script=[]))
    row = row_of(task, instruction="?", solutions=solutions, golden_solution=SOLUTION)
    assert row["labelled_solutions"] is None
    assert row["distilabel_metadata"]["error_math-shepherd-completer"]["type"] == "RowError"


TAGGED = [f"{ONE} +", f"{TWO} The answer is: 18 -"]


def test_a_labelled_solution_is_written_for_a_reward_model() -> None:
    row = row_of(FormatPRM(), instruction="Why?", solutions=TAGGED)
    assert row["input"] == f"Why? {ONE} ки\n{TWO} The answer is: 18 ки"
    assert row["label"] == f"Why? {ONE} +\n{TWO} The answer is: 18 -"


def test_a_labelled_solution_is_written_for_trl_with_tags_of_any_length() -> None:
    step = FormatPRM(format="trl", tags=["good", "bad"])
    row = row_of(step, instruction="Why?", solutions=[f"{ONE} good", f"{TWO} bad"])
    assert (row["prompt"], row["completions"], row["labels"]) == ("Why?", [ONE, TWO], [True, False])


@pytest.mark.parametrize("solutions", [[ONE], [], [TAGGED], f"{ONE} +", None])
def test_steps_without_tags_are_refused(solutions: Any) -> None:
    with pytest.raises(ValueError, match="`solutions`"):
        row_of(FormatPRM(), instruction="Why?", solutions=solutions)
