"""Results of plain steps in the ledger: for what costs more to make again than to read back."""

from __future__ import annotations

import json
import time
import warnings
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ..._media.parts import holds_media
from ...errors import LimbeckWarning, RowError
from ..calls.keys import canonical
from .file import UNREADABLE
from .stored_calls import checksum, fetch_all

if TYPE_CHECKING:
    from ...types import Row
    from .ledger import Ledger

_INSERT = "INSERT OR REPLACE INTO results (step, key, row, output, at, digest) VALUES (?, ?, ?, ?, ?, ?)"
_OWN = "SELECT output, digest, row FROM results WHERE step = ? AND key = ? AND row = ?"
_ANY = "SELECT output, digest, row FROM results WHERE step = ? AND key = ? LIMIT 1"


class StepResults:
    """The results of a plain step, by a key of the step's version, its configuration and the row.

    A result that JSON would change (a tuple, a date), and that of a row that JSON cannot hold,
    is not kept: it is made again.

    Args:
        name: the step's. identity: what, beside the row, decides the result.
    """

    def __init__(self, ledger: Ledger, name: str, identity: dict[str, Any]) -> None:
        self._ledger = ledger
        self._name = name
        self._prefix = blake2b(canonical(identity), digest_size=16)

    def find(self, id: str, row: Row) -> list[Row] | None:
        """The rows that came of `row`: under its own id, or, where it has moved, of an equal one.

        Raises:
            LedgerError: the file cannot be read.
        """
        key = self._key(row)
        if key is None:
            return None
        reader = self._ledger.reader
        try:
            found = fetch_all(reader, _OWN, (self._name, key, id)) or fetch_all(reader, _ANY, (self._name, key))
        except UNREADABLE as exc:
            raise self._ledger.unreadable(exc) from exc
        return self._intact(key, *found[0]) if found else None

    def _intact(self, key: bytes, output: str, digest: int | None, row: str) -> list[Row] | None:
        """The rows of a stored result; None where it is damaged, which is told."""
        if digest is None or digest == checksum(key, self._name, row, output):
            with suppress(ValueError):
                rows: list[Row] = json.loads(output)
                return rows
        warnings.warn(
            f"The stored result of row {row} at step {self._name!r} in {str(self._ledger.folder)!r} is damaged. It is "
            "made again; look after the disk.",
            LimbeckWarning,
            stacklevel=2,
        )
        return None

    def keep(self, id: str, row: Row, made: list[Row]) -> None:
        """Hand a result to the writer; nobody waits for it."""
        key = self._key(row)
        if key is None:
            return
        try:
            text = json.dumps(made)
            exact = json.loads(text) == made and not holds_media(made)
        except (TypeError, ValueError, RecursionError):
            return
        if exact:
            self._ledger.submit(
                _INSERT, [(self._name, key, id, text, time.time(), checksum(key, self._name, id, text))]
            )

    def _key(self, row: Row) -> bytes | None:
        digest = self._prefix.copy()
        try:
            digest.update(canonical(row))
        except RowError:
            return None
        return digest.digest()


def results_of(ledger: Ledger, step: Any) -> StepResults:
    """The stored results of a step; a new version of it, or another configuration, finds none of the old."""
    cls = type(step)
    dump = getattr(step, "model_dump", None)
    identity = {
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "version": str(getattr(step, "version", "1")),
        "config": dump(mode="json", fallback=str, exclude={"name", "on_error"}) if dump is not None else {},
    }
    return StepResults(ledger, step.name, identity)
