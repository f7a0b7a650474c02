"""What holds for one call holds for each turn: failures, observers, budgets, caches, and answers read anew.

Covers `_engine.stream.conversation`, `_engine.ledger.failed_rows` and `_engine.calls.policy`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Budget, Task, ask, do, hookimpl, register_plugin
from limbeck.errors import BadRequestError, BudgetError, GenerationError, LimbeckWarning, OutputError
from limbeck.testing import ScriptedLLM, registry, replay
from support.questions import METADATA
from support.refining import LOOKED_UP, Refine, Speaker, look_up, questions, refining, stored, turns

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row


def failures(run_dir: Path) -> list[dict[str, Any]]:
    lines = (run_dir / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    return [error for line in lines for error in json.loads(line)["limbeck_error"]["errors"]]


class Catching(Task):
    """Asks twice, and goes past whatever goes wrong."""

    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def converse(self, input: Row) -> Any:
        try:
            first = (yield ask(f"first {input['q']}")).text
            looked_up = yield do(look_up, first)
        except GenerationError:
            first, looked_up = "nothing", {}
        second = yield ask(f"second {first} {looked_up.get('found')}")
        return {"a": second.text}


class Once(Task):
    """Asks once, and takes no answer that begins with "bad"."""

    strict: bool = True

    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def format_input(self, input: Row) -> Any:
        return [{"role": "user", "content": input["q"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        if self.strict and output and output.startswith("bad"):
            raise OutputError("It is bad.")
        return {"a": output}


# failed.jsonl


def test_the_turn_that_failed_is_named(tmp_path: Path) -> None:
    task = refining()
    task.llm.faults["final own: draft q1 2"] = [BadRequestError("no")]
    list(task.run(questions(), run_dir=tmp_path))
    (error,) = failures(tmp_path)
    assert (error["turn"], error["type"], error["attempts"]) == ("4", "BadRequestError", 1)


def test_of_turns_side_by_side_the_one_that_failed_is_named(tmp_path: Path) -> None:
    task = refining()
    assert task.critic is not None
    task.critic.faults["note 2 on own: draft q0"] = [BadRequestError("no")]
    list(task.run(questions(1), run_dir=tmp_path))
    assert [error["turn"] for error in failures(tmp_path)] == ["2.2"]


def test_the_turn_behind_which_the_author_raised_is_named(tmp_path: Path) -> None:
    class Faulty(Refine):
        def converse(self, input: Row) -> Any:
            yield ask(f"draft {input['q']}")
            yield ask("again")
            raise ValueError("No more.")

    list(Faulty(name="faulty", llm=Speaker()).run(questions(1), run_dir=tmp_path))
    assert [error["turn"] for error in failures(tmp_path)] == ["2"]


def test_one_error_of_several_turns_is_named_by_each_of_them(tmp_path: Path) -> None:
    error = BadRequestError("no")
    task = refining()
    assert task.critic is not None
    task.critic.faults.update({f"note {1 + place} on own: draft q{place}": [error] for place in range(2)})
    list(task.run(questions(2), run_dir=tmp_path))
    assert sorted(each["turn"] for each in failures(tmp_path)) == ["2.1", "2.2"]


def test_a_run_of_several_llms_whose_answers_are_all_there_ends_though_only_the_first_was_looked_at(
    tmp_path: Path,
) -> None:
    task = refining(looks_up=False)
    first = list(task.run(questions(), run_dir=tmp_path))
    for _ in range(20):
        assert list(task.run(questions(), run_dir=tmp_path)) == first


def test_an_effect_that_failed_is_named_by_its_turn(tmp_path: Path) -> None:
    def broken(text: str) -> None:
        raise ValueError(text)

    class Broken(Refine):
        def converse(self, input: Row) -> Any:
            yield ask(f"draft {input['q']}")
            yield do(broken, "no")

    list(Broken(name="broken", llm=Speaker()).run(questions(1), run_dir=tmp_path))
    assert [(error["turn"], error["type"]) for error in failures(tmp_path)] == [("2", "EffectError")]


def test_a_failure_of_the_one_call_has_no_turn_and_one_of_a_fallback_names_its_model(tmp_path: Path) -> None:
    llm, other = ScriptedLLM(script=["bad"]), ScriptedLLM(script=["bad too"], model="other")
    list(Once(name="once", llm=llm, fallback=[other]).run(questions(1), run_dir=tmp_path))
    (error,) = failures(tmp_path)
    assert ("turn" in error, error["model_name"]) == (False, "other")


# Observers


class Watcher:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []

    @hookimpl
    def limbeck_request_started(self, id: str, turn: str | None) -> None:
        self.seen.append(("started", id, turn))

    @hookimpl
    def limbeck_request_finished(self, id: str, turn: str | None) -> None:
        self.seen.append(("finished", id, turn))

    @hookimpl
    def limbeck_request_failed(self, id: str, turn: str | None, error: GenerationError) -> None:
        self.seen.append(("failed", id, turn))


def test_observers_are_told_whose_request_it_is_and_of_which_turn() -> None:
    task, watcher = refining(), Watcher()
    task.llm.faults["final own: draft q0 2"] = [BadRequestError("no")]
    with registry():
        register_plugin(watcher)
        next(task.process(questions(1)))
    assert [seen for seen in watcher.seen if seen[2] in {"1", "4"}] == [
        *(("started", "0", "1"), ("finished", "0", "1")),
        *(("started", "0", "4"), ("failed", "0", "4")),
    ]
    assert {seen for seen in watcher.seen if seen[2] not in {"1", "4"}} == {
        (what, "0", turn) for what in ("started", "finished") for turn in ("2.1", "2.2")
    }


def test_observers_are_told_no_turn_of_the_one_call_and_those_that_mend_it() -> None:
    watcher = Watcher()
    with registry():
        register_plugin(watcher)
        next(Once(name="once", llm=ScriptedLLM(script=["bad", "good"]), repair=1).process(questions(1)))
    assert [seen for seen in watcher.seen if seen[0] == "started"] == [("started", "0", None), ("started", "0", "r1")]


# Budgets


@pytest.mark.parametrize("most", [1, 2, 3, 5, 9])
def test_a_cap_on_requests_stops_between_turns_and_the_next_run_buys_the_rest(most: int, tmp_path: Path) -> None:
    task = refining()
    with pytest.raises(BudgetError):
        list(task.run(questions(), run_dir=tmp_path, max_requests=most))
    assert stored(tmp_path, "SELECT count(*) FROM calls") == [(most,)]
    rows = list(task.run(questions(), run_dir=tmp_path))
    assert [row["a"] for row in rows] == [f"own: final own: draft q{place} 2" for place in range(3)]
    assert stored(tmp_path, "SELECT count(*), count(DISTINCT row || turn) FROM calls") == [(12, 12)]


def test_a_cap_on_cost_counts_each_llm_with_its_own_price_and_stops_between_turns(tmp_path: Path) -> None:
    prices = {"own": {"input": 1e5, "output": 0}, "critic": {"input": 1e6, "output": 0}}  # $1 and $10 a call
    list(refining().run(questions(1), run_dir=tmp_path / "whole", prices=prices))
    assert stored(tmp_path / "whole", "SELECT sum(cost) FROM calls") == [(22.0,)]
    task = refining()
    with pytest.raises(BudgetError):
        list(task.run(questions(2), run_dir=tmp_path / "capped", prices=prices, budget=Budget(max_cost=30)))
    spent = stored(tmp_path / "capped", "SELECT sum(cost) FROM calls")[0][0]
    assert 0 < spent <= 30
    list(task.run(questions(2), run_dir=tmp_path / "capped", prices=prices))
    assert stored(tmp_path / "capped", "SELECT sum(cost), count(*) FROM calls") == [(44.0, 8)]


# Caches


def test_a_cache_gives_each_turn_its_answer_and_a_copy_is_kept_at_its_turn(tmp_path: Path) -> None:
    first = list(refining().run(questions(), run_dir=tmp_path / "first"))
    task = refining()
    second = list(task.run(questions(), run_dir=tmp_path / "second", cache=tmp_path / "first"))
    assert [row["a"] for row in second] == [row["a"] for row in first]
    assert task.critic is not None
    assert (task.llm.asked, task.critic.asked) == ([], [])
    assert sorted(map(str, turns(tmp_path / "second", "1"))) == ["1", "2.1", "2.2", "4"]
    again = list(task.run(questions(), run_dir=tmp_path / "second"))
    assert [row["a"] for row in again] == [row["a"] for row in first]
    assert (task.llm.asked, task.critic.asked) == ([], [])


def test_a_cache_gives_what_it_has_and_the_turns_behind_it_are_asked(tmp_path: Path) -> None:
    list(refining().run(questions(), run_dir=tmp_path / "first"))
    task = refining(final="last")
    rows = list(task.run(questions(), run_dir=tmp_path / "second", cache=tmp_path / "first"))
    assert rows[0]["a"] == "own: last own: draft q0 2"
    assert sorted(task.llm.asked) == [f"last own: draft q{place} 2" for place in range(3)]


# Answers that are read anew


def test_conversations_are_read_anew_from_what_is_stored(tmp_path: Path) -> None:
    class Shouting(Refine):
        def converse(self, input: Row) -> Any:
            returned = yield from super().converse(input)
            return {"a": returned["a"].upper()}

    first = list(refining().run(questions(), run_dir=tmp_path))
    LOOKED_UP.clear()
    task = Shouting(name="refine", llm=Speaker(), critic=Speaker(name="critic"))
    assert [row["a"] for row in task.reparse(questions(), run_dir=tmp_path)] == [row["a"].upper() for row in first]
    assert task.critic is not None
    assert (task.llm.asked, task.critic.asked, LOOKED_UP) == ([], [], [])


@pytest.mark.parametrize("most", [1, 3])
def test_a_conversation_that_is_not_stored_to_its_end_fails_as_data(most: int, tmp_path: Path) -> None:
    task = refining()
    with pytest.raises(BudgetError):
        list(task.run(questions(1), run_dir=tmp_path, max_requests=most))
    task.llm.asked.clear()
    (row,) = task.reparse(questions(1), run_dir=tmp_path)
    assert row["a"] is None
    lacking = "2.1" if most == 1 else "4"
    assert row[METADATA]["error_refine"]["message"].startswith(f"The ledger has no answer to turn {lacking}")
    assert task.llm.asked == []


def test_what_is_not_stored_is_no_failure_that_a_conversation_could_go_past(tmp_path: Path) -> None:
    task = Catching(name="catching", llm=Speaker())
    with pytest.raises(BudgetError):
        list(task.run([{"q": "q0"}, {"q": "q1"}], run_dir=tmp_path, max_requests=1))
    LOOKED_UP.clear()
    rows = list(task.reparse([{"q": "q0"}, {"q": "q1"}], run_dir=tmp_path))
    assert [row["a"] for row in rows] == [None, None]
    assert LOOKED_UP == []
    assert "no answer to turn 1" in rows[1][METADATA]["error_catching"]["message"]


def test_a_failure_that_a_conversation_went_past_is_read_anew_as_one(tmp_path: Path) -> None:
    task = Catching(name="catching", llm=Speaker())
    task.llm.faults["first q0"] = [BadRequestError("no")]
    first = list(task.run(questions(1), run_dir=tmp_path))
    assert first[0]["a"] == "own: second nothing None"
    assert list(task.reparse(questions(1), run_dir=tmp_path)) == first


class Enduring(Catching):
    """Goes past a failure at its last turn, and one of an effect."""

    def converse(self, input: Row) -> Any:
        done = yield do(broken, input["q"], on_error="return")
        last = yield ask(f"last {input['q']}", on_error="return")
        return {"a": f"{type(done).__name__}, {type(last).__name__}"}


def broken(text: str) -> None:
    LOOKED_UP.append(text)
    raise ValueError(text)


def test_what_failed_at_the_last_turn_is_read_anew_and_replayed_as_a_failure(tmp_path: Path) -> None:
    task = Enduring(name="enduring", llm=Speaker())
    task.llm.faults["last q0"] = [BadRequestError("no")]
    first = list(task.run(questions(1), run_dir=tmp_path))
    assert [row["a"] for row in first] == ["EffectError, BadRequestError"]
    LOOKED_UP.clear()
    silent = Enduring(name="enduring", llm=Speaker())
    assert list(silent.reparse(questions(1), run_dir=tmp_path)) == first
    with replay(tmp_path):
        assert next(silent.process(questions(1))) == first
    assert (silent.llm.asked, LOOKED_UP) == ([], [])


def test_a_conversation_that_failed_is_read_anew_with_its_failure(tmp_path: Path) -> None:
    task = refining()
    task.llm.faults["final own: draft q1 2"] = [BadRequestError("no")]
    first = list(task.run(questions(), run_dir=tmp_path))
    again = list(refining().reparse(questions(), run_dir=tmp_path))
    assert [row["a"] for row in again] == [row["a"] for row in first]
    assert again[1][METADATA]["error_refine"] == first[1][METADATA]["error_refine"]


def test_a_turn_that_failed_is_asked_again_though_an_older_conversation_went_further(tmp_path: Path) -> None:
    task = refining()
    list(task.run(questions(1), run_dir=tmp_path))

    class Anew(Refine):
        def converse(self, input: Row) -> Any:
            return (yield from super().converse({"q": f"once more {input['q']}"}))

    again = Anew(name="refine", llm=Speaker(), critic=Speaker(name="critic"))
    again.llm.faults["draft once more q0"] = [BadRequestError("no")]
    assert [row["a"] for row in again.run(questions(1), run_dir=tmp_path)] == [None]
    (row,) = again.run(questions(1), run_dir=tmp_path)
    assert row["a"] == "own: final own: draft once more q0 2"


def test_repaired_answers_are_read_anew_with_their_repairs(tmp_path: Path) -> None:
    task = Once(name="once", llm=ScriptedLLM(script=["bad", "good"]), repair=1)
    list(task.run(questions(1), run_dir=tmp_path))
    assert [row["a"] for row in task.reparse(questions(1), run_dir=tmp_path)] == ["good"]


def test_an_answer_that_can_no_longer_be_read_fails_with_the_reason_and_nothing_is_asked(tmp_path: Path) -> None:
    easy = Once(name="once", llm=ScriptedLLM(script=["bad"]), repair=2, strict=False)
    list(easy.run(questions(1), run_dir=tmp_path))
    llm = ScriptedLLM(script=[])
    with pytest.warns(LimbeckWarning, match="strict"):
        (row,) = Once(name="once", llm=llm, repair=2, fallback=[llm]).reparse(questions(1), run_dir=tmp_path)
    assert row["a"] is None
    assert row[METADATA]["error_once"]["message"] == "It is bad."
    assert llm.requests == []


def test_of_several_samples_those_that_are_there_are_read_with_their_repairs(tmp_path: Path) -> None:
    task = Once(name="once", llm=ScriptedLLM(script=["bad", "good"]), repair=1)
    list(task.run(questions(1), run_dir=tmp_path))
    more = task.model_copy(update={"num_generations": 2})
    with pytest.warns(LimbeckWarning, match="num_generations"):
        rows = list(more.reparse(questions(1), run_dir=tmp_path))
    assert [row["a"] for row in rows] == ["good", None]
