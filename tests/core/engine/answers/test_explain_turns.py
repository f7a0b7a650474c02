"""Explanations of conversations, and of answers that may be mended.

Covers `_engine.answers.explain`, `_engine.answers.looked_up` and `_task.explaining`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, Task, ask, do
from limbeck.errors import BadRequestError, BudgetError, ConfigurationError, LedgerError, OutputError
from limbeck.testing import ScriptedLLM
from support.refining import LOOKED_UP, Refine, Speaker, questions, refining, stored

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row


def ran(run_dir: Path, **fields: Any) -> Refine:
    task = refining(**fields)
    list(task.run(questions(), run_dir=run_dir))
    LOOKED_UP.clear()
    return task


def test_a_conversation_is_found_when_all_its_turns_are_stored(tmp_path: Path) -> None:
    found = ran(tmp_path).explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert (found.found, found.turn, found.turns, found.differs) == (True, "4", 5, [])
    assert found.parts["messages"] == [{"role": "user", "content": "final own: draft q1 2"}]
    assert "Found: all its 5 turns are stored." in str(found)


def test_nothing_is_asked_or_done_and_the_directory_is_only_read(tmp_path: Path) -> None:
    task = ran(tmp_path)
    task.llm.asked.clear()
    before = stored(tmp_path, "SELECT count(*) FROM calls")
    refining(llm=task.llm, final="changed").explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert (task.llm.asked, LOOKED_UP, stored(tmp_path, "SELECT count(*) FROM calls")) == ([], [], before)


def test_the_first_turn_that_asks_something_else_is_explained_with_what_differs(tmp_path: Path) -> None:
    ran(tmp_path)
    found = refining(final="last").explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert (found.found, found.turn, found.turns, found.stored_row) == (False, "4", 4, "1")
    assert len(found.differs) == 1
    assert "final own" in found.differs[0]
    assert "last own" in found.differs[0]
    assert found.because == ['final: "final" -> "last"']
    assert "Not found: turn 4 asks something else than call" in str(found)


def test_parameters_of_one_of_its_llms_are_told_at_the_turn_that_asks_it(tmp_path: Path) -> None:
    ran(tmp_path)
    warm = refining(critic=Speaker(name="critic", generation_kwargs={"temperature": 0.5}))
    found = warm.explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert (found.turn, found.differs) == ("2.1", ["parameters.temperature: null -> 0.5"])
    assert found.parts["identity"]["model_name"] == "critic"


def test_another_question_is_told_at_the_first_turn(tmp_path: Path) -> None:
    found = ran(tmp_path).explain({"q": "q9"}, run_dir=tmp_path, id=1)
    assert (found.found, found.turn, found.turns) == (False, "1", 0)
    assert "draft q9" in found.differs[0]


def test_a_row_that_was_never_asked_about_is_compared_with_another_rows_first_turn(tmp_path: Path) -> None:
    found = ran(tmp_path).explain({"q": "q9"}, run_dir=tmp_path, id=9)
    assert (found.turn, found.stored_row) == ("1", "2")
    assert "Not found. The nearest is row 2's call" in str(found)


def test_a_row_that_has_moved_is_found(tmp_path: Path) -> None:
    found = ran(tmp_path).explain({"q": "q1"}, run_dir=tmp_path, id=7)
    assert (found.found, found.turns) == (True, 5)


def test_an_effect_with_other_arguments_is_explained_as_what_is_missing(tmp_path: Path) -> None:
    class Otherwise(Refine):
        def converse(self, input: Row) -> Any:
            inner = super().converse(input)
            sent = None
            while True:
                try:
                    part = inner.send(sent)
                except StopIteration as end:
                    return end.value
                if hasattr(part, "function"):
                    part = do(part.function, "something else")
                sent = yield part

    ran(tmp_path)
    task = Otherwise(name="refine", llm=Speaker(), critic=Speaker(name="critic"))
    found = task.explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert (found.found, found.turn, found.call) == (False, "3", None)
    assert found.parts["effect"] == "look_up"
    assert "something else" in found.differs[0]
    assert "turn 3 asks something else than the effect that is stored" in str(found)


def test_a_conversation_that_was_stopped_is_explained_at_its_next_turn(tmp_path: Path) -> None:
    task = refining()
    with pytest.raises(BudgetError):
        list(task.run(questions(1), run_dir=tmp_path, max_requests=3))
    found = task.explain({"q": "q0"}, run_dir=tmp_path, id=0)
    assert (found.found, found.turn, found.turns) == (False, "4", 4)
    assert "Not found: turn 4 is not stored; before it, 4 turns are." in str(found)


def test_a_turn_that_failed_is_told_with_its_failure(tmp_path: Path) -> None:
    task = refining()
    task.llm.faults["final own: draft q1 2"] = [BadRequestError("no")]
    list(task.run(questions(), run_dir=tmp_path))
    found = task.explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert found.differs == ["that call failed (BadRequestError), and failures are not used again"]
    assert found.failure is not None
    assert found.failure.turn == "4"
    assert "(sample 0, turn 4) failed at its one attempt: BadRequestError: no" in str(found)


def test_the_sample_that_lacks_a_turn_is_told(tmp_path: Path) -> None:
    ran(tmp_path)
    found = refining(num_generations=2).explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert (found.found, found.sample, found.turn) == (False, 1, "1")
    assert "turn 1 of sample 1" in str(found)


def test_how_a_conversation_ends_is_told_though_all_is_stored(tmp_path: Path) -> None:
    class Short(Refine):
        def converse(self, input: Row) -> Any:
            yield ask(f"draft {input['q']}")
            raise ValueError("That was all.")

    task = Short(name="short", llm=Speaker())
    list(task.run(questions(1), run_dir=tmp_path))
    found = task.explain({"q": "q0"}, run_dir=tmp_path, id=0)
    assert found.found
    assert found.end is not None
    assert "ValueError: That was all." in found.end
    assert "It ends with OutputError" in str(found)


def test_a_conversation_that_asks_nothing_has_no_key(tmp_path: Path) -> None:
    class Silent(Refine):
        def converse(self, input: Row) -> Any:
            if input["q"] != "q0":
                yield ask("never")
            return {"a": input["q"]}

    list(refining().run(questions(1), run_dir=tmp_path))
    found = Silent(name="refine", llm=Speaker()).explain({"q": "q0"}, run_dir=tmp_path, id=0)
    assert (found.found, found.key, found.turns) == (True, "", 0)


def test_without_its_row_a_conversation_cannot_be_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="explained from their rows"):
        ran(tmp_path).explain(None, run_dir=tmp_path, id=1)


def test_a_directory_without_a_ledger_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger"):
        refining().explain({"q": "q1"}, run_dir=tmp_path, id=1)


def test_a_ledger_of_a_version_without_turns_has_none(tmp_path: Path) -> None:
    task = ran(tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        ledger.executescript("DROP TABLE effects; ALTER TABLE calls DROP COLUMN turn;")
    found = task.explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert (found.found, found.turn, found.turns) == (False, "1", 0)


def test_a_damaged_turn_is_told(tmp_path: Path) -> None:
    task = ran(tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        ledger.execute("UPDATE calls SET text = 'other' WHERE row = '1' AND turn = '2.2'")
        ledger.commit()
    found = task.explain({"q": "q1"}, run_dir=tmp_path, id=1)
    assert (found.found, found.turn) == (False, "2.2")
    assert "is damaged" in found.differs[0]


class Once(Task):
    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def format_input(self, input: Row) -> Any:
        return [{"role": "user", "content": input["q"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        if output and output.startswith("bad"):
            raise OutputError("It is bad.")
        return {"a": output}


def test_a_repaired_answer_is_found_with_its_repair(tmp_path: Path) -> None:
    task = Once(name="once", llm=ScriptedLLM(script=["bad", "good"]), repair=1)
    list(task.run(questions(1), run_dir=tmp_path))
    found = task.explain({"q": "q0"}, run_dir=tmp_path, id=0)
    assert (found.found, found.turn, found.turns) == (True, "r1", 2)


def test_a_repair_that_was_never_made_is_the_turn_that_is_missing(tmp_path: Path) -> None:
    list(Once(name="once", llm=ScriptedLLM(script=["bad"])).run(questions(1), run_dir=tmp_path))
    task = Once(name="once", llm=ScriptedLLM(script=[]), repair=1)
    found = task.explain({"q": "q0"}, run_dir=tmp_path, id=0)
    assert (found.found, found.turn, found.turns) == (False, "r1", 1)
    assert "Not found: turn r1 is not stored; before it, one turn is." in str(found)


def test_an_answer_of_a_fallback_is_found_with_who_gave_it(tmp_path: Path) -> None:
    other = ScriptedLLM(script=["other's"], model="other")
    task = Once(name="once", llm=ScriptedLLM(script=[BadRequestError("no")]), fallback=[other])
    list(task.run(questions(1), run_dir=tmp_path))
    found = task.explain({"q": "q0"}, run_dir=tmp_path, id=0)
    assert (found.found, found.turn, found.parts["identity"]["model_name"]) == (True, "f1", "other")


def test_a_mended_task_whose_first_answer_is_missing_is_explained_as_any(tmp_path: Path) -> None:
    task = Once(name="once", llm=ScriptedLLM(script=["good"]), repair=1)
    list(task.run(questions(1), run_dir=tmp_path))
    found = task.explain({"q": "q9"}, run_dir=tmp_path, id=0)
    assert (found.found, found.turn) == (False, None)
    assert "messages[0] (user)" in found.differs[0]
    assert task.explain(None, run_dir=tmp_path, id=0).found


def test_a_run_explains_the_conversations_of_its_pipeline(tmp_path: Path) -> None:
    with Pipeline("talks") as pipeline:
        refining()
    pipeline.run(questions(), run_dir=tmp_path)
    task = pipeline.steps["refine"]
    assert isinstance(task, Refine)
    assert task.explain({"q": "q2"}, run_dir=tmp_path, id=2).found
