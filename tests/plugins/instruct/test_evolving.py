"""Instructions and responses that evolve: what is asked round by round, and what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck.types import Generation
from limbeck_instruct import EvolComplexity, EvolComplexityGenerator, EvolInstruct, EvolInstructGenerator, EvolQuality
from limbeck_instruct.evolving import rewritten
from limbeck_instruct.places import filled

if TYPE_CHECKING:
    from limbeck import Task

MARKED = {"A": "A <PROMPT>", "B": "B <PROMPT>", "C": "C <PROMPT>"}


def prompts_of(llm: ScriptedLLM) -> list[str]:
    return [str(request.messages[-1]["content"]) for request in llm.requests]


def row_of(task: Task, /, **row: Any) -> dict[str, Any]:
    (done,) = next(task.process([row]))
    return done


def error_of(task: Task, **row: Any) -> dict[str, Any]:
    done = row_of(task, **row)
    assert [done[column] for column in task.outputs if column != "model_name"] == [None] * (len(task.outputs) - 1)
    error: dict[str, Any] = done["distilabel_metadata"][f"error_{task.name}"]
    return error


def test_each_round_evolves_what_the_round_before_gave() -> None:
    llm = ScriptedLLM(script=["one", "two", "three"])
    task = EvolInstruct(llm=llm, num_evolutions=3, mutation_templates={"A": "Harder: <PROMPT>"})
    assert row_of(task, instruction="zero")["evolved_instruction"] == "three"
    assert prompts_of(llm) == ["Harder: zero", "Harder: one", "Harder: two"]


def test_all_rounds_and_the_original_are_kept_where_that_is_asked_for() -> None:
    fields: dict[str, Any] = {"store_evolutions": True, "num_evolutions": 2}
    with_original = EvolInstruct(llm=ScriptedLLM(script=["1", "2"]), include_original_instruction=True, **fields)
    without = EvolInstruct(llm=ScriptedLLM(script=["1", "2"]), **fields)
    assert row_of(with_original, instruction="0")["evolved_instructions"] == ["0", "1", "2"]
    assert row_of(without, instruction="0")["evolved_instructions"] == ["1", "2"]


def test_each_kept_instruction_has_its_own_answer() -> None:
    llm = ScriptedLLM(script=lambda request: f"<{request.messages[-1]['content']}>")
    task = EvolInstruct(
        llm=llm, num_evolutions=2, generate_answers=True, store_evolutions=True, mutation_templates={"A": "+<PROMPT>"}
    )
    row = row_of(task, instruction="x")
    assert row["answers"] == [f"<{instruction}>" for instruction in row["evolved_instructions"]]


def test_the_seed_says_which_mutations_are_drawn() -> None:
    def drawn(seed: int) -> list[str]:
        llm = ScriptedLLM(script=lambda request: "x")
        rows = [{"instruction": "x"}] * 6
        list(EvolInstruct(llm=llm, num_evolutions=4, mutation_templates=MARKED, seed=seed).process(rows))
        return sorted(prompts_of(llm))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_complexity_never_changes_the_subject() -> None:
    assert set(EvolComplexity(llm="offline", num_evolutions=1).mutation_templates) == {
        *("CONSTRAINTS", "DEEPENING", "CONCRETIZING", "INCREASED_REASONING_STEPS"),
    }
    names = set(EvolComplexityGenerator(llm="offline", num_instructions=1).mutation_templates)
    assert "SWITCH_TOPIC" not in names


@pytest.mark.parametrize("answer", ["", "  \n", None, "<think>hm</think>", "<think>without end", "New instruction:"])
def test_an_answer_without_an_instruction_fails_its_row(answer: str | None) -> None:
    task = EvolInstruct(llm=ScriptedLLM(script=[answer]), num_evolutions=2)
    assert error_of(task, instruction="x")["type"] == "OutputError"


def test_an_instruction_that_was_cut_off_fails_its_row() -> None:
    task = EvolInstruct(llm=ScriptedLLM(script=[Generation(text="Name", finish_reason="length")]), num_evolutions=1)
    assert "cut off" in error_of(task, instruction="x")["message"]


@pytest.mark.parametrize(
    "answer",
    [
        "Name two.",
        "New instruction: Name two.",
        "**Rewritten prompt:** Name two.",
        "#Rewritten Prompt#:\nName two.",
        "#Given Prompt#:\nName one.\n#Created Prompt#:\nName two.",
        "<think>New prompt: no</think>\n\nName two.",
    ],
)
def test_a_label_before_the_instruction_is_left_out(answer: str) -> None:
    assert rewritten(Generation(text=answer)) == "Name two."


def test_an_instruction_that_speaks_of_labels_stays_whole() -> None:
    text = "Write a new prompt: one that is short.\nNew question: is it short?\nGiven prompt: no."
    assert rewritten(Generation(text=text)) == text


def test_a_row_without_text_fails_before_anything_is_asked() -> None:
    llm = ScriptedLLM(script=[])
    assert error_of(EvolInstruct(llm=llm, num_evolutions=1), instruction=None)["type"] == "RowError"
    assert error_of(EvolQuality(llm=llm, num_evolutions=1), instruction="x", response=3)["type"] == "RowError"
    assert llm.requests == []


def test_places_are_filled_at_once() -> None:
    assert filled("<PROMPT>|<RESPONSE>|<OTHER>", PROMPT="<RESPONSE>", RESPONSE="r") == "<RESPONSE>|r|<OTHER>"


@pytest.mark.parametrize("templates", [{}, {"A": "Harder!"}])
def test_templates_without_a_place_for_the_instruction_are_refused(templates: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="mutation_templates"):
        EvolInstruct(llm="offline", num_evolutions=1, mutation_templates=templates)
    with pytest.raises(ConfigurationError, match="mutation_templates"):
        EvolQuality(llm="offline", num_evolutions=1, mutation_templates={"A": "<PROMPT>"})


def test_a_response_evolves_as_a_whole_beside_its_instruction() -> None:
    llm = ScriptedLLM(script=["The Ebro, in Spain.", "The Ebro, in Spain, is long."])
    task = EvolQuality(llm=llm, num_evolutions=2, mutation_templates={"A": "<PROMPT> / <RESPONSE>"})
    row = row_of(task, instruction="Name a river.", response="The Ebro.")
    assert prompts_of(llm) == ["Name a river. / The Ebro.", "Name a river. / The Ebro, in Spain."]
    assert row["evolved_response"] == "The Ebro, in Spain, is long."


def test_the_original_response_stands_first_where_that_is_asked_for() -> None:
    llm = ScriptedLLM(script=["1"])
    task = EvolQuality(llm=llm, num_evolutions=1, store_evolutions=True, include_original_response=True)
    assert row_of(task, instruction="x", response="0")["evolved_responses"] == ["0", "1"]


TEMPLATES = {"FRESH_START": "begin <PROMPT>", "MORE": "more <PROMPT>"}


def generator(*answers: str, **fields: Any) -> EvolInstructGenerator:
    given = {"num_instructions": 1, "mutation_templates": TEMPLATES, "min_length": 5, "max_length": 9, **fields}
    return EvolInstructGenerator(llm=ScriptedLLM(script=list(answers)), **given)


def test_a_generator_gives_as_many_rows_as_instructions_are_asked_for() -> None:
    rows = next(generator("12345", "1234567", "123456789", num_instructions=3).process())
    assert sorted(row["instruction"] for row in rows) == ["12345", "1234567", "123456789"]


def test_what_is_too_short_evolves_and_what_is_too_long_begins_anew() -> None:
    task = generator("far too long", "1234567")
    next(task.process())
    assert [prompt.partition(" ")[0] for prompt in prompts_of(task.llm)] == ["begin", "begin"]
    short = generator("abc", "1234567", mutation_templates={**TEMPLATES, "FRESH_START": "more <PROMPT>"}, seed=3)
    (row,) = next(short.process())
    assert row["instruction"] == "1234567"


def test_a_generator_that_finds_no_fitting_length_ends() -> None:
    task = generator(*["abc"] * 4, max_evolutions=4)
    (row,) = next(task.process())
    assert row["instruction"] is None
    assert "5 to 9 characters in 4 calls" in row["distilabel_metadata"][f"error_{task.name}"]["message"]


def test_nouns_differ_from_row_to_row_and_are_the_same_in_every_run() -> None:
    def begun() -> list[str]:
        task = generator(*["12345"] * 9, num_instructions=9)
        list(task.process())
        return sorted(prompts_of(task.llm))

    assert begun() == begun()
    assert len(set(begun())) == 9


@pytest.mark.parametrize(
    "fields", [{"min_length": 9, "max_length": 5}, {"mutation_templates": {"A": "<PROMPT>"}}, {"num_rows": 2}]
)
def test_a_generator_that_cannot_begin_or_end_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        generator(**fields)
