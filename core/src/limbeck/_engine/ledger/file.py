"""The ledger's file: its schema, which versions bring forward, and who may open it."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import LedgerError
from .kept import IDENTITY_MIGRATION
from .stored_calls import DIGEST_MIGRATION, VALUE_MIGRATION
from .views import FAILURES_MIGRATION, MENDING_MIGRATION, MIGRATION, YIELDS_MIGRATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...types import Durability

FILE = "ledger.sqlite"
FAILED_FILE = "failed.jsonl"
_APPLICATION_ID = 0x4C4D424B  # "LMBK"

# One script a version; a file of an older version gets those it lacks.
MIGRATIONS = (
    """
    CREATE TABLE steps (name TEXT PRIMARY KEY, config TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        step TEXT NOT NULL,
        row TEXT NOT NULL,
        sample INTEGER NOT NULL,
        key BLOB NOT NULL,
        text TEXT,
        finish_reason TEXT,
        detail TEXT,
        request TEXT,
        model TEXT,
        input_tokens INTEGER,
        output_tokens INTEGER,
        cached_tokens INTEGER,
        reasoning_tokens INTEGER,
        latency REAL,
        attempts INTEGER NOT NULL,
        error TEXT,
        message TEXT,
        at REAL NOT NULL
    );
    """,
    """
    CREATE VIEW answers AS SELECT * FROM calls WHERE error IS NULL;
    CREATE VIEW failures AS
        SELECT id, step, row, sample, error, message, attempts, at FROM calls WHERE error IS NOT NULL;
    """,
    # `answers_by_key` takes its place, which also has the order in which moved rows take answers.
    "DROP INDEX IF EXISTS calls_by_key;",
    """
    CREATE TABLE results (
        step TEXT NOT NULL,
        key BLOB NOT NULL,
        row TEXT NOT NULL,
        output TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (step, key, row)
    ) WITHOUT ROWID;
    """,
    # `calls.batch` is the entry of a provider batch that answered, "<token>-<number>". An entry with no such call
    # is still to be read, which is how a run that was killed while it read the results goes on.
    """
    ALTER TABLE calls ADD COLUMN batch TEXT;
    CREATE INDEX calls_by_batch ON calls (batch) WHERE batch IS NOT NULL;
    CREATE TABLE batches (
        token TEXT PRIMARY KEY,
        step TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        batch TEXT,
        status TEXT NOT NULL,
        requests INTEGER NOT NULL,
        message TEXT,
        at REAL NOT NULL,
        ended_at REAL
    ) WITHOUT ROWID;
    CREATE TABLE batch_entries (
        token TEXT NOT NULL,
        number INTEGER NOT NULL,
        row TEXT NOT NULL,
        samples TEXT NOT NULL,
        key BLOB NOT NULL,
        PRIMARY KEY (token, number)
    ) WITHOUT ROWID;
    """,
    MIGRATION,
    FAILURES_MIGRATION,
    YIELDS_MIGRATION,
    DIGEST_MIGRATION,
    IDENTITY_MIGRATION,
    # `calls.turn` is the place in the row's conversation; null for the one call about it. Effects are done in those.
    """
    ALTER TABLE calls ADD COLUMN turn TEXT;
    ALTER TABLE batch_entries ADD COLUMN turn TEXT;
    CREATE TABLE effects (
        id INTEGER PRIMARY KEY,
        step TEXT NOT NULL,
        row TEXT NOT NULL,
        sample INTEGER NOT NULL,
        turn TEXT NOT NULL,
        key BLOB NOT NULL,
        name TEXT NOT NULL,
        arguments TEXT,
        result TEXT,
        error TEXT,
        seconds REAL,
        at REAL NOT NULL,
        digest INTEGER
    );
    CREATE INDEX effects_by_row ON effects (step, row, sample);
    CREATE INDEX effects_by_key ON effects (step, key);
""",
    MENDING_MIGRATION,
    VALUE_MIGRATION,
)

# Made when a ledger that holds calls is opened again: a first run only appends.
INDEXES = (
    "CREATE INDEX IF NOT EXISTS calls_by_row ON calls (step, row, sample)",
    """
    CREATE INDEX IF NOT EXISTS answers_by_key ON calls (step, key, CAST(row AS INTEGER), sample, id)
        WHERE error IS NULL
    """,
)

# What this run has taken, so that nothing is taken twice, and how far it has come among the answers with one key.
CLAIMS = """
    CREATE TEMP TABLE claimed (step TEXT, id INTEGER, PRIMARY KEY (step, id)) WITHOUT ROWID;
    CREATE TEMP TABLE passed (
        step TEXT, key BLOB, place INTEGER, sample INTEGER, id INTEGER, PRIMARY KEY (step, key)
    ) WITHOUT ROWID;
