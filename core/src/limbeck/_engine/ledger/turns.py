"""The turns of conversations in a ledger: calls that have a place in one, and effects."""

from __future__ import annotations

import asyncio
import re
import time
import warnings
from typing import TYPE_CHECKING, Any

from ... import errors
from ...errors import BackendError, GenerationError, LedgerError, LimbeckWarning
from ...types import StoredEffect
from .stored_calls import ANSWER_COLUMNS, ANSWER_WIDTH, checksum, fetch_all, storable, stored_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from ...types import StoredAnswer
    from .ledger import Ledger

EFFECT_COLUMNS = "id, row, sample, turn, key, name, arguments, result, error, seconds, digest"
_INSERT_EFFECT = (
    "INSERT INTO effects (step, row, sample, turn, key, name, arguments, result, error, seconds, at, digest)"
    f" VALUES ({', '.join('?' * 12)})"
)
# The answers of a row to a request, that of the turn itself first; and last whether anything is stored under its key.
_OF_TURN = f"""
    SELECT * FROM (
        SELECT {ANSWER_COLUMNS} FROM calls
        WHERE step = ?1 AND row = ?2 AND id <= ?3 AND key = ?4 AND error IS NULL
        ORDER BY (sample = ?5 AND turn IS ?6) DESC, id DESC)
    UNION ALL
    SELECT EXISTS (SELECT 1 FROM calls WHERE step = ?1 AND key = ?4 AND id <= ?3 AND error IS NULL)
        {", NULL" * (ANSWER_WIDTH - 1)}
"""
_FAILED_TURN = """
    SELECT id, error, message, text, attempts FROM calls
    WHERE step = ? AND row = ? AND sample = ? AND turn IS ? AND key = ? AND id <= ?
        AND error IS NOT NULL AND retried IS NULL
    ORDER BY id DESC LIMIT 1
"""
# The turns of a conversation that came after a call, or an effect, of it. Each of the two counts its own ids.
_TURNS_AFTER = """
    SELECT DISTINCT turn FROM calls WHERE step = ?1 AND row = ?2 AND sample = ?3 AND id <= ?4 AND {call}
    UNION SELECT DISTINCT turn FROM effects WHERE step = ?1 AND row = ?2 AND sample = ?3 AND id <= ?5 AND {effect}
"""
_AFTER_CALL = _TURNS_AFTER.format(call="id > ?6", effect="at >= (SELECT at FROM calls WHERE id = ?6)")
_AFTER_EFFECT = _TURNS_AFTER.format(call="at >= (SELECT at FROM effects WHERE id = ?6)", effect="id > ?6")
_ANSWERED_TURN = """
    SELECT 1 FROM calls WHERE step = ? AND row = ? AND sample = ? AND turn IS ? AND id <= ? AND error IS NULL LIMIT 1
"""
_ALL = 2**63 - 1
_LABEL = re.compile(r"(\d*)(\.\d+)?(?:f(\d+))?(?:r(\d+))?")  # `3`, `3.1`, and what mends it: `3r1`, `3f2`, `3f2r1`


