"""One step's part of the ledger: its stored answers, the calls that it adds, and their cost."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import warnings
from contextlib import closing
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ..._media.inline import taken_out
from ..._media.parts import media_in
from ...errors import LimbeckWarning
from ...types import Usage
from ..calls.changes import config_text
from .batch_records import BatchRecords
from .file import INDEXES, UNREADABLE
from .makers import Maker, Makers, stored_makers
from .stored_calls import (
    ANSWER_COLUMNS,
    ANSWER_WIDTH,
    INSERT_CALL,
    ROW_ORDER,
    TOKENS,
    DamagedCallError,
    StoredCall,
    answer_records,
    failure_records,
    fetch_all,
    holds_files,
    request_text,
    stored_answer,
)
from .turns import StoredTurns
from .views import CLOSE_RUN, INSERT_FAILURES, INSERT_RUN, OPEN_RUN, SPENT, UNPRICED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from ...errors import GenerationError
    from ...types import FailedCall, PaidAnswer, Request, RunStats, StoredAnswer, StoredEffect
    from .ledger import Ledger


class _Commit(asyncio.Future[None]):
    """An answer on its way to the disk, which goes on though whoever waits for it is cancelled."""

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002 - as in the base class
        return False


class StepLedger:
    """One step's calls, for the duration of one run. Used on the portal's loop.

    Only what was there when the run began is given out: what it buys itself answers one row each.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = name
        self._makers: Makers | None = None
        self._stored_makers: dict[str, dict[int | None, Maker]] = {}
        self._passing = False  # whether a row has taken another's answer yet
        reader = ledger.reader
        self._resuming = reader.execute("SELECT 1 FROM calls WHERE step = ? LIMIT 1", (name,)).fetchone() is not None
        self._last = reader.execute("SELECT max(id) FROM calls").fetchone()[0]
        self._turns = StoredTurns(
            ledger,
            name,
            self._last or 0,
            intact=self._intact,
            claim=self._claim,
            moved=lambda key: list(self._moved(key, 1)),
        )
        self._noted = False  # whether the directory says that a run is at work, or that it has ended
        for table in ("claimed", "passed"):  # an earlier run of the step may have left its own
            reader.execute(f"DELETE FROM {table} WHERE step = ?", (name,))
        if self._resuming:
            for index in INDEXES:
                ledger.submit(index)
            ledger.flush()

    def find(self, row: str, key: bytes, samples: int) -> list[StoredAnswer | None]:
        """The stored answer to each sample of a row whose request has `key`; what it returns is claimed.

        An answer of the row itself comes first, else an unclaimed one with the same key, in row order:
        the row may have moved. Equal prompts in different rows stay different samples.

        Raises:
            LedgerError: the file cannot be read.
        """
        found: list[StoredAnswer | None] = [None] * samples
        if not self._resuming:
            return found
        try:
            of_the_key = self._find_own(row, key, found)
            while of_the_key and None in found:
                moved = list(self._moved(key, found.count(None)))
                for answer in filter(None, moved):
                    found[found.index(None)] = answer
                of_the_key = bool(moved)
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc
        return found

    def _find_own(self, row: str, key: bytes, found: list[StoredAnswer | None]) -> bool:
        """Fill in the answers of the row itself; whether there are any with its key.

        Both in one query: it is made for every row, and each lets go of the interpreter.
        """
        parameters = (self._name, row, self._last, self._name, key, self._last)
        *own, mark = fetch_all(self._ledger.reader, _OWN_AND_MARK, parameters)
        for record in sorted(own, key=itemgetter(0), reverse=True):  # the latest first
            if None not in found:
                break
            answer, sample = self._intact(record), record[1]
            if answer is None:
                self._claim(record[0])  # no row that has moved comes upon it again
            elif record[2] == key and sample < len(found) and found[sample] is None and self._claim(record[0]):
                found[sample] = answer
        return bool(mark[0])

    def _intact(self, record: tuple[Any, ...]) -> StoredAnswer | None:
        """The answer in a record of `ANSWER_COLUMNS`; None where it is damaged, which is told."""
        try:
            return stored_answer(record, self._ledger.blobs)
        except DamagedCallError as exc:
            self._tell_damage(exc)
            return None

    def _tell_damage(self, damage: DamagedCallError) -> None:
        warnings.warn(
            f"The stored answer to row {damage.row} of step {self._name!r} in {str(self._ledger.folder)!r} is not "
            f"used, and the row is asked again: {damage}. Look after the disk.",
            LimbeckWarning,
            stacklevel=2,
        )

    def _moved(self, key: bytes, wanted: int) -> Iterator[StoredAnswer | None]:
        """At most `wanted` answers with this key that no row has claimed, in row order; None for one that is damaged.

        An answer that was passed, here or before, is claimed: each is looked at once, however many
        rows have the same prompt.
        """
        ids = []
        last = None
        with closing(self._after_passed(key)) as rest:
            for last in rest:
                if self._claim(last[2]):
                    ids.append(last[2])
                    if len(ids) == wanted:
                        break
        if last is not None:
            self._passing = True
            self._ledger.reader.execute(
                "INSERT OR REPLACE INTO passed VALUES (?, ?, ?, ?, ?)", (self._name, key, *last)
            )
        for id in ids:
            answer = f"SELECT {ANSWER_COLUMNS} FROM calls WHERE id = ?"
            yield self._intact(fetch_all(self._ledger.reader, answer, (id,))[0])

    def _after_passed(self, key: bytes) -> Generator[tuple[int, int, int], None, None]:
        """Row number, sample and id of each answer with this key behind those that were passed, in row order."""
        reader, step = self._ledger.reader, self._name
        passed = None
        if self._passing:
            select = "SELECT place, sample, id FROM passed WHERE step = ? AND key = ?"
            passed = reader.execute(select, (step, key)).fetchone()
        place, sample, id = passed or (_BEFORE_ALL, 0, 0)
        common = (step, key, self._last, place)
        if passed is not None:
            yield from reader.execute(_LATER_CALLS, (*common, sample, id))
            yield from reader.execute(_LATER_SAMPLES, (*common, sample))
        yield from reader.execute(_LATER_ROWS, common)

    def _claim(self, call: int) -> bool:
        claim = "INSERT OR IGNORE INTO claimed VALUES (?, ?) RETURNING 1"  # a count of changes is the connection's
        return self._ledger.reader.execute(claim, (self._name, call)).fetchone() is not None

    def keep(self, answer: PaidAnswer) -> asyncio.Future[None]:
        """Hand an answer to the writer; the future is done when it is on disk, or failed with the `LedgerError`."""
        return self.keep_all([answer])

    def keep_all(self, answers: Sequence[PaidAnswer]) -> asyncio.Future[None]:
        """As `keep`, for answers that came together."""
        self._note_start()
        done = _Commit(loop=asyncio.get_running_loop())
        at, blobs = time.time(), self._ledger.blobs
        makers = [
            partial(
                answer_records, self._name, answer, **self._asked(answer.request, answer.identity), at=at, blobs=blobs
            )
            for answer in answers
        ]
        if any(holds_files(answer.response) for answer in answers):  # which the writer's thread writes
            self._ledger.submit(INSERT_CALL, lambda: [record for make in makers for record in make()], done)
        else:
            self._ledger.submit(INSERT_CALL, [record for make in makers for record in make()], done)
        return done

    def find_turn(self, row: str, sample: int, turn: str | None, key: bytes) -> StoredAnswer | GenerationError | None:
        """The stored answer to a turn of a row's conversation, or the failure that it went past; None for neither.

        Raises:
            LedgerError: the file cannot be read.
        """
        if not self._resuming:
            return None
        try:
            return self._turns.answer(row, sample, turn, key)
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc

    def failed_turn(self, row: str, sample: int, turn: str | None, key: bytes) -> GenerationError | None:
        """The stored failure of a turn, whether its conversation went past it or ended there; None for none.

        Raises:
            LedgerError: the file cannot be read.
        """
        try:
            return self._turns.failure(row, sample, turn, key, past=False)
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc

    def failed_effect(self, row: str, sample: int, turn: str, key: bytes) -> StoredEffect | None:
        """The stored effect of a turn, which failed, as `failed_turn`.

        Raises:
            LedgerError: the file cannot be read.
        """
        try:
            return self._turns.failed_effect(row, sample, turn, key)
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc

    def tell_difference(self, row: str, sample: int, turn: str) -> None:
        """Warn where a conversation that followed what is stored asks something else at a turn.

        Raises:
            LedgerError: the file cannot be read.
        """
        if not self._resuming:
            return
        try:
            self._turns.tell_difference(row, sample, turn)
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc

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

        Raises:
            LedgerError: the file cannot be read.
        """
        try:
            return self._turns.went_past(place, call=call, effect=effect, step=step)
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc

    def effects_of(self, row: str, *, step: str | None = None) -> list[tuple[int, StoredEffect]]:
        """Every effect of a row that was there when the run began, with its id, the latest first; as `history`.

        Raises:
            LedgerError: the file cannot be read.
        """
        try:
            return self._turns.effects_of(row, step or self._name)
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc

    def find_effect(self, row: str, sample: int, turn: str, key: bytes) -> StoredEffect | None:
        """The stored effect of a turn; None for none.

        Raises:
            LedgerError: the file cannot be read.
        """
        try:
            return self._turns.effect(row, sample, turn, key)
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc

    def keep_effect(self, effect: StoredEffect) -> asyncio.Future[None]:
        """Hand an effect to the writer; as `keep`."""
        self._note_start()
        return self._turns.keep_effect(effect)

    def keep_failure(self, failure: FailedCall) -> None:
        """Hand a call that brought no answer to the writer; nobody waits for it."""
        self._note_start()
        asked = self._asked(failure.request, failure.identity)
        self._ledger.submit(INSERT_CALL, failure_records(self._name, failure, **asked, at=time.time()))

    def _asked(self, request: Request | None, identity: Mapping[str, Any] | None) -> dict[str, Any]:
        """A request's text, where prompts are stored (`body`), and what its answers are made by (`maker`)."""
        if request is None:
            return {"body": None, "maker": None}
        body = self._stored(request) if self._ledger.stores_requests else None
        return {"body": body, "maker": None if self._makers is None else self._makers.id_of(request, identity)}

    def _stored(self, request: Request) -> str:
        """A request's text, whose images and the like are kept beside the ledger."""
        messages, contents = taken_out(request.asked)
        for content, media_type in contents:
            self._ledger.keep_bytes(content, media_type)
        for part in media_in(messages):
            self._ledger.keep_content(part)
        return request_text(request, messages)

    def batches(self, endpoint: str) -> BatchRecords:
        """The step's provider batches at one server."""
        return BatchRecords(self._ledger, self._name, endpoint)

    # Money and lineage

    @property
    def resuming(self) -> bool:
        """True where the step had calls when the run began."""
        return self._resuming

    def history(self, row: str, *, step: str | None = None) -> list[StoredCall]:
        """Every call of a row that was there when the run began, the latest first; of another step, where one is named.

        Those that are damaged are left out, which is told.

        Raises:
            LedgerError: the file cannot be read.
        """
        select = (
            f"SELECT {ANSWER_COLUMNS}, error, message, maker FROM calls"
            " WHERE step = ? AND row = ? AND id <= ? ORDER BY id DESC"
        )
        try:
            calls = [
                StoredCall(*record)
                for record in fetch_all(self._ledger.reader, select, (step or self._name, row, self._last))
            ]
        except sqlite3.Error as exc:
            raise self._ledger.unreadable(exc) from exc
        return [call for call in calls if self._intact(call.answer) is not None]

    def answer_of(self, call: StoredCall) -> StoredAnswer:
        """The answer of a call of the history.

        Raises:
            LedgerError: it is damaged.
        """
        try:
            return stored_answer(call.answer, self._ledger.blobs)
        except sqlite3.Error as exc:
            raise self._ledger.unreadable(exc) from exc

    def makers(self, *, step: str | None = None) -> dict[int | None, Maker]:
        """The makers of the step's answers when they were first asked for, by id; or another step's."""
        name = step or self._name
        if name not in self._stored_makers:
            try:
                self._stored_makers[name] = stored_makers(self._ledger.reader, name)
            except UNREADABLE as exc:
                raise self._ledger.unreadable(exc) from exc
        return self._stored_makers[name]

    def identify(self, identity: dict[str, Any], config: Mapping[str, Any]) -> None:
        """Say who answers, and with which configuration, so that each answer's maker is noted."""
        ledger, text = self._ledger, config_text(config)
        try:
            self._makers = Makers(ledger.reader, ledger.submit, step=self._name, identity=identity, config=text)
        except sqlite3.Error as exc:
            raise ledger.unreadable(exc) from exc

    def spent(self, price: Callable[[Usage], float | None]) -> tuple[float, int, int]:
        """Dollars, tokens and requests that earlier runs of the step spent; `price` is for answers that have none."""
        reader = self._ledger.reader
        try:
            cost, tokens, requests = reader.execute(SPENT, (self._name,)).fetchone()
            for record in reader.execute(UNPRICED, (self._name,)):
                cost += price(Usage(**dict(zip(TOKENS, record, strict=True)))) or 0.0
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc
        return cost, int(tokens), requests

    def _note_start(self) -> None:
        """Note that a run is at work, with its first call."""
        if not self._noted:
            self._noted = True
            self._ledger.submit(OPEN_RUN, [(self._name, self._last or 0)])

    def note_run(self, stats: RunStats, started: float, error: BaseException | None) -> None:
        """Keep a run's counters, at its end. Calls that come after it open no other."""
        self._noted = True
        counts = (stats.rows_in, stats.rows_done, stats.rows_out, stats.rows_failed)
        sent = (stats.requests, stats.reused, stats.retries, stats.rate_limited)
        mended = (stats.repaired, stats.repair_calls, stats.fell_back, stats.fallback_calls)
        why = None if error is None else type(error).__name__
        self._ledger.submit(INSERT_RUN, [(self._name, started, time.time(), *counts, *sent, why, *mended)])
        failures = [(self._name, started, name, count) for name, count in stats.failures.items()]
        self._ledger.submit(INSERT_FAILURES, failures)
        self._ledger.submit(CLOSE_RUN, [(self._name,)])

    def close(self) -> None:
        """The run of the step is over.

        Raises:
            LedgerError: what it wrote cannot be found again.
        """
        self._ledger.release(self._name)
        self._ledger.check_there()


# What is stored for a row, and last whether anything is stored under its key.
_OWN_AND_MARK = f"""
    SELECT {ANSWER_COLUMNS} FROM calls WHERE step = ? AND row = ? AND id <= ? AND error IS NULL
    UNION ALL
    SELECT EXISTS (SELECT 1 FROM calls WHERE step = ? AND key = ? AND id <= ? AND error IS NULL)
        {", NULL" * (ANSWER_WIDTH - 1)}
"""
# The answers with one key behind a place, a sample and an id, in row order: three stretches of the index, none sorted.
_BEFORE_ALL = -(2**63)
_OF_KEY = (
    "SELECT CAST(row AS INTEGER), sample, id FROM calls"
    " WHERE step = ? AND key = ? AND error IS NULL AND id <= ? AND CAST(row AS INTEGER)"
)
_LATER_CALLS = f"{_OF_KEY} = ? AND sample = ? AND id > ? ORDER BY id"
_LATER_SAMPLES = f"{_OF_KEY} = ? AND sample > ? ORDER BY sample, id"
_LATER_ROWS = f"{_OF_KEY} > ? ORDER BY {ROW_ORDER}"
