"""The ledger's records of provider batches: those about to be submitted, those submitted, and the entries to read."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...errors import LedgerError
from ...types import BatchIntent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...types import GenerationResponse
    from ..calls.jobs import Unit
    from ..calls.parties import Requester
    from .ledger import Ledger

Ending: TypeAlias = Literal["collected", "failed", "lost"]
"""The end of a batch: its results were read, it failed as a whole, or it never reached the provider."""

_OPEN = (
    "SELECT token, batch, requests, at FROM batches WHERE step = ? AND endpoint = ? AND ended_at IS NULL ORDER BY at"
)
_FORGET = "DELETE FROM batch_entries WHERE token = ?"  # what was answered says so itself
_END = "UPDATE batches SET status = ?, message = ?, ended_at = ? WHERE token = ?"
_UNREAD = (
    "SELECT number, row, samples, key, turn FROM batch_entries AS entry WHERE token = ? AND NOT EXISTS"
    " (SELECT 1 FROM calls WHERE batch = entry.token || '-' || entry.number) ORDER BY number"
)


@dataclass(slots=True, eq=False)
class Entry:
    """One request of a batch.

    Attributes:
        row, samples, key, turn: what it asks for. unit: who waits for it; None while no row has come that it is for.
        response: its answer, where that has come before its row. latency: seconds that it took.
    """

    row: str
    samples: Sequence[int]
    key: bytes
    turn: str | None = None
    unit: Unit | None = None
    response: GenerationResponse | None = None
    latency: float = 0.0


@dataclass(slots=True, eq=False)
class Batch:
    """A batch on its way to the provider, there, or on its way back.

    Attributes:
        token: its mark, known before its `id`. entries: those still to be read, by custom id.
        lines: the encoded entries, until they are submitted.
        requests, size: how many entries it had at first, and their bytes. at: Unix time of the intent.
    """

    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    id: str | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    requests: int = 0
    size: int = 0
    at: float = 0.0

    def next_id(self) -> str:
        """The custom id of the next entry."""
        return f"{self.token}-{self.requests}"

    def add(self, unit: Unit, line: bytes) -> None:
        """Take in a request that is encoded under `next_id`."""
        self.entries[self.next_id()] = Entry(unit.job.id, tuple(unit.samples), unit.job.key, unit.job.turn, unit)
        self.lines.append(line)
        self.size += len(line) + 1
        self.requests += 1


class BatchRecords:
    """The batches of one step at one server, in its ledger."""

    def __init__(self, ledger: Ledger, step: str, endpoint: str) -> None:
        self._ledger = ledger
        self._step = step
        self._endpoint = endpoint

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self._ledger.folder

    def open_batches(self) -> list[Batch]:
        """The batches that an earlier run left, each with the entries whose answers are not in the ledger."""
        return [
            Batch(token, id, self._unread(token), requests=requests, at=at)
            for token, id, requests, at in self._find(_OPEN, self._step, self._endpoint)
        ]

    def open_ids(self) -> list[str]:
        """The ids of those batches, or their tokens where the provider has given no id."""
        found = self._find(_OPEN, self._step, self._endpoint)
        return [id or f"{token} (not known to have been accepted)" for token, id, _, _ in found]

    def _find(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        try:
            return self._ledger.reader.execute(query, values).fetchall()
        except sqlite3.Error as exc:
            raise self._ledger.unreadable(exc) from exc

    def _unread(self, token: str) -> dict[str, Entry]:
        return {
            f"{token}-{number}": Entry(row, tuple(json.loads(samples)), key, turn)
            for number, row, samples, key, turn in self._find(_UNREAD, token)
        }

    def intent(self, batch: Batch) -> BatchIntent:
        """The facts by which the provider can find `batch`."""
        known = self._find("SELECT batch FROM batches WHERE batch IS NOT NULL AND token <> ?", batch.token)
        return BatchIntent(
            token=batch.token, requests=batch.requests, at=batch.at, known=frozenset(id for (id,) in known)
        )

    async def intend(self, batch: Batch) -> None:
        """Note that `batch` is about to be submitted; on disk when this returns."""
        batch.at = time.time()
        entries = [
            (batch.token, number, entry.row, json.dumps(list(entry.samples)), entry.key, entry.turn)
            for number, entry in enumerate(batch.entries.values())
        ]
        self._ledger.submit("INSERT INTO batch_entries VALUES (?, ?, ?, ?, ?, ?)", entries)
        await self._write(
            "INSERT INTO batches VALUES (?, ?, ?, NULL, 'intended', ?, NULL, ?, NULL)",
            (batch.token, self._step, self._endpoint, batch.requests, batch.at),
        )

    async def submitted(self, batch: Batch) -> None:
        """Note the id that the provider gave; on disk when this returns."""
        statement = "UPDATE batches SET batch = ?, status = 'submitted' WHERE token = ?"
        await self._write(statement, (batch.id, batch.token))

    async def ended(self, batch: Batch, ending: Ending, message: str | None = None) -> None:
        """Note that there is nothing to be read of `batch` any more; on disk when this returns."""
        await self._write(_END, (ending, message, time.time(), batch.token))
        self._ledger.submit(_FORGET, [(batch.token,)])

    def read_already(self, batch: Batch) -> None:
        """Note that all answers of `batch` were in the ledger before."""
        self._ledger.submit(_END, [("collected", None, time.time(), batch.token)])
        self._ledger.submit(_FORGET, [(batch.token,)])

    async def _write(self, statement: str, record: tuple[object, ...]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ledger.submit(statement, [record], done)
        await done


def records_of(stream: Requester) -> BatchRecords | None:
    """The batches of a stream at its backend's server; None where its answers are kept in no ledger that has them."""
    batches = getattr(stream.ledger, "batches", None)
    if batches is None:
        return None
    records: BatchRecords = batches(stream.backend.endpoint)
    return records


def refusal_of_online(stream: Requester) -> LedgerError | None:
    """The error where an earlier run left batches open, whose entries `stream` would buy twice by asking one by one."""
    records = records_of(stream)
    if records is None or not stream.asks:
        return None
    try:
        left = records.open_ids()
    except LedgerError as exc:
        return exc
    if not left:
        return None
    return LedgerError(
        f"Step {stream.info.task!r} has provider batches in {str(records.folder)!r} that are not read yet: "
        f"{', '.join(map(repr, left))}. "
        'Run with `mode="batch"` on the LLM to pick them up (and `batch_fallback="online"` for what they leave '
        "unanswered). To give them up, cancel them (`limbeck cancel <run directory>`, or at the provider), then "
        "run so once: it reads what was answered."
    )