class StoredTurns:
    """The turns of one step's conversations, for one run.

    Args:
        name: the step's. last: the id of the last call that was there when the run began.
        intact: the answer in a record, or None where it is damaged. claim: takes a call; False where it was taken.
        moved: an answer with a key that no row has taken, None for a damaged one; raises `StopIteration`.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        last: int,
        *,
        intact: Callable[[tuple[Any, ...]], StoredAnswer | None],
        claim: Callable[[int], bool],
        moved: Callable[[bytes], list[StoredAnswer | None]],
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._last = last
        self._intact = intact
        self._claim = claim
        self._moved = moved
        self._last_effect = ledger.reader.execute("SELECT max(id) FROM effects").fetchone()[0] or 0
        self._told = False

    # Calls

    def answer(self, row: str, sample: int, turn: str | None, key: bytes) -> StoredAnswer | GenerationError | None:
        """The stored answer to a turn, or the failure that its conversation went past; see `find_turn`."""
        values = (self._name, row, self._last, key, sample, turn)
        *own, mark = fetch_all(self._ledger.reader, _OF_TURN, values)
        for record in own:
            answer = self._intact(record) if self._claim(record[0]) else None
            if answer is not None:
                return answer
        failure = self.failure(row, sample, turn, key)
        if failure is not None:
            return failure
        while mark[0] and (found := self._moved(key)):
            if found[0] is not None:
                return found[0]
        return None

    def failure(
        self, row: str, sample: int, turn: str | None, key: bytes, *, past: bool = True
    ) -> GenerationError | None:
        """The latest failure of a turn.

        Args:
            past: only where its conversation went past it.
        """
        values = (self._name, row, sample, turn, key, self._last)
        for id, *failure in fetch_all(self._ledger.reader, _FAILED_TURN, values):
            if not past or self.went_past((row, sample, turn), call=id):
                return rebuilt_error(*failure)
        return None

    def went_past(
        self,
        place: tuple[str, int, str | None],
        *,
        call: int | None = None,
        effect: int | None = None,
        step: str | None = None,
    ) -> bool:
        """Tell whether a conversation went on after a call, or an effect, of it that failed.

        Args:
            place: row, sample and turn of that. step: by default the own.
        """
        upto = (self._last, self._last_effect)
        return went_past(self._ledger.reader, step or self._name, place, call=call, effect=effect, upto=upto)

    def tell_difference(self, row: str, sample: int, turn: str) -> None:
        """Warn, once a run, where a conversation asks something else at a turn than is stored there."""
        if self._told:
            return
        values = (self._name, row, sample, turn, self._last)
        if not fetch_all(self._ledger.reader, _ANSWERED_TURN, values):
            return
        self._told = True
        message = (
            f"Step {self._name!r}, row {row}: turn {turn} asks something else than is stored in "
            f"{str(self._ledger.folder)!r}, and is asked anew, as is what follows from it. Where nothing was changed, "
            f"`converse` is not the same for the same row: chance comes from its `rng`, and what is read from outside "
            f"from `do`. `task.explain(row, run_dir=…, id={row!r})` says what differs. Further rows are not told."
        )
        try:
            warnings.warn(message, LimbeckWarning, stacklevel=2)
        except LimbeckWarning as exc:  # the user has made warnings errors
            raise LedgerError(message) from exc

    # Effects

    def effect(self, row: str, sample: int, turn: str, key: bytes) -> StoredEffect | None:
        """The stored effect of a turn; one that failed counts only where its conversation went past it."""
        own = (
            f"SELECT {EFFECT_COLUMNS} FROM effects WHERE step = ? AND row = ? AND key = ? AND id <= ?"
            " ORDER BY (sample = ? AND turn = ?) DESC, id DESC"
        )
        for record in fetch_all(self._ledger.reader, own, (self._name, row, key, self._last_effect, sample, turn)):
            effect = effect_in(record)
            if effect is None or (effect.error and not self.went_past((row, sample, turn), effect=record[0])):
                continue
            if self._claim(-record[0]):
                return effect
        return self._moved_effect(key)

    def failed_effect(self, row: str, sample: int, turn: str, key: bytes) -> StoredEffect | None:
        """The latest effect of a turn, which failed, whatever became of its conversation."""
        found = [effect for _, effect in self.effects_of(row, self._name)]
        return next((each for each in found if (each.sample, each.turn, each.key) == (sample, turn, key)), None)

    def effects_of(self, row: str, step: str) -> list[tuple[int, StoredEffect]]:
        """Every effect of a row with its id, the latest first."""
        query = f"SELECT {EFFECT_COLUMNS} FROM effects WHERE step = ? AND row = ? AND id <= ? ORDER BY id DESC"
        found = fetch_all(self._ledger.reader, query, (step, row, self._last_effect))
        return [(record[0], effect) for record in found if (effect := effect_in(record)) is not None]

    def _moved_effect(self, key: bytes) -> StoredEffect | None:
        moved = (
            f"SELECT {EFFECT_COLUMNS} FROM effects WHERE step = ? AND key = ? AND id <= ? AND error IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.step = effects.step AND claimed.id = -effects.id)"
            " ORDER BY CAST(row AS INTEGER), id LIMIT 1"
        )
        while found := fetch_all(self._ledger.reader, moved, (self._name, key, self._last_effect)):
            self._claim(-found[0][0])
            effect = effect_in(found[0])
            if effect is not None:
                return effect
        return None

    def keep_effect(self, effect: StoredEffect) -> asyncio.Future[None]:
        """Hand an effect to the writer; the future is done when it is on disk."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        texts = (storable(effect.arguments), storable(effect.result), storable(effect.error))
        place = (effect.row, effect.sample, effect.turn)
        digest = checksum(effect.key, effect.row, str(effect.sample), effect.turn, effect.name, *texts)
        record = (self._name, *place, effect.key, effect.name, *texts, effect.seconds, time.time(), digest)
        self._ledger.submit(_INSERT_EFFECT, [record], done)
        return done


