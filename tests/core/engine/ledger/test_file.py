"""The ledger's file: made, brought forward, opened by one process, and left alone where it is another's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from limbeck._engine.ledger.file import FILE, MIGRATIONS, lock_folder, make_folder, open_file, reader_of, remedy
from limbeck.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        return int(file.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_file_has_the_newest_version(tmp_path: Path) -> None:
    open_file(tmp_path / FILE, "normal").close()
    assert version_of(tmp_path / FILE) == len(MIGRATIONS)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_file_of_any_earlier_version_gets_what_it_lacks(tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as old:
        for script in MIGRATIONS[:version]:
            old.executescript(script)
        old.executescript(f"PRAGMA user_version = {version}; PRAGMA application_id = {0x4C4D424B};")
    with closing(open_file(tmp_path / FILE, "normal")) as file:
        assert file.execute("SELECT count(*) FROM calls").fetchone() == (0,)
    assert version_of(tmp_path / FILE) == len(MIGRATIONS)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("CREATE TABLE notes (text)", "another program"),
        (f"PRAGMA user_version = {len(MIGRATIONS) + 1}", "a newer Limbeck"),
        ("PRAGMA user_version = -1", "damaged"),
    ],
)
def test_a_database_that_is_no_ledger_of_ours_is_refused_and_left_as_it_is(
    tmp_path: Path, script: str, why: str
) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.executescript(script)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(LedgerError, match=why):
        open_file(tmp_path / FILE, "normal")
    assert (tmp_path / FILE).read_bytes() == before


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("no database, and long enough to be told from an empty one" * 20)
    with pytest.raises(LedgerError, match="cannot be opened as a ledger"):
        open_file(tmp_path / FILE, "normal")


def test_a_folder_that_is_locked_is_refused_until_it_is_let_go(tmp_path: Path) -> None:
    with closing(lock_folder(tmp_path)), pytest.raises(LedgerError, match="Another process is running"):
        lock_folder(tmp_path)
    lock_folder(tmp_path).close()


def test_a_run_directory_that_is_a_file_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(LedgerError, match="is a file"):
        make_folder(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_reader_writes_nothing_and_one_without_a_ledger_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger"), reader_of(tmp_path):
        pass
    open_file(tmp_path / FILE, "normal").close()
    with pytest.raises(LedgerError, match="readonly"), reader_of(tmp_path) as reader:
        reader.execute("DELETE FROM calls")


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (sqlite3.OperationalError("database is locked"), "another program"),
        (sqlite3.DatabaseError("database disk image is malformed"), ".recover"),
        (sqlite3.OperationalError("database or disk is full"), "free some space"),
    ],
)
def test_the_remedy_is_of_the_error(cause: Exception, words: str) -> None:
    assert words in remedy(cause)
