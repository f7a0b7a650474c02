"""Selective re-runs of conversations, and of answers that were mended.

Covers `_engine.answers.rerun` and `_engine.stream.retelling`.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Budget, Pipeline, Task, ask
from limbeck.errors import BadRequestError, BudgetError, ConfigurationError, OutputError
from limbeck.testing import ScriptedLLM
from support.questions import METADATA
from support.refining import LOOKED_UP, Refine, Speaker, questions, refining, stored, turns

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row


def lineage(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = row[METADATA]["lineage_refine"]
    return found


def ran(run_dir: Path, number: int = 3, **fields: Any) -> tuple[Refine, list[Row]]:
    """A run of some rows, whose LLMs have forgotten what they were asked."""
    task = refining(**fields)
    rows = list(task.run(questions(number), run_dir=run_dir))
    forget(task)
    return task, rows


def forget(task: Refine) -> None:
    for llm in (task.llm, task.critic):
        if llm is not None:
            llm.asked.clear()
    LOOKED_UP.clear()


WARM = {"temperature": 0.5}


def test_what_is_before_the_turn_stays_and_the_rest_is_asked_anew(tmp_path: Path) -> None:
    task, before = ran(tmp_path)
    warm = Speaker(generation_kwargs=WARM)
    rows = list(task.rerun(questions(), run_dir=tmp_path, where="q = 'q1'", from_turn=4, llm=warm))
    assert warm.asked == ["final own: draft q1 2"]
    assert task.critic is not None
    assert (task.critic.asked, LOOKED_UP) == ([], [])
    assert [row["a"] for row in rows] == [
        before[0]["a"],
        "own@0.5: final own: draft q1 2",
        before[2]["a"],
    ]


def test_from_the_second_turn_on_both_notes_are_asked_anew_of_the_critic_too(tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    warm = Speaker(generation_kwargs=WARM)
    list(task.rerun(questions(), run_dir=tmp_path, where="q = 'q1'", from_turn=2, llm=warm))
    assert task.critic is not None
    assert task.critic.asked == ["note 1 on own: draft q1", "note 2 on own: draft q1"]
    assert warm.asked == ["final own: draft q1 2"]
    assert turns(tmp_path, "1") == ["1", "2.1", "2.2", "4", "2.1", "2.2", "4"]
    assert LOOKED_UP == []  # it was done already with the same arguments


def test_without_a_turn_the_whole_conversation_is_asked_anew(tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    rows = list(task.rerun(questions(), run_dir=tmp_path, where="q = 'q1'", parameters=WARM))
    assert rows[1]["a"] == "own@0.5: final own@0.5: draft q1 2"
    assert LOOKED_UP == ["critic: note 1 on own@0.5: draft q1"]


@pytest.mark.parametrize("from_turn", [None, 1, 2, 4])
def test_the_same_call_again_buys_nothing_and_gives_the_same(from_turn: int | None, tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    how: dict[str, Any] = {"where": "a LIKE '%q1%'", "parameters": WARM, "from_turn": from_turn}
    first = list(task.rerun(questions(), run_dir=tmp_path, **how))
    calls = stored(tmp_path, "SELECT count(*) FROM calls")
    forget(task)
    again = list(task.rerun(questions(), run_dir=tmp_path, **how))
    assert [row["a"] for row in again] == [row["a"] for row in first]
    assert stored(tmp_path, "SELECT count(*) FROM calls") == calls
    assert task.critic is not None
    assert (task.critic.asked, LOOKED_UP) == ([], [])


def test_a_further_re_run_begins_where_the_last_one_ended(tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    list(task.rerun(questions(), run_dir=tmp_path, where="q = 'q1'", from_turn=4, parameters=WARM))
    how: dict[str, Any] = {"where": "a LIKE '%@0.5%'", "from_turn": 4, "parameters": {"top_p": 1}}
    rows = list(task.rerun(questions(), run_dir=tmp_path, **how))
    assert [lineage(row)["new"] for row in rows] == [False, True, False]
    assert [row["a"] for row in rows] == [f"own: final own: draft q{place} 2" for place in range(3)]


def test_unchanged_it_is_asked_once_more_and_its_effects_are_done_once_more(tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    list(task.rerun(questions(), run_dir=tmp_path, where="q = 'q2'", from_turn=3))
    assert LOOKED_UP == ["critic: note 1 on own: draft q2"]
    assert task.llm.asked == ["final own: draft q2 2"]
    assert task.critic is not None
    assert task.critic.asked == []


def test_each_row_says_what_made_it(tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    other = Speaker(name="other", generation_kwargs=WARM)
    rows = list(task.rerun(questions(), run_dir=tmp_path, where="q = 'q1'", from_turn=4, llm=other))
    assert [lineage(row) for row in rows] == [
        {"model_name": "own", "parameters": {}, "new": False},
        {"model_name": "other", "parameters": WARM, "new": True},
        {"model_name": "own", "parameters": {}, "new": False},
    ]
    assert [row["model_name"] for row in rows] == ["own", "other", "own"]


def test_the_condition_may_be_of_the_whole_conversation(tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    tokens = {row["id"]: row["n"] for row in _sums(tmp_path)}
    seen: list[Any] = []

    def where(row: Row) -> bool:
        seen.append((row["output_tokens"], row["finish_reason"], row["failed"], row["model"]))
        return False

    list(task.rerun(questions(), run_dir=tmp_path, where=where))
    assert seen == [(tokens[str(place)], "stop", False, "own") for place in range(3)]


def _sums(run_dir: Path) -> list[dict[str, Any]]:
    return [
        {"id": row, "n": number}
        for row, number in stored(run_dir, "SELECT row, sum(output_tokens) FROM calls GROUP BY row")
    ]


def test_a_conversation_that_failed_is_taken_up_at_the_turn_that_failed(tmp_path: Path) -> None:
    task = refining()
    task.llm.faults["final own: draft q1 2"] = [BadRequestError("no")]
    rows = list(task.run(questions(), run_dir=tmp_path))
    assert rows[1]["a"] is None
    forget(task)
    assert [row["a"] is None for row in task.rerun(questions(), run_dir=tmp_path, where="0")] == [False, True, False]
    rows = list(task.rerun(questions(), run_dir=tmp_path, where="failed", from_turn=4))
    assert rows[1]["a"] == "own: final own: draft q1 2"
    assert task.llm.asked == ["final own: draft q1 2"]


def test_a_turn_that_failed_before_the_one_asked_for_is_asked_too(tmp_path: Path) -> None:
    task = refining()
    task.llm.faults["draft q1"] = [BadRequestError("no")]
    list(task.run(questions(), run_dir=tmp_path))
    forget(task)
    rows = list(task.rerun(questions(), run_dir=tmp_path, where="failed", from_turn=4))
    assert rows[1]["a"] == "own: final own: draft q1 2"
    assert len(task.llm.asked) == 2


def test_a_turn_that_failed_in_a_re_run_is_all_that_the_next_call_asks(tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    assert task.critic is not None
    how: dict[str, Any] = {"run_dir": tmp_path, "where": "q = 'q1'", "parameters": WARM}
    task.critic.faults["note 2 on own@0.5: draft q1"] = [BadRequestError("no")]
    assert [row["a"] is None for row in task.rerun(questions(), **how)] == [False, True, False]
    forget(task)
    rows = list(task.rerun(questions(), **how))
    assert rows[1]["a"] == "own@0.5: final own@0.5: draft q1 2"
    assert task.critic.asked == ["note 2 on own@0.5: draft q1"]


def test_a_failure_that_a_re_run_went_past_is_not_asked_again(tmp_path: Path) -> None:
    task = Forgiving(name="forgiving", llm=Speaker())
    list(task.run(questions(1), run_dir=tmp_path))
    warm = Speaker(generation_kwargs=WARM)
    warm.faults["second own@0.5: first q0"] = [BadRequestError("no")]
    how: dict[str, Any] = {"run_dir": tmp_path, "where": "1", "llm": warm}
    first = list(task.rerun(questions(1), **how))
    assert [row["a"] for row in first] == ["own@0.5: third"]
    warm.asked.clear()
    assert [row["a"] for row in task.rerun(questions(1), **how)] == ["own@0.5: third"]
    assert warm.asked == []


class Forgiving(Task):
    inputs = property(lambda _: ["q"])
    outputs = property(lambda _: ["a"])

    def converse(self, input: Row) -> Any:
        first = yield ask(f"first {input['q']}")
        yield ask(f"second {first.text}", on_error="return")
        third = yield ask("third")
        return {"a": third.text}


def test_a_budget_stops_it_between_turns_and_the_next_call_buys_the_rest(tmp_path: Path) -> None:
    task, _ = ran(tmp_path)
    spent = stored(tmp_path, "SELECT count(*) FROM calls")[0][0]
    how: dict[str, Any] = {"run_dir": tmp_path, "where": "q = 'q1'", "parameters": WARM}
    with pytest.raises(BudgetError):
        list(task.rerun(questions(), **how, budget=Budget(max_requests=spent + 2)))
    bought = stored(tmp_path, "SELECT count(*) FROM calls")[0][0]
    assert bought == spent + 2
    rows = list(task.rerun(questions(), **how))
    assert rows[1]["a"] == "own@0.5: final own@0.5: draft q1 2"
    assert stored(tmp_path, "SELECT count(*) FROM calls")[0][0] == spent + 4


def test_a_conversation_that_the_run_never_finished_is_left_to_the_condition(tmp_path: Path) -> None:
    task = refining()
    with pytest.raises(BudgetError):
        list(task.run(questions(2), run_dir=tmp_path, max_requests=3))
    forget(task)
    rows = list(task.rerun(questions(), run_dir=tmp_path, where="q = 'none'", parameters=WARM))
    assert {row["a"] for row in rows} == {None}
    assert task.llm.asked == []
    messages = {row[METADATA]["error_refine"]["message"] for row in rows}
    assert any("was stopped before turn" in message for message in messages)
    assert "This row was never asked about; the condition `failed` means it too." in messages
    rows = list(task.rerun(questions(), run_dir=tmp_path, where="failed", parameters=WARM))
    assert [row["a"] for row in rows] == [f"own@0.5: final own@0.5: draft q{place} 2" for place in range(3)]


class Votes(Task):
    """Asks the same of two at once."""

    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def converse(self, input: Row) -> Any:
        votes = yield [ask(input["q"]), ask(input["q"])]
        end = yield ask(f"of {len(votes)}")
        return {"a": end.text}


def test_an_answer_that_is_stored_at_another_turn_with_the_same_question_is_taken_as_a_run_takes_it(
    tmp_path: Path,
) -> None:
    task = Votes(name="votes", llm=Speaker())
    first = list(task.run(questions(2), run_dir=tmp_path))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:  # as a stopped run leaves it
        ledger.execute("UPDATE calls SET turn = '1.2', digest = NULL WHERE turn = '1.1'")
        ledger.commit()
    task.llm.asked.clear()
    assert list(task.run(questions(2), run_dir=tmp_path)) == first
    again = list(task.rerun(questions(2), run_dir=tmp_path, where="0"))
    assert ([row["a"] for row in again], task.llm.asked) == ([row["a"] for row in first], [])
    rows = list(task.rerun(questions(2), run_dir=tmp_path, where="q = 'q1'", from_turn=2, parameters=WARM))
    assert rows[1]["a"] == "own@0.5: of 2"


def test_each_sample_is_decided_by_itself(tmp_path: Path) -> None:
    task = refining(num_generations=2, looks_up=False)
    list(task.run(questions(1), run_dir=tmp_path))
    forget(task)
    seen: list[int] = []

    def second(_row: Row) -> bool:
        seen.append(1)
        return len(seen) == 2

    rows = list(task.rerun(questions(1), run_dir=tmp_path, where=second, from_turn=4, parameters=WARM))
    assert [row["a"] for row in rows] == ["own: final own: draft q0 2"] * 2
    rows = list(task.rerun(questions(1), run_dir=tmp_path, where=second, from_turn=3, parameters=WARM))
    assert [lineage(row)["new"] for row in rows] == [False, False]


class Once(Task):
    inputs = property(lambda _: ["q"])
    outputs = property(lambda _: ["a"])

    def format_input(self, input: Row) -> Any:
        return [{"role": "user", "content": input["q"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        if output and output.startswith("bad"):
            raise OutputError("It is bad.")
        return {"a": output}


def test_a_turn_of_a_task_that_asks_once_is_an_error_that_says_so(tmp_path: Path) -> None:
    task = Once(llm=ScriptedLLM(script=["one"]))
    list(task.run(questions(1), run_dir=tmp_path))
    with pytest.raises(ConfigurationError, match=r"asks once about a row.*`converse`"):
        task.rerun(questions(1), run_dir=tmp_path, where="1", from_turn=2)


@pytest.mark.parametrize("from_turn", [0, -1, "2", 2.0, True])
def test_a_turn_that_is_none_is_an_error_that_says_so(from_turn: Any, tmp_path: Path) -> None:
    task, _ = ran(tmp_path, 1)
    with pytest.raises(ConfigurationError, match="`from_turn` is the number of a turn"):
        task.rerun(questions(1), run_dir=tmp_path, where="1", from_turn=from_turn)


# Mended answers


def test_a_repaired_answer_comes_out_as_it_was_repaired(tmp_path: Path) -> None:
    task = Once(name="once", llm=ScriptedLLM(script=["bad", "good", "fine"], max_concurrency=1), repair=1)
    before = list(task.run(questions(2), run_dir=tmp_path))
    assert [row["a"] for row in before] == ["good", "fine"] or [row["a"] for row in before] == ["fine", "good"]
    llm = ScriptedLLM(script=["never asked"])
    again = Once(name="once", llm=task.llm.model_copy(update={"script": llm.script}), repair=1)
    rows = list(again.rerun(questions(2), run_dir=tmp_path, where="failed OR parse_failed"))
    assert [row["a"] for row in rows] == [row["a"] for row in before]


def test_what_is_meant_of_repaired_answers_is_asked_and_repaired_anew(tmp_path: Path) -> None:
    task = Once(name="once", llm=ScriptedLLM(script=["bad", "good"]), repair=1)
    list(task.run(questions(1), run_dir=tmp_path))
    warm = ScriptedLLM(script=["bad again", "better"], generation_kwargs=WARM)
    rows = list(task.rerun(questions(1), run_dir=tmp_path, where="a = 'good'", llm=warm))
    assert [row["a"] for row in rows] == ["better"]
    assert len(warm.requests) == 2
    silent = ScriptedLLM(script=[], generation_kwargs=WARM)
    again = list(task.rerun(questions(1), run_dir=tmp_path, where="a IN ('good', 'better')", llm=silent))
    assert [row["a"] for row in again] == ["better"]
    assert silent.requests == []


def test_an_answer_of_a_fallback_comes_out_with_its_model(tmp_path: Path) -> None:
    other = ScriptedLLM(script=["other's"], model="other")
    task = Once(name="once", llm=ScriptedLLM(script=[BadRequestError("no")]), fallback=[other])
    before = list(task.run(questions(1), run_dir=tmp_path))
    assert [row["a"] for row in before] == ["other's"]
    rows = list(task.rerun(questions(1), run_dir=tmp_path, where="failed"))
    assert [(row["a"], row["model_name"]) for row in rows] == [("other's", "other")]


def test_where_no_answer_could_be_repaired_the_condition_failed_means_it(tmp_path: Path) -> None:
    task = Once(name="once", llm=ScriptedLLM(script=["bad", "bad too"]), repair=1)
    list(task.run(questions(1), run_dir=tmp_path))
    better = ScriptedLLM(script=["good"], model="better")
    rows = list(task.rerun(questions(1), run_dir=tmp_path, where="parse_failed", llm=better))
    assert [(row["a"], row["model_name"]) for row in rows] == [("good", "better")]


# In a pipeline


class Judge(Task):
    inputs = property(lambda _: ["a"])
    outputs = property(lambda _: ["score"])

    def converse(self, input: Row) -> Any:
        first = yield ask(f"judge {input['a']}")
        second = yield ask(f"sure of {first.text}")
        return {"score": len(json.dumps(second.text)) if "q1" in input["a"] else 0}


def test_the_condition_may_be_of_a_judge_that_talks(tmp_path: Path) -> None:
    def pipeline(llm: Any) -> Pipeline:
        with Pipeline("talks") as made:
            refining(llm=llm, critic=None) >> Judge(name="judge", llm=Speaker(name="judge"))
        return made

    pipeline(Speaker()).run(questions(), run_dir=tmp_path)
    warm = Speaker(generation_kwargs=WARM)
    result = pipeline(Speaker()).rerun(
        *(questions(),), run_dir=tmp_path, where="score > 0", step="refine", llm=warm, from_turn=4
    )
    assert warm.asked == ["final own: draft q1 2"]
    assert ["@0.5" in row["a"] for row in result] == [False, True, False]
