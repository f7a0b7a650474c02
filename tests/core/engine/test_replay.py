"""Recorded answers in place of a model, for the tests of apps."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import LedgerError
from limbeck.testing import EchoLLM, ScriptedLLM, replay
from support.questions import Ask, processed, questions

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row


def record(folder: Path, rows: list[Row], *script: Any, **fields: Any) -> list[Row]:
    """What comes of a run that is recorded."""
    return list(Ask(llm=ScriptedLLM(script=list(script)), **fields).run(rows, run_dir=folder))


def replayed(rows: list[Row], **fields: Any) -> list[Any]:
    """The answers of a task whose model can give none."""
    return [row["answer"] for row in processed(Ask(llm=ScriptedLLM(script=[]), **fields), rows)]


def test_a_recorded_run_is_answered_without_the_model(tmp_path: Path) -> None:
    recorded = record(tmp_path, questions(2), "zero", "one")
    with replay(tmp_path):
        assert processed(Ask(llm=ScriptedLLM(script=[])), questions(2)) == recorded


def test_streams_are_answered_too(tmp_path: Path) -> None:
    record(tmp_path, questions(2), "zero", "one")
    with replay(tmp_path):
        rows = list(Ask(llm=ScriptedLLM(script=[])).run(questions(2)))
    assert [row["answer"] for row in rows] == ["zero", "one"]


def test_equal_requests_get_the_recorded_answers_in_turn_and_then_again(tmp_path: Path) -> None:
    record(tmp_path, [{"question": "same"}] * 2, "first", "second")
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        ledger.execute("UPDATE calls SET id = -id")  # as if the second row had been answered first
        ledger.commit()
    with replay(tmp_path):
        assert replayed([{"question": "same"}] * 3) == ["first", "second", "first"]


def test_samples_get_the_recorded_samples(tmp_path: Path) -> None:
    record(tmp_path, questions(1), "first", "second", num_generations=2)
    with replay(tmp_path):
        assert replayed(questions(1), num_generations=2) == ["first", "second"]


def test_half_a_surrogate_pair_is_replayed_as_it_was(tmp_path: Path) -> None:
    record(tmp_path, [{"question": "\ud83d"}], "\ude00")
    with replay(tmp_path):
        assert replayed([{"question": "\ud83d"}]) == ["\ude00"]


def test_an_unknown_call_is_an_error_that_shows_the_prompt(tmp_path: Path) -> None:
    record(tmp_path, questions(1), "zero")
    with replay(tmp_path), pytest.raises(LedgerError, match=r"has no answer to this request .*another question"):
        replayed([{"question": "another question"}])


def test_another_prompt_or_model_is_an_unknown_call(tmp_path: Path) -> None:
    record(tmp_path, questions(1), "zero")
    with replay(tmp_path), pytest.raises(LedgerError, match="has no answer to this request"):
        processed(Ask(llm=EchoLLM()), questions(1))


def test_a_failure_is_no_recorded_answer(tmp_path: Path) -> None:
    record(tmp_path, questions(1), ValueError("no"))
    with replay(tmp_path), pytest.raises(LedgerError, match="has no answer to this request"):
        replayed(questions(1))


def test_outside_of_the_block_the_model_is_asked_again(tmp_path: Path) -> None:
    record(tmp_path, questions(1), "zero")
    with replay(tmp_path):
        pass
    (row,) = processed(Ask(llm=ScriptedLLM(script=["asked"])), questions(1))
    assert row["answer"] == "asked"


def test_a_directory_without_a_ledger_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger in"), replay(tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()


def test_replaying_writes_nothing(tmp_path: Path) -> None:
    record(tmp_path, questions(1), "zero")
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with replay(tmp_path):
        replayed(questions(1))
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


def test_a_recording_without_write_permission_is_replayed(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    recorded = record(folder, questions(1), "zero")
    # Root may write everywhere: a place that is taken keeps a file from being made there for root too.
    (folder / "ledger.sqlite-shm").mkdir()
    folder.chmod(0o555)
    try:
        with replay(folder):
            assert processed(Ask(llm=ScriptedLLM(script=[])), questions(1)) == recorded
    finally:
        folder.chmod(0o755)


def test_a_file_that_is_no_ledger_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("my notes\n" * 100, encoding="utf-8")
    with pytest.raises(LedgerError, match="cannot be read"), replay(tmp_path):
        replayed(questions(1))
