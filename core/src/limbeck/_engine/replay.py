"""Answers from a ledger in place of a model, for the tests of apps."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LedgerError
from ..types import GenerationResponse, Usage
from .ledger.blobs import Blobs
from .ledger.file import FILE, read_only
from .ledger.stored_calls import ROW_ORDER, DamagedCallError, answer_columns, fetch_all, stored_answer
from .ledger.turns import EFFECT_COLUMNS, effect_in, knows_turns, rebuilt_error, went_past
from .online.backend import Backend, told_nobody
from .threads.portal import portal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..errors import GenerationError
    from ..types import Generation, ModelKind, Request, StoredEffect
    from .calls.jobs import Turn
    from .calls.parties import Result, Tell


_ANSWERED = "SELECT 1 FROM calls WHERE key = ? AND error IS NULL LIMIT 1"
# Those at places that were not answered later.
_FAILED = f"""
    SELECT id, step, row, sample, turn, error, message, text, attempts FROM calls AS failed
    WHERE key = ? AND error IS NOT NULL AND retried IS NULL AND NOT EXISTS (
        SELECT 1 FROM calls AS later WHERE later.step = failed.step AND later.row = failed.row
            AND later.sample = failed.sample AND later.turn IS failed.turn AND later.key = failed.key
            AND later.error IS NULL)
    ORDER BY {ROW_ORDER}
"""
_EFFECTS = f"SELECT {EFFECT_COLUMNS} FROM effects WHERE key = ? ORDER BY {ROW_ORDER}"


class Replay:
    """The answers of a run directory, by key; read only, so a run may go on in it meanwhile.

    The answers to equal requests come in the order of the rows they were recorded for, and then
    again from the first. The effects of conversations are given from there, and never done.

    Raises:
        LedgerError: there is no ledger in the directory.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.folder = Path(run_dir)
        path = self.folder / FILE
        if not path.is_file():
            raise LedgerError(f"There is no ledger in {str(self.folder)!r} to replay.")
        try:
            self._reader = read_only(path)
        except sqlite3.Error as exc:
            raise LedgerError(f"The ledger in {str(self.folder)!r} cannot be read: {exc}.") from exc
        self._columns = ""
        self._served: defaultdict[bytes, int] = defaultdict(int)

    def backend(self, llm: Any, kind: ModelKind = "llm") -> Backend:
        """A backend that stands in for `llm`."""
        return _ReplayBackend(llm, self, kind)

    def answer(self, key: bytes, count: int) -> GenerationResponse | None:
        """The next `count` answers to the request with this key, or None where there is none."""
        try:
            columns = self._columns = self._columns or answer_columns(self._reader)
            query = f"SELECT {columns} FROM calls WHERE key = ? AND error IS NULL ORDER BY {ROW_ORDER}"
            blobs = Blobs(self.folder)
            answers = [stored_answer(record, blobs) for record in fetch_all(self._reader, query, (key,))]
        except DamagedCallError as exc:
            raise LedgerError(f"In the ledger in {str(self.folder)!r}, {exc}. Record the run again.") from exc
        except sqlite3.Error as exc:
            raise LedgerError(f"The ledger in {str(self.folder)!r} cannot be read: {exc}.") from exc
        if not answers:
            return None
        first = self._served[key]
        self._served[key] += count
        chosen = [answers[(first + place) % len(answers)] for place in range(count)]
        generations: list[Generation] = [answer.generation for answer in chosen]
        usage = sum((answer.usage for answer in chosen if answer.usage is not None), Usage())
        return GenerationResponse(generations=generations, usage=usage, model=chosen[0].model)

    def failure(self, turn: Turn) -> GenerationError | None:
        """The failure of a turn: at the same place, or where there is no answer with its key."""
        try:
            if not knows_turns(self._reader):
                return None
            failures = list(self._failures(turn.key))
            answered = self._reader.execute(_ANSWERED, (turn.key,)).fetchone() is not None
        except sqlite3.Error as exc:
            raise self._unreadable(exc) from exc
        place = (turn.id, turn.sample, turn.turn)
        here = [error for where, error in failures if where == place or not answered]
        return here[0] if here else None

    def _failures(self, key: bytes) -> Iterator[tuple[tuple[str, int, str | None], GenerationError]]:
        """The failures with a key that were not asked again, with their places; of one call, those that were mended."""
        for id, step, row, sample, turn, *failure in fetch_all(self._reader, _FAILED, (key,)):
            place = (row, sample, turn)
            if turn is not None or went_past(self._reader, step, place, call=id):
                yield place, rebuilt_error(*failure)

    def effect(self, wanted: StoredEffect) -> StoredEffect:
        """The effect with the same key: that at the same place, else the recorded ones in turn."""
        try:
            records = fetch_all(self._reader, _EFFECTS, (wanted.key,)) if knows_turns(self._reader) else []
        except sqlite3.Error as exc:
            raise self._unreadable(exc) from exc
        effects = [effect for effect in map(effect_in, records) if effect is not None]
        if not effects:
            raise LedgerError(
                f"The ledger in {str(self.folder)!r} has no result of `{wanted.name}` with these arguments "
                f"({(wanted.arguments or '')[:80]}), and in a replay nothing is done. Record the run again, or undo "
                "what changed them."
            )
        own = [each for each in effects if _place(each) == _place(wanted)]
        if own:
            return own[-1]
        self._served[wanted.key] += 1
        return effects[(self._served[wanted.key] - 1) % len(effects)]

    def _unreadable(self, exc: sqlite3.Error) -> LedgerError:
        return LedgerError(f"The ledger in {str(self.folder)!r} cannot be read: {exc}.")

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


def _place(effect: StoredEffect) -> tuple[str, int, str]:
    return effect.row, effect.sample, effect.turn


class _ReplayBackend(Backend):
    """Asks the ledger, never the model; a call that is not in it stops the run."""

    billed = False

    def __init__(self, llm: Any, replay: Replay, kind: ModelKind) -> None:
        self.kind = kind
        super().__init__(llm, portal())
        self._replay = replay
        # One at a time, so that equal requests are answered in the order of their rows; at no pace but its own.
        self.max_concurrency, self.rpm, self.tpm = 1, None, None
        self.online.serve(self)
        self.in_batches = False  # whatever its mode: a batch would be sent

    def _endpoint(self) -> str:
        return f"replay {id(self)}"  # the limits of the real one are left alone

    async def ask(self, requests: list[Request], tell: Tell = told_nobody) -> list[Result]:  # noqa: ARG002
        return [self._recorded(request) for request in requests]

    def _recorded(self, request: Request) -> Result:
        response = self._replay.answer(self.keyring.key(request), request.num_generations)
        if response is not None:
            return response
        last = str(request.asked[-1].get("content"))[:80] if request.asked else ""
        return LedgerError(
            f"The ledger in {str(self._replay.folder)!r} has no answer to this request (…{last!r}). "
            "Record the run again, or undo what changed the prompt, the model or its parameters."
        )


_current: ContextVar[Replay | None] = ContextVar("limbeck_replay", default=None)


def replaying() -> Replay | None:
    """The replay of this context, or None."""
    return _current.get()


def start_replay(replay: Replay) -> Any:
    """Replay in this context until the token that is returned is given to `end_replay`."""
    return _current.set(replay)


def end_replay(token: Any) -> None:
    """The counterpart of `start_replay`."""
    _current.reset(token)