def knows_turns(reader: sqlite3.Connection) -> bool:
    """Tell whether a ledger, which is only read, is of a version that keeps conversations."""
    return any(name == "turn" for _, name, *_ in reader.execute("PRAGMA table_info(calls)"))


def went_past(
    reader: sqlite3.Connection,
    step: str,
    place: tuple[str, int, str | None],
    *,
    call: int | None = None,
    effect: int | None = None,
    upto: tuple[int, int] = (_ALL, _ALL),
) -> bool:
    """Tell whether a conversation went on after a call, or an effect, of it that failed.

    Args:
        place: row, sample and turn of that. upto: the last call and the last effect that count.
    """
    row, sample, turn = place
    query, id = (_AFTER_CALL, call) if effect is None else (_AFTER_EFFECT, effect)
    later = fetch_all(reader, query, (step, row, sample, *upto, id))
    return any(is_behind(other, turn) for (other,) in later)


def is_behind(other: str | None, turn: str | None) -> bool:
    """Tell whether `other` comes after `turn` in a conversation, or mends it further."""
    (place, part, *mending), (of_turn, part_of_turn, *mending_of_turn) = _parts(other), _parts(turn)
    if place != of_turn:
        return place > of_turn
    return part == part_of_turn and mending > mending_of_turn


def place_of(turn: str | None) -> int:
    """The number of a turn in its conversation; 0 for the one call about a row."""
    return _parts(turn)[0]


def _parts(turn: str | None) -> tuple[int, ...]:
    """Its number, its place among those side by side, which fallback it is, and which repair."""
    found = _LABEL.match(turn or "")
    assert found is not None  # all in it may be absent
    return tuple(int((part or "0").lstrip(".")) for part in found.groups())


def effect_in(record: tuple[Any, ...]) -> StoredEffect | None:
    """The effect in a record of `EFFECT_COLUMNS`; None where it is damaged."""
    _, row, sample, turn, key, name, arguments, result, error, seconds, digest = record
    if digest != checksum(key, row, str(sample), turn, name, arguments, result, error):
        return None
    return StoredEffect(
        row=row,
        sample=sample,
        turn=turn,
        key=key,
        name=name,
        arguments=stored_text(arguments),
        result=stored_text(result),
        error=stored_text(error),
        seconds=seconds,
    )


def rebuilt_error(name: str | None, message: str | None, raw: Any, attempts: int) -> GenerationError:
    """The error that a stored failure was.

    Args:
        name: of its type. raw: the text of the answer, where there was one, as it is stored.
    """
    cls = getattr(errors, name or "", BackendError)
    if not (isinstance(cls, type) and issubclass(cls, GenerationError)):
        cls = BackendError
    error: GenerationError = cls(stored_text(message) or "")
    error.attempts, error.raw = attempts, stored_text(raw)
    return error
