"""A run directory knows that it had a ledger: one that is gone, empty or another's is told before any call."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline
from limbeck._engine.ledger.file import FILE
from limbeck._engine.ledger.kept import KEPT
from limbeck.errors import LedgerError, LimbeckWarning
from support.priced import CountingLLM
from support.questions import Ask, new_model, questions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run(run_dir: Path, rows: int = 3) -> int:
    """How many requests a run takes."""
    with Ask(llm=LLM).run(questions(rows), run_dir=run_dir) as stream:
        list(stream)
    return stream.stats.requests


LLM = CountingLLM(model=new_model())


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of three rows; an older copy of its ledger is `older` beside it."""
    folder = tmp_path / "run"
    run(folder, rows=2)
    shutil.copy(folder / FILE, tmp_path / "older")
    run(folder)
    return folder


def emptied(ledger: Path) -> None:
    ledger.write_bytes(b"")


def deleted(ledger: Path) -> None:
    ledger.unlink()


def an_older_copy(ledger: Path) -> None:
    shutil.copy(ledger.parent.parent / "older", ledger)


def another_runs(ledger: Path) -> None:
    other = ledger.parent.parent / "other"
    run(other, rows=9)
    shutil.copy(other / FILE, ledger)


def without_calls(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as vandal:
        vandal.execute("DELETE FROM calls")
        vandal.commit()


def a_new_database(ledger: Path) -> None:
    ledger.unlink()
    with closing(sqlite3.connect(ledger)) as new:
        new.execute("PRAGMA journal_mode = WAL")


LOSSES = [emptied, deleted, an_older_copy, another_runs, without_calls, a_new_database]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_ledger_that_is_lost_is_an_error_before_any_call_each_time(
    run_dir: Path, lose: Callable[[Path], None]
) -> None:
    lose(run_dir / FILE)
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"has had a ledger with 3 calls.* Put the right file back") as caught:
            run(run_dir)
        assert str(run_dir / KEPT) in str(caught.value)


@pytest.mark.parametrize("lose", LOSSES)
def test_whoever_says_so_goes_on_without_it_and_it_is_minded_again(run_dir: Path, lose: Callable[[Path], None]) -> None:
    lose(run_dir / FILE)
    (run_dir / KEPT).write_text("{}", encoding="utf-8")
    run(run_dir)
    assert run(run_dir) == 0
    deleted(run_dir / FILE)
    with pytest.raises(LedgerError, match="is gone"):
        run(run_dir)


def test_the_right_file_put_back_is_gone_on_with(run_dir: Path) -> None:
    (run_dir / FILE).rename(run_dir / "away")
    with pytest.raises(LedgerError, match="is gone"):
        run(run_dir)
    (run_dir / "away").rename(run_dir / FILE)
    assert run(run_dir) == 0


def test_a_directory_that_was_copied_without_its_ledger_is_told(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sqlite*"))
    with pytest.raises(LedgerError, match="is gone"):
        run(tmp_path / "copy")


def test_a_whole_copy_is_gone_on_with(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "copy")
    assert run(tmp_path / "copy") == 0


@pytest.mark.parametrize("note", [None, "{half", '{"unheard-of": 1}', "[]"])
def test_a_note_that_is_lost_or_damaged_is_made_again_where_the_ledger_is_there(run_dir: Path, note: Any) -> None:
    (run_dir / KEPT).unlink()
    if note is not None:
        (run_dir / KEPT).write_text(note, encoding="utf-8")
    assert run(run_dir) == 0
    assert json.loads((run_dir / KEPT).read_text(encoding="utf-8"))["calls"] == 3


def test_a_pipelines_directory_without_the_note_had_a_ledger_all_the_same(tmp_path: Path) -> None:
    def made() -> Any:
        with Pipeline("asking") as pipeline:
            questions(2) >> Ask(llm=LLM)
        return pipeline.run(run_dir=tmp_path)

    made()
    (tmp_path / KEPT).unlink()
    assert made().report["ask"].requests == 0
    (tmp_path / KEPT).unlink()
    deleted(tmp_path / FILE)
    with pytest.raises(LedgerError, match="is gone"):
        made()
    (tmp_path / KEPT).write_text("{}", encoding="utf-8")
    assert made().report["ask"].requests == 2


def test_calls_that_are_lacking_after_a_kill_are_told_and_asked_again(run_dir: Path) -> None:
    noted = json.loads((run_dir / KEPT).read_text(encoding="utf-8"))
    (run_dir / KEPT).write_text(json.dumps({**noted, "closed": False, "calls": 5}), encoding="utf-8")
    with pytest.warns(LimbeckWarning, match=r"has 3 calls where 5 were noted.*ledger\.sqlite-wal"):
        assert run(run_dir, rows=4) == 1


def test_a_log_that_a_reader_has_kept_from_being_cleared_is_the_ledgers_own(run_dir: Path) -> None:
    with closing(sqlite3.connect(run_dir / FILE)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchone()
        assert run(run_dir, rows=5) == 2
        assert (run_dir / f"{FILE}-wal").stat().st_size
        assert run(run_dir, rows=5) == 0
