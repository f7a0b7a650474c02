"""The state of the run in a directory: one word for it, whoever asks. The directory is only read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..._engine.ledger import kept
from ..._engine.ledger.file import reader_of
from ...errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

State: TypeAlias = Literal["running", "finished", "stopped", "unfinished"]
"""How a run stands. "running": a process holds the directory. "stopped": it ended early, and says why.
"unfinished": nobody runs it, and it did not come to its end."""

NOTE = kept.NOTE
REPORT = "report.json"
_SLACK_SECONDS = 2.0  # a report tells its beginning to the second


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run.

    Attributes:
        state: in a word. error: what stopped it, or None.
        reported: whether `report.json` says so: it is of the run's end, and nothing came after it.
        rows, failed: rows given and failed of a task's own run that ended, which has no report; else None.
    """

    state: State
    error: str | None = None
    reported: bool = False
    rows: int | None = None
    failed: int | None = None


def state_of(folder: Path) -> RunState:
    """Read the state of the run in a directory; "unfinished" too where nothing of it can be read."""
    if is_held(folder):
        return RunState("running")
    report = document_in(folder / REPORT)
    error, finished = report.get("error"), report.get("finished") is True
    if (finished or error) and not _went_on_after(report, folder):
        return RunState("finished" if finished else "stopped", str(error) if error else None, reported=True)
    if report or (folder / NOTE).is_file():  # a pipeline's, which says in its report that it has ended
        return RunState("unfinished")
    return _of_tasks(folder)


def is_held(folder: Path) -> bool:
    """Tell whether a process runs in the directory: it holds the lock, which ends with the process."""
    lock = folder / "lock.sqlite"
    if not lock.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{lock.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            connection.execute("SELECT * FROM sqlite_master").fetchall()
    except sqlite3.Error as exc:
        return "locked" in str(exc)
    return False


def ended_at(report: Mapping[str, Any]) -> float | None:
    """The time when a report was written, in seconds since 1970; None where it does not say so."""
    try:
        return datetime.fromisoformat(report["started"]).timestamp() + float(report.get("seconds") or 0.0)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def document_in(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; nothing where there is no such file, or it is being written."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def queried(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """Query a run's ledger; nothing where it cannot be read."""
    try:
        with reader_of(folder) as reader:
            return reader.execute(query).fetchall()
    except LedgerError:
        return []


def _went_on_after(report: Mapping[str, Any], folder: Path) -> bool:
    """Tell whether the ledger has calls that are later than the report."""
    ended, last = ended_at(report), queried(folder, "SELECT at FROM calls ORDER BY id DESC LIMIT 1")
    return ended is not None and bool(last) and last[0][0] > ended + _SLACK_SECONDS


def _of_tasks(folder: Path) -> RunState:
    """The ends of tasks' own runs, which have no report: how each step ended, the one that ended last at the end."""
    steps = queried(folder, "SELECT error, rows_open, rows_out, rows_failed FROM yields")
    errors = [error for error, *_ in steps if error is not None]
    left_open = any(rows for _, rows, *_ in steps)
    if not steps or "Unfinished" in errors or (left_open and not errors):
        return RunState("unfinished")
    failed = sum(count for *_, count in steps)
    error = errors[-1] if errors else None
    return RunState("stopped" if errors else "finished", error, rows=steps[-1][2], failed=failed)
