"""The cache: answers that other runs paid for, by key.

Two requests are equal when all is that can change the answer: the LLM's identity (provider, model,
address and its own fields), the sampling parameters, the output schema and the messages. The task's
name, the row's id and the sample's number do not count. Each stored answer is given out once in a
run, so that equal prompts in different rows, and the samples of one row, stay different samples.
"""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ...errors import LedgerError, LimbeckWarning
from ..ledger.blobs import Blobs
from ..ledger.file import FILE, read_only
from ..ledger.stored_calls import DamagedCallError, answer_columns, fetch_all, stored_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...types import StoredAnswer

CacheSource: TypeAlias = "str | Path | Sequence[str | Path] | None"
"""One or more run directories, or folders that hold run directories."""

# What providers call an answer that their content policy cut off or refused.
_FILTERED = ("content_filter", "content_filtered", "refusal", "SAFETY", "safety")


class ResponseCache:
    """The answers of run directories, but failed and filtered ones; read only, so runs may go on in them meanwhile.

    Args:
        places: run directories, or folders that hold them. own: the run's own directory, which is left out.

    Raises:
        LedgerError: a place is not there, or what it holds cannot be read.
    """

    def __init__(self, places: Sequence[str | Path], *, own: Path | None = None) -> None:
        folders = dict.fromkeys(folder for place in places for folder in _run_folders(Path(place)))
        self._folders = [folder for folder in folders if own is None or folder != own.resolve()]
        # In a temporary file of SQLite's own: neither memory nor the ledgers grow with what they hold.
        self._index = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._index.execute(
            "CREATE TABLE answers (key BLOB, place INTEGER, call INTEGER, PRIMARY KEY (key, place, call)) WITHOUT ROWID"
        )
        self._readers: list[sqlite3.Connection] = []
        self._columns: list[str] = []
        try:
            for place, folder in enumerate(self._folders):
                self._readers.append(_open(folder))
                self._take_in(place)
        except sqlite3.Error as exc:
            self.close()
            raise LedgerError(f"The cache {str(folder)!r} cannot be read: {exc}.") from exc

    def _take_in(self, place: int) -> None:
        answers = (
            f"SELECT key, {place}, id FROM calls WHERE error IS NULL"
            f" AND (finish_reason IS NULL OR finish_reason NOT IN ({', '.join('?' * len(_FILTERED))}))"
        )
        values: list[str] = list(_FILTERED)
        self._columns.append(answer_columns(self._readers[place]))
        columns = [column[1] for column in self._readers[place].execute("PRAGMA table_info(calls)")]
        if "origin" in columns:  # a copy is no other sample than what it was copied from
            answers += f" AND (origin IS NULL OR origin NOT IN ({', '.join('?' * len(self._folders))}))"
            values += map(str, self._folders)
        self._index.execute("BEGIN")
        self._index.executemany("INSERT INTO answers VALUES (?, ?, ?)", self._readers[place].execute(answers, values))
        self._index.execute("COMMIT")

    def take(self, key: bytes, wanted: int) -> Iterator[tuple[StoredAnswer, str]]:
        """At most `wanted` answers to requests with this key, each with the directory it is from; once each.

        Raises:
            LedgerError: a ledger cannot be read any more.
        """
        try:
            yield from self._pop_answers(key, wanted)
        except sqlite3.Error as exc:
            raise LedgerError(f"The cache cannot be read any more: {exc}.") from exc

    def _pop_answers(self, key: bytes, wanted: int) -> Iterator[tuple[StoredAnswer, str]]:
        select = "SELECT place, call FROM answers WHERE key = ? ORDER BY place, call LIMIT 1"
        while wanted and (first := self._index.execute(select, (key,)).fetchone()) is not None:
            place, call = first
            self._index.execute("DELETE FROM answers WHERE key = ? AND place = ? AND call = ?", (key, place, call))
            answer = self._intact(place, call)
            if answer is not None:
                wanted -= 1
                yield answer, str(self._folders[place])

    def _intact(self, place: int, call: int) -> StoredAnswer | None:
        """A stored answer; None where it is damaged, which is told."""
        query = f"SELECT {self._columns[place]} FROM calls WHERE id = ?"
        try:
            record = fetch_all(self._readers[place], query, (call,))[0]
            return stored_answer(record, Blobs(self._folders[place]))
        except DamagedCallError as exc:
            warnings.warn(
                f"An answer in the cache {str(self._folders[place])!r} is not used: {exc}. Look after the disk.",
                LimbeckWarning,
                stacklevel=2,
            )
            return None

    def close(self) -> None:
        """Let go of the files."""
        for connection in (self._index, *self._readers):
            connection.close()


def open_cache(source: CacheSource, *, own: Path | None) -> ResponseCache | None:
    """The cache that `source` says, or None for none.

    Raises:
        LedgerError: as `ResponseCache`.
    """
    if source is None:
        return None
    return ResponseCache([source] if isinstance(source, str | Path) else list(source), own=own)


def _run_folders(place: Path) -> list[Path]:
    if not place.is_dir():
        raise LedgerError(f"There is no directory {str(place)!r} to take answers from.")
    if (place / FILE).is_file():
        return [place.resolve()]
    return sorted(ledger.parent.resolve() for ledger in place.glob(f"*/{FILE}"))


def _open(folder: Path) -> sqlite3.Connection:
    return read_only(folder / FILE)
