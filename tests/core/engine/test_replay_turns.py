"""Recorded conversations in place of models, for the tests of apps.

Covers `_engine.replay`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Task, ask, do
from limbeck.errors import BadRequestError, GenerationError, LedgerError, TransientError
from limbeck.testing import ScriptedLLM, replay
from support.refining import LOOKED_UP, Speaker, look_up, questions, refining

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row


def recorded(folder: Path, task: Task, rows: list[Row]) -> list[Row]:
    made = list(task.run(rows, run_dir=folder))
    LOOKED_UP.clear()
    return made


def processed(task: Task, rows: list[Row]) -> list[Row]:
    return next(task.process(rows))


class Catching(Task):
    """Goes past what goes wrong at its first two turns."""

    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def converse(self, input: Row) -> Any:
        first = yield ask(f"first {input['q']}", on_error="return")
        looked_up = yield do(broken, input["q"], on_error="return")
        failed = [type(each).__name__ for each in (first, looked_up) if isinstance(each, GenerationError)]
        second = yield ask(f"second {failed}")
        return {"a": second.text}


def broken(text: str) -> str:
    if text == "q0":
        raise ValueError("no")
    return look_up(text)["found"]


def silent(**fields: Any) -> Any:
    """A task whose LLMs would be asked in vain."""
    own, critic = Speaker(), Speaker(name="critic")
    for llm in (own, critic):
        llm.faults.update({f"draft q{place}": [AssertionError("asked")] for place in range(9)})
    return refining(llm=own, critic=critic, **fields)


def test_conversations_are_answered_without_their_models_and_their_effects_are_not_done(tmp_path: Path) -> None:
    made = recorded(tmp_path, refining(), questions())
    task = silent()
    with replay(tmp_path):
        assert processed(task, questions()) == made
    assert (task.llm.asked, task.critic.asked, LOOKED_UP) == ([], [], [])


def test_streams_of_them_are_answered_too_and_may_be_kept(tmp_path: Path) -> None:
    made = recorded(tmp_path / "recorded", refining(), questions())
    with replay(tmp_path / "recorded"):
        assert list(silent().run(questions(), run_dir=tmp_path / "again")) == made
    assert LOOKED_UP == []


def test_other_rows_than_were_recorded_first_are_answered(tmp_path: Path) -> None:
    made = recorded(tmp_path, refining(), questions())
    with replay(tmp_path):
        for place in (2, 0, 2):
            assert processed(silent(), [{"q": f"q{place}"}]) == [made[place]]


def test_equal_conversations_get_the_recorded_ones_in_turn(tmp_path: Path) -> None:
    rows = [{"q": "same"}, {"q": "same"}]
    task = Echoing(name="echoing", llm=ScriptedLLM(script=["a", "b", "c", "d"], max_concurrency=1))
    made = [row["a"] for row in recorded(tmp_path, task, rows)]
    assert made[0] != made[1]
    with replay(tmp_path):
        assert [row["a"] for row in processed(Echoing(name="echoing", llm=task.llm), rows)] == made


class Echoing(Task):
    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def converse(self, input: Row) -> Any:
        first = yield ask(input["q"])
        second = yield ask(f"{first.text}?")
        return {"a": f"{first.text} {second.text}"}


def test_a_turn_that_is_not_recorded_stops_the_run_and_shows_its_prompt(tmp_path: Path) -> None:
    recorded(tmp_path, refining(), questions())
    with replay(tmp_path), pytest.raises(LedgerError, match=r"has no answer to this request .*last own: draft q0"):
        processed(silent(final="last"), questions(1))


def test_an_effect_that_is_not_recorded_stops_the_run_and_is_not_done(tmp_path: Path) -> None:
    recorded(tmp_path, refining(looks_up=False), questions())
    with replay(tmp_path), pytest.raises(LedgerError, match=r"no result of `look_up`.*nothing is done"):
        processed(silent(), questions(1))
    assert LOOKED_UP == []


@pytest.mark.parametrize("error", [BadRequestError("no"), TransientError("away")])
def test_a_failure_that_was_gone_past_is_replayed_as_one(error: GenerationError, tmp_path: Path) -> None:
    llm = Speaker(max_attempts=1)
    llm.faults["first q0"] = [error]
    made = recorded(tmp_path, Catching(name="catching", llm=llm), questions(2))
    assert made[0]["a"] == f"own: second {[type(error).__name__, 'EffectError']}"
    with replay(tmp_path):
        assert processed(Catching(name="catching", llm=Speaker()), questions(2)) == made


def test_a_failure_that_was_asked_again_later_is_replayed_as_its_answer(tmp_path: Path) -> None:
    task = refining()
    task.llm.faults["draft q0"] = [BadRequestError("no")]
    list(task.run(questions(1), run_dir=tmp_path))
    made = recorded(tmp_path, task, questions(1))
    assert made[0]["a"] == "own: final own: draft q0 2"
    with replay(tmp_path):
        assert processed(silent(), questions(1)) == made


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
        return {"a": output}


def test_an_answer_of_a_fallback_is_replayed_with_what_went_before_it(tmp_path: Path) -> None:
    def task(*script: Any, other: Any = ()) -> Once:
        fallback = ScriptedLLM(script=list(other), model="other")
        return Once(name="once", llm=ScriptedLLM(script=list(script)), fallback=[fallback])

    made = recorded(tmp_path, task(BadRequestError("no"), other=["other's"]), questions(1))
    assert [row["a"] for row in made] == ["other's"]
    with replay(tmp_path):
        assert processed(task(), questions(1)) == made


def test_a_recording_of_a_version_without_turns_has_no_conversations(tmp_path: Path) -> None:
    recorded(tmp_path, refining(), questions(1))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        ledger.executescript("DROP TABLE effects; ALTER TABLE calls DROP COLUMN turn;")
    with replay(tmp_path), pytest.raises(LedgerError):
        processed(silent(), questions(1))
