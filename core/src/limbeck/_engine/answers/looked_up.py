"""What a run would find of the turns about one row, to who only looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import GenerationError
from ..calls.jobs import Outcome
from ..ledger.file import CLAIMS
from ..ledger.stored_calls import ROW_ORDER, DamagedCallError, answer_columns, fetch_all, stored_answer
from ..ledger.turns import StoredTurns, knows_turns

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from ...types import Request, StoredAnswer, StoredEffect
    from ..calls.jobs import Turn
    from ..calls.keys import Keyring


@dataclass(frozen=True, slots=True)
class _ReadOnly:
    """A ledger, to who only looks."""

    reader: sqlite3.Connection
    folder: Path


class LookedUp:
    """What a run would find of one row's turns, and the first that it would not: see `Kept`.

    Args:
        reader: of the ledger. folder: of it. keyrings: of all who may be asked.

    Attributes:
        turns: how many were found. missing: the sample and the turn of the first that was not. last: of the last.
        asked: who is asked there, or was last, and what; None for an effect. done: the effect there.
    """

    def __init__(self, reader: sqlite3.Connection, folder: Path, step: str, keyrings: Sequence[Keyring]) -> None:
        self._reader = reader
        self._step = step
        self._keyrings = keyrings
        self._turns: StoredTurns | None = None
        if knows_turns(reader):
            ledger: Any = _ReadOnly(reader, folder)
            reader.executescript(CLAIMS)  # temporary tables: nothing is written in the file
            last = reader.execute("SELECT max(id) FROM calls").fetchone()[0] or 0
            self._turns = StoredTurns(ledger, step, last, intact=_intact, claim=self._claim, moved=self._moved)
        self.turns = 0
        self.missing: tuple[int, str | None] | None = None
        self.last: tuple[int, str | None] | None = None
        self.asked: tuple[int, Request] | None = None
        self.done: StoredEffect | None = None

    def answer(self, who: int, turn: Turn) -> Outcome | None:
        """The outcome of a turn, where a run would find it."""
        found = None
        if self._turns is not None:
            found = self._turns.answer(turn.id, turn.sample, turn.turn, self._keyrings[who].key(turn.request))
        if self.missing is None:
            self.asked, self.done = (who, turn.request), None
        self._note((turn.sample, turn.turn), found)
        if found is None or isinstance(found, GenerationError):
            return None if found is None else Outcome(error=found, attempts=found.attempts)
        return Outcome(found.generation, None, found.usage, found.latency, found.attempts)

    def effect(self, wanted: StoredEffect) -> StoredEffect | None:
        """The effect of a turn, where a run would find it."""
        found = None
        if self._turns is not None:
            found = self._turns.effect(wanted.row, wanted.sample, wanted.turn, wanted.key)
        if self.missing is None and found is None:
            self.asked, self.done = None, wanted
        self._note((wanted.sample, wanted.turn), found)
        return found

    def _note(self, place: tuple[int, str | None], found: object) -> None:
        if self.missing is not None:
            return
        self.last = place
        if found is None:
            self.missing = place
        else:
            self.turns += 1

    def _claim(self, id: int) -> bool:
        claim = "INSERT OR IGNORE INTO claimed VALUES (?, ?) RETURNING 1"
        return self._reader.execute(claim, (self._step, id)).fetchone() is not None

    def _moved(self, key: bytes) -> list[StoredAnswer | None]:
        query = f"SELECT {answer_columns(self._reader)} FROM calls WHERE step = ? AND key = ? AND error IS NULL"
        for record in fetch_all(self._reader, f"{query} ORDER BY {ROW_ORDER}", (self._step, key)):
            if self._claim(record[0]):
                return [_intact(record)]
        return []


def _intact(record: tuple[Any, ...]) -> StoredAnswer | None:
    try:
        return stored_answer(record)
    except DamagedCallError:
        return None
