"""`kept.json`: the note of a run directory about its ledger, by which one that is gone, empty or another's is told."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from ...errors import LedgerError, LimbeckWarning

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

KEPT = "kept.json"
NOTE = "run.json"  # of a pipeline's run, which is written only where there is a ledger
IDENTITY_MIGRATION = """
    CREATE TABLE identity (id TEXT NOT NULL);
    INSERT INTO identity VALUES (lower(hex(randomblob(16))));
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """The note about a ledger.

    Attributes:
        ledger: its identity; None where there was none, or the user says so by the text `{}`.
        calls: how many it had at least. closed: whether the last run closed it, so that nothing is missing.
        log: the mark of the write-ahead log that was left beside it then; "" for none.
    """

    ledger: str | None = None
    calls: int = 0
    closed: bool = False
    log: str = ""


def read_kept(folder: Path) -> Kept:
    """The note in a run directory; of a directory without one, as much as its other files say."""
    path = folder / KEPT
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return Kept(**noted)
    except FileNotFoundError:
        return Kept("" if (folder / NOTE).is_file() else None)
    except (OSError, ValueError, TypeError):
        return Kept("")  # there was one


def write_kept(folder: Path, kept: Kept) -> None:
    """Note it. A note that cannot be written costs nothing but the warning that it is for."""
    path, whole = folder / KEPT, folder / f"{KEPT}.new"
    with suppress(OSError):
        whole.write_text(json.dumps(asdict(kept)) + "\n", encoding="utf-8")
        whole.replace(path)


def check_files(kept: Kept, ledger: Path) -> None:
    """Raise where a ledger that was there is not, or lies beside a log that is not its own.

    Raises:
        LedgerError: nothing was opened.
    """
    if kept.ledger is None:
        return
    if not ledger.is_file():
        raise _refusal(kept, ledger, "is gone")
    if not ledger.stat().st_size:
        raise _refusal(kept, ledger, "is empty")
    log = log_mark(ledger)
    if kept.closed and log and log != kept.log:
        raise LedgerError(
            f"`{ledger.name}-wal` in {str(ledger.parent)!r} is not the log of the ledger beside it, which was closed. "
            "Nothing was opened, and nothing was asked. Move it away."
        )


def check_contents(kept: Kept, ledger: Path, connection: sqlite3.Connection) -> Kept:
    """Compare an open ledger with the note of its directory, and return a new note.

    Raises:
        LedgerError: it is another, or an older copy. Where the last run was killed, a lack of calls is a warning.
    """
    (identity,) = connection.execute("SELECT id FROM identity").fetchone()
    calls = count_calls(connection)
    if kept.ledger and kept.ledger != identity:
        raise _refusal(kept, ledger, "is another one")
    if calls < kept.calls and kept.closed:
        raise _refusal(kept, ledger, f"has only {calls}: it is an older copy, or damaged")
    if calls < kept.calls:
        warnings.warn(
            f"The ledger in {str(ledger.parent)!r} has {calls} calls where {kept.calls} were noted before the last run "
            f"was cut off: after a power cut, or where `{ledger.name}-wal` was not copied with it. What is lacking is "
            "asked again.",
            LimbeckWarning,
            stacklevel=2,
        )
    return Kept(identity, calls)


def count_calls(connection: sqlite3.Connection) -> int:
    """The number of calls that were ever written."""
    latest: int | None = connection.execute("SELECT max(id) FROM calls").fetchone()[0]
    return latest or 0


def log_mark(ledger: Path) -> str:
    """The salt of the write-ahead log beside a ledger; "" where there is none."""
    try:
        with ledger.with_name(f"{ledger.name}-wal").open("rb") as log:
            return log.read(24)[16:].hex()
    except OSError:
        return ""


def closed(kept: Kept, ledger: Path) -> Kept:
    """The note of a ledger that has just been closed."""
    return replace(kept, closed=True, log=log_mark(ledger))


def _refusal(kept: Kept, ledger: Path, fault: str) -> LedgerError:
    had = f" with {kept.calls} calls" if kept.calls else ""
    return LedgerError(
        f"The run directory {str(ledger.parent)!r} has had a ledger{had}, and `{ledger.name}` there {fault}. Nothing "
        f"was asked. Put the right file back (with its `{ledger.name}-wal`, if there is one), or use another run "
        f"directory. To go on and buy its answers again, write {{}} into {str(ledger.parent / KEPT)!r}."
    )