"""


# What a look-up raises: SQLite, and what comes of values that it reads from a damaged file without noticing.
UNREADABLE = (sqlite3.Error, ValueError, TypeError)


def remedy(cause: Exception) -> str:
    """The remedy for an error of SQLite."""
    if isinstance(cause, sqlite3.OperationalError) and "locked" in str(cause):
        return "another program holds it: end that"
    if "malformed" in str(cause) or "damaged" in str(cause) or not isinstance(cause, sqlite3.Error):
        return f"it is damaged: `sqlite3 {FILE} .recover` reads what is left of it into a new file"
    return "free some space, say"


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as exc:
        raise LedgerError(f"The run directory {str(folder)!r} is a file. It was left as it is; name another.") from exc
    except OSError as exc:
        raise LedgerError(f"The run directory {str(folder)!r} cannot be made: {exc}. Name another.") from exc


def mark_of(path: Path) -> tuple[int, int] | None:
    """The identity of the file at `path`; None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def lock_folder(folder: Path) -> sqlite3.Connection:
    """A lock that ends with the process, however it ends: an open transaction on a file of its own."""
    lock = connect(folder / "lock.sqlite", timeout=0)
    try:
        lock.execute("PRAGMA journal_mode = MEMORY")
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as exc:
        lock.close()
        raise LedgerError(
            f"Another process is running in {str(folder)!r} (or its lock cannot be taken: {exc}). "
            "Wait for it, or use another run directory. Its ledger can be read meanwhile."
        ) from exc
    return lock


def connect(path: Path, *, timeout: float = 5.0) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as exc:
        raise LedgerError(f"{str(path)!r} cannot be opened: {exc}. May this user write there?") from exc


def read_only(path: Path) -> sqlite3.Connection:
    """A connection to a ledger for who only looks: while a run goes on, or where nothing may be written."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # A reader has a file of its own beside the ledger; where it can have none, nobody writes either.
        return sqlite3.connect(f"{uri}&immutable=1", uri=True, check_same_thread=False)
    except sqlite3.Error:
        pass  # it is no ledger: the first look-up says so
    return connection


@contextmanager
def reader_of(run_dir: str | Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a run directory, for who only looks.

    Raises:
        LedgerError: there is none, or it cannot be read.
    """
    path = Path(run_dir) / FILE
    if not path.is_file():
        raise LedgerError(f"There is no ledger in {str(run_dir)!r}.")
    try:
        with closing(read_only(path)) as reader:
            yield reader
    except sqlite3.Error as exc:
        raise LedgerError(f"The ledger in {str(run_dir)!r} cannot be read: {exc}.") from exc


def open_file(path: Path, durability: Durability) -> sqlite3.Connection:
    connection = connect(path)
    try:
        _check_pages(connection, path)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        _refuse_foreign(connection, path, version)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")
    except UNREADABLE as exc:
        connection.close()
        raise LedgerError(
            f"{str(path)!r} cannot be opened as a ledger: {exc}. It was left as it is; use another run directory."
        ) from exc
    except LedgerError:
        connection.close()
        raise
    return connection


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Look at the pages where a process was killed: the log that it left may have come to be beside another file."""
    log = path.with_name(f"{path.name}-wal")
    if not log.is_file() or not log.stat().st_size:
        return
    fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        raise sqlite3.DatabaseError(f"it is damaged, or its `{log.name}` is another file's ({fault.strip()})")


def _refuse_foreign(connection: sqlite3.Connection, path: Path, version: int) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if tables and application != _APPLICATION_ID:
        raise LedgerError(f"{str(path)!r} is a database of another program. It was left as it is; use another folder.")
    if version < 0:
        raise LedgerError(f"{str(path)!r} is damaged. It was left as it is; use another folder.")
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{str(path)!r} was written by a newer Limbeck (format {version}; this one knows up to {len(MIGRATIONS)}). "
            "Upgrade limbeck-core."
        )
