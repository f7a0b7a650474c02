"""A conversation's own example: its answers in order, for the stand-in and the contract. Covers `_task.examples`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Task, ask, do
from limbeck.testing import TaskContract
from limbeck.types import Example

if TYPE_CHECKING:
    import random
    from collections.abc import Generator, Sequence

    from limbeck.types import Row

SCHEMA = {"type": "object", "properties": {"better": {"type": "string"}}, "required": ["better"]}


class Refine(Task):
    """Asks for a draft, for two notes side by side, and for something better as JSON."""

    @property
    def inputs(self) -> list[str]:
        return ["instruction"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def converse(self, input: Row, rng: random.Random) -> Generator[Any, Any, Row]:
        draft = yield ask(f"{rng.random()} {input['instruction']}")
        notes = yield [ask(f"{which} note: {draft.text}") for which in ("first", "second")]
        better = yield ask("Mend it: " + " / ".join(note.text for note in notes), schema=SCHEMA)
        return {"answer": better.parsed["better"]}

    def examples(self) -> Sequence[Example]:
        answers = ["A draft.", "Too short.", "Too dull.", json.dumps({"better": "A long and lively one."})]
        return [Example({"instruction": "Write."}, answers, {"answer": "A long and lively one."})]


class TestTheContractOfAConversation(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return Refine(llm=llm, **fields)


def test_the_stand_in_answers_a_conversations_example_turn_by_turn() -> None:
    (example,) = Refine(llm="offline").examples()
    (row,) = next(Refine(llm="offline").process([example.row]))
    assert row["answer"] == "A long and lively one."
    assert row["distilabel_metadata"]["raw_output_refine"] == example.raw_output


class Shorten(Refine):
    """Does something before it asks for the last time."""

    def converse(self, input: Row, rng: random.Random) -> Generator[Any, Any, Row]:
        draft = yield ask(input["instruction"])
        words = yield do(len, draft.text)
        shorter = yield ask(f"Shorten the {words} letters.")
        return {"answer": shorter.text}

    def examples(self) -> Sequence[Example]:
        return [Example({"instruction": "Write."}, ["A draft.", "A."], {"answer": "A."})]


def test_no_effect_is_done_for_an_example() -> None:
    (row,) = next(Shorten(llm="offline").process([{"instruction": "Write."}]))
    assert row["distilabel_metadata"]["raw_output_shorten"][0] == "A draft."
    assert row["answer"].startswith("[offline stand-in: no model was asked]")


class Brief(Refine):
    """Has fewer answers in its example than turns."""

    def examples(self) -> Sequence[Example]:
        return [Example({"instruction": "Write."}, "A draft.", {})]


def test_an_example_with_too_few_answers_is_known_as_far_as_it_goes() -> None:
    (row,) = next(Brief(llm="offline").process([{"instruction": "Write."}]))
    assert row["distilabel_metadata"]["raw_output_brief"][0] == "A draft."


@pytest.mark.parametrize("task", [Refine, Shorten, Brief])
def test_an_example_is_told_by_its_own_row_alone(task: type[Task]) -> None:
    (row,) = next(task(llm="offline").process([{"instruction": "Other."}]))
    assert row["distilabel_metadata"][f"raw_output_{task.__name__.lower()}"][0].startswith("[offline stand-in")
