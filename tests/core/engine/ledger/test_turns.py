"""The turns of conversations in a ledger: found again where they are, and where their rows have moved."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import ask, do
from limbeck.errors import BadRequestError, GenerationError, LimbeckWarning
from limbeck.testing import EchoLLM, ScriptedLLM
from support.questions import prompt_of, questions
from support.talking import stored, talking, told

if TYPE_CHECKING:
    from pathlib import Path


def converse(self: Any, input: Any) -> Any:
    """Three turns, the second of two parts."""
    first = yield ask(f"1 of {input['question']}")
    second = yield [ask(f"2 of {input['question']}: {first.text}"), do(len, first.text)]
    last = yield ask(f"3 of {input['question']}: {second[1]}")
    return {"out": last.text}


def change(folder: Path, statement: str) -> None:
    """Change the ledger, as a kill or a disk might have."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        ledger.execute(statement)
        ledger.commit()
    (folder / "kept.json").write_text("{}", encoding="utf-8")  # or fewer calls than there were are told of


def requests_of(folder: Path, rows: Any, **fields: Any) -> tuple[list[Any], int]:
    """What comes of a run in a directory, and how often a model was asked."""
    stream = talking(converse, **{"llm": EchoLLM(), **fields}).run(rows, run_dir=folder)
    return told(list(stream)), stream.stats.requests


def test_each_call_and_each_effect_has_its_place_in_the_conversation(tmp_path: Path) -> None:
    requests_of(tmp_path, questions(1), num_generations=2)
    assert stored(tmp_path, "SELECT row, sample, turn FROM calls ORDER BY sample, turn") == [
        ("0", sample, turn) for sample in (0, 1) for turn in ("1", "2.1", "3")
    ]
    assert stored(tmp_path, "SELECT row, sample, turn, name, arguments, result FROM effects ORDER BY sample") == [
        ("0", sample, "2.2", "len", '[["1 of 0"], {}]', "6") for sample in (0, 1)
    ]


@pytest.mark.parametrize("last", ["1", "2.1", "2.2", "3"])
def test_a_conversation_goes_on_behind_what_is_stored(last: str, tmp_path: Path) -> None:
    whole, _ = requests_of(tmp_path, questions(3))
    change(tmp_path, f"DELETE FROM calls WHERE turn >= '{last}'")
    change(tmp_path, f"DELETE FROM effects WHERE turn >= '{last}'")
    missing = {"1": 3, "2.1": 2, "2.2": 1, "3": 1}[last]
    assert requests_of(tmp_path, questions(3)) == (whole, 3 * missing)


@pytest.mark.parametrize(
    "rows",
    [
        [{"question": "new"}, *questions(3)],
        questions(3)[::-1],
        questions(3)[1:],
        [*questions(2), *questions(3)],
    ],
    ids=["behind a new one", "in another order", "without the first", "twice"],
)
def test_rows_that_have_moved_take_their_turns_along(rows: Any, tmp_path: Path) -> None:
    requests_of(tmp_path, questions(3))
    outs, requests = requests_of(tmp_path, rows)
    assert outs == requests_of(tmp_path / "other", rows)[0]
    assert requests == 3 * (len(rows) - len({row["question"] for row in rows} & {"0", "1", "2"}))


def test_an_answer_that_the_disk_has_changed_is_asked_for_again(tmp_path: Path) -> None:
    whole, _ = requests_of(tmp_path, questions(2))
    change(tmp_path, "UPDATE calls SET text = 'something else' WHERE turn = '2.1' AND row = '1'")
    with pytest.warns(LimbeckWarning):
        assert requests_of(tmp_path, questions(2)) == (whole, 1)


def test_an_effect_that_the_disk_has_changed_is_done_again(tmp_path: Path) -> None:
    done: list[str] = []

    def noting(self: Any, input: Any) -> Any:
        yield do(done.append, input["question"])
        return {"out": (yield do(len, input["question"]))}

    for changed in (False, True):
        if changed:
            change(tmp_path, "UPDATE effects SET result = '99' WHERE turn = '2' AND row = '1'")
        assert told(list(talking(noting, llm=EchoLLM()).run(questions(2), run_dir=tmp_path))) == [1, 1]


# Failures


def failing_at(turn: str) -> Any:
    """A model that fails for one turn."""
    return ScriptedLLM(
        script=lambda request: BadRequestError("not that") if prompt_of(request) == turn else prompt_of(request)
    )


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_failure_that_the_conversation_went_past_is_its_own_and_asked_for_once(place: str, tmp_path: Path) -> None:
    def caught(self: Any) -> Any:
        if place == "last":
            yield ask("well")
        try:
            yield ask("bad")
        except GenerationError as exc:
            said = (type(exc).__name__, str(exc), exc.turn)
        if place == "first":
            yield ask("well")
        return {"out": said}

    requests = []
    for _ in range(3):
        stream = talking(caught, llm=failing_at("bad")).run(questions(1), run_dir=tmp_path)
        assert told(list(stream)) == [("BadRequestError", "not that", "1" if place == "first" else "2")]
        requests.append(stream.stats.requests)
    assert requests == [2, 0, 0]


def test_a_failure_that_ended_its_conversation_is_asked_for_again_alone(tmp_path: Path) -> None:
    def raised(self: Any) -> Any:
        yield ask("well")
        yield ask("bad")
        return {"out": 1}

    for requests in (2, 1):
        stream = talking(raised, llm=failing_at("bad")).run(questions(1), run_dir=tmp_path)
        assert (told(list(stream)), stream.stats.requests) == (["BadRequestError"], requests)
    stream = talking(raised, llm=failing_at("nothing")).run(questions(1), run_dir=tmp_path)
    assert (told(list(stream)), stream.stats.requests) == ([1], 1)


def test_nothing_is_asked_or_done_where_a_run_is_read_anew(tmp_path: Path) -> None:
    whole, _ = requests_of(tmp_path, questions(2))
    assert told(list(talking(converse, llm=EchoLLM()).reparse(questions(3), run_dir=tmp_path))) == [*whole, "RowError"]
