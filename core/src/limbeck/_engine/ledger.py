"""The ledger: every paid answer on disk before anything is made of it.

One SQLite file (WAL) in a run directory, one writer thread, small group commits. A call is
one sample of one row of one step; its key says whether the stored answer still holds.

The look-up indexes are made when a ledger that holds calls is opened again: a first run only
appends.
"""

from __future__ import annotations

import json
import queue
import sqlite3
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import LedgerError, LimbeckWarning
from ..types import Generation, Usage

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from ..errors import GenerationError
    from ..types import GenerationRequest, GenerationResponse

Durability: TypeAlias = Literal["normal", "full"]
"""What a power cut may cost: the last group commit ("normal"), or nothing ("full"). A kill costs neither."""

StoredRequests: TypeAlias = Literal["full", "hash"]
"""Whether prompts are stored, or only the digest that identifies them."""

FILE = "ledger.sqlite"
FAILED_FILE = "failed.jsonl"
_APPLICATION_ID = 0x4C4D424B  # "LMBK"
_GROUP = 2048

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
)

_INDEXES = (
    "CREATE INDEX IF NOT EXISTS calls_by_row ON calls (step, row, sample)",
    "CREATE INDEX IF NOT EXISTS calls_by_key ON calls (step, key)",
)

_INSERT = f"INSERT INTO calls VALUES (NULL{', ?' * 18})"
ANSWER_COLUMNS = (
    "id, sample, key, text, finish_reason, detail, model,"
    " input_tokens, output_tokens, cached_tokens, reasoning_tokens, latency, attempts"
)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer that was paid for before.

    Attributes:
        usage: tokens of its whole response, where it was the first sample of it.
    """

    id: int
    generation: Generation
    usage: Usage | None
    model: str | None
    latency: float | None
    attempts: int


class Ledger:
    """The store of one run directory; a second process that opens it is refused.

    Args:
        folder: the run directory, made where it is not there.
        durability: what a power cut may cost. requests: whether prompts are stored.

    Raises:
        LedgerError: the file is somebody else's, newer, broken, or in use.
    """

    def __init__(
        self, folder: str | Path, *, durability: Durability = "normal", requests: StoredRequests = "full"
    ) -> None:
        self.folder = Path(folder)
        self.stores_requests = requests == "full"
        self._users = 0
        self._steps: set[str] = set()
        self._failure: LedgerError | None = None
        _make_folder(self.folder)
        self._lock_file = _lock(self.folder)
        try:
            # Every row passes again, from the ledger where it is there: failures are written anew.
            (self.folder / FAILED_FILE).unlink(missing_ok=True)
            self._writer = _open(self.folder / FILE, durability)
            self._reader = sqlite3.connect(self.folder / FILE, check_same_thread=False, isolation_level=None)
            self._reader.execute("CREATE TEMP TABLE claimed (id INTEGER PRIMARY KEY)")
        except BaseException:
            self._lock_file.close()
            raise
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="limbeck-ledger", daemon=True)
        self._thread.start()

    # Steps

    def step(self, name: str, config: dict[str, Any]) -> StepLedger:
        """The part of `name`, for one run at a time; says what changed in its configuration since the last.

        Raises:
            LedgerError: the step is running in this directory already.
        """
        if name in self._steps:
            raise LedgerError(f"The step {name!r} is running in {str(self.folder)!r} already. Give it another name.")
        self._note_config(name, config)
        self._steps.add(name)
        resuming = self._reader.execute("SELECT 1 FROM calls WHERE step = ? LIMIT 1", (name,)).fetchone() is not None
        return StepLedger(self, name, resuming=resuming)

    def _note_config(self, name: str, config: dict[str, Any]) -> None:
        stored = self._reader.execute("SELECT config FROM steps WHERE name = ?", (name,)).fetchone()
        text = json.dumps(config, sort_keys=True, default=str)
        if stored is not None and stored[0] != text:
            changed = changes(json.loads(stored[0]), json.loads(text))
            warnings.warn(
                f"The configuration of step {name!r} has changed since {str(self.folder)!r} was written: "
                f"{'; '.join(changed)}. Answers whose requests are still the same are used again.",
                LimbeckWarning,
                stacklevel=2,
            )
        self._submit("INSERT OR REPLACE INTO steps VALUES (?, ?)", [(name, text)], None)

    def release(self, name: str) -> None:
        """The run of step `name` is over."""
        self._steps.discard(name)

    # Writing

    def _submit(self, statement: str, records: list[tuple[Any, ...]] | None, done: asyncio.Future[None] | None) -> None:
        if self._failure is not None:
            raise self._failure
        self._queue.put((statement, records, done))

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            group, closing = self._gather(first)
            error = self._commit(group)
            _resolve([done for _, _, done in group if done is not None], error)
            if closing:
                return

    def _gather(self, first: Any) -> tuple[list[Any], bool]:
        """What waits to be written, up to a group; whether the end was among it."""
        group = [first]
        while len(group) < _GROUP:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
        return group, False

    def _commit(self, group: list[Any]) -> LedgerError | None:
        try:
            self._writer.execute("BEGIN")
            for statement, records, _ in group:
                if records is None:
                    self._writer.execute(statement)
                else:
                    self._writer.executemany(statement, records)
            self._writer.execute("COMMIT")
        except sqlite3.Error as exc:
            self._failure = LedgerError(
                f"The ledger in {str(self.folder)!r} cannot be written: {exc}. The answers committed before are safe; "
                "mend the cause (free some space, say) and run again with the same directory."
            )
            self._failure.__cause__ = exc
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        return self._failure

    def flush(self) -> None:
        """Wait until all that was handed in is committed.

        Raises:
            LedgerError: it could not be.
        """
        written = threading.Event()
        self._queue.put(("DELETE FROM steps WHERE name = ?", [], _Notice(written)))
        written.wait()
        if self._failure is not None:
            raise self._failure

    # Lifetime

    def close(self) -> None:
        """Commit what is left and let go of the directory."""
        self._queue.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()
        self._lock_file.close()


class _Notice:
    """Stands where a future does, for a thread that waits."""

    def __init__(self, written: threading.Event) -> None:
        self.set = written.set


class StepLedger:
    """One step's calls, for the duration of one run. Used on the portal's loop."""

    def __init__(self, ledger: Ledger, name: str, *, resuming: bool) -> None:
        self._ledger = ledger
        self._name = name
        self._resuming = resuming
        if resuming:
            for index in _INDEXES:
                ledger._submit(index, None, None)  # noqa: SLF001 - one machine in two classes
            ledger.flush()

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self._ledger.folder

    def find(self, row: str, key: bytes, samples: int) -> list[StoredAnswer | None]:
        """What is stored for each sample of a row whose request has `key`; what it returns is claimed.

        An answer of the row itself comes first, else an unclaimed one with the same key, in row order:
        the row may have moved. Equal prompts in different rows stay different samples.
        """
        found: list[StoredAnswer | None] = [None] * samples
        if not self._resuming:
            return found
        reader = self._ledger._reader  # noqa: SLF001 - as above
        own = f"SELECT {ANSWER_COLUMNS} FROM calls WHERE step = ? AND row = ? AND error IS NULL ORDER BY id DESC"
        for record in reader.execute(own, (self._name, row)).fetchall():
            sample = record[1]
            if record[2] == key and sample < samples and found[sample] is None and self._claim(record[0]):
                found[sample] = stored_answer(record)
        if None in found:
            moved = (
                f"SELECT {ANSWER_COLUMNS} FROM calls WHERE step = ? AND key = ? AND error IS NULL"
                " AND id NOT IN (SELECT id FROM claimed) ORDER BY CAST(row AS INTEGER), sample, id LIMIT ?"
            )
            for record in reader.execute(moved, (self._name, key, found.count(None))).fetchall():
                if self._claim(record[0]):
                    found[found.index(None)] = stored_answer(record)
        return found

    def _claim(self, call: int) -> bool:
        reader = self._ledger._reader  # noqa: SLF001 - as above
        return reader.execute("INSERT OR IGNORE INTO claimed VALUES (?)", (call,)).rowcount == 1

    def keep(
        self,
        row: str,
        samples: Iterable[int],
        key: bytes,
        request: GenerationRequest,
        response: GenerationResponse,
        *,
        latency: float,
        attempts: int,
        done: asyncio.Future[None],
    ) -> None:
        """Hand an answer to the writer; `done` resolves when it is on disk, or with the `LedgerError`."""
        usage, now = response.usage, time.time()
        body = _request_text(request) if self._ledger.stores_requests else None
        records = []
        for sample, generation in zip(samples, response.generations, strict=False):
            tokens = _tokens(usage)
            records.append(
                (
                    *(self._name, row, sample, key),
                    *(_storable(generation.text), generation.finish_reason, _detail(generation), body, response.model),
                    *tokens,
                    *(latency, attempts, None, None, now),
                )
            )
            usage = body = None
        self._ledger._submit(_INSERT, records, done)  # noqa: SLF001 - as above

    def keep_failure(self, row: str, samples: Iterable[int], key: bytes, error: GenerationError) -> None:
        """Hand a final failure to the writer; nobody waits for it."""
        now = time.time()
        records = [
            (
                *(self._name, row, sample, key, _storable(error.raw), None, None, None, None),
                *(None, None, None, None, None),
                *(error.attempts, type(error).__name__, _storable(str(error)), now),
            )
            for sample in samples
        ]
        self._ledger._submit(_INSERT, records, None)  # noqa: SLF001 - as above

    def close(self) -> None:
        """The run of the step is over."""
        self._ledger.release(self._name)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise LedgerError(f"The run directory {str(folder)!r} cannot be made: {exc}.") from exc


def _lock(folder: Path) -> sqlite3.Connection:
    """A lock that ends with the process, however it ends: an open transaction on a file of its own."""
    lock = sqlite3.connect(folder / "lock.sqlite", timeout=0, isolation_level=None, check_same_thread=False)
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


def _open(path: Path, durability: Durability) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        _refuse_foreign(connection, path, version)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")
    except sqlite3.Error as exc:
        raise LedgerError(
            f"{str(path)!r} cannot be opened as a ledger: {exc}. It was left as it is; use another run directory."
        ) from exc
    return connection


def _refuse_foreign(connection: sqlite3.Connection, path: Path, version: int) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if tables and application != _APPLICATION_ID:
        raise LedgerError(f"{str(path)!r} is a database of another program. It was left as it is; use another folder.")
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{str(path)!r} was written by a newer Limbeck (format {version}; this one knows up to {len(MIGRATIONS)}). "
            "Upgrade limbeck-core."
        )


def _resolve(futures: list[Any], error: LedgerError | None) -> None:
    """Tell those who wait, with one call to their loop for the whole group."""
    waiting = []
    for future in futures:
        if isinstance(future, _Notice):
            future.set()
        else:
            waiting.append(future)
    if waiting:
        waiting[0].get_loop().call_soon_threadsafe(_settle, waiting, error)


def _settle(futures: list[asyncio.Future[None]], error: LedgerError | None) -> None:
    for future in futures:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def stored_answer(record: tuple[Any, ...]) -> StoredAnswer:
    """What a row of `ANSWER_COLUMNS` holds."""
    call, _, _, text, finish_reason, detail, model, *tokens, latency, attempts = record
    usage = None if tokens[0] is None else Usage(**dict(zip(_TOKENS, tokens, strict=True)))
    generation = Generation(text=_stored(text), finish_reason=finish_reason, **(json.loads(detail) if detail else {}))
    return StoredAnswer(call, generation, usage, model, latency, attempts)


_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


def _tokens(usage: Usage | None) -> tuple[int | None, ...]:
    if usage is None:
        return (None, None, None, None)
    return (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)


def _detail(generation: Generation) -> str | None:
    if generation.reasoning is None and generation.tool_calls is None and generation.logprobs is None:
        return None
    detail = {
        name: value
        for name in ("reasoning", "tool_calls", "logprobs")
        if (value := getattr(generation, name)) is not None
    }
    return json.dumps(detail, default=str)


def _request_text(request: GenerationRequest) -> str:
    body = {
        "messages": request.messages,
        "parameters": dict(request.parameters),
        "output_schema": request.output_schema,
    }
    return json.dumps(body)


def _storable(text: str | None) -> str | bytes | None:
    """SQLite's text has no lone surrogates; such a text is stored as bytes."""
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _stored(text: str | bytes | None) -> str | None:
    return text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text


def changes(old: Any, new: Any, place: str = "") -> list[str]:
    """What differs between two configurations, one `key: old -> new` each."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(name for name in new if name not in old)]
        return [
            change
            for name in names
            for change in changes(old.get(name), new.get(name), f"{place}.{name}" if place else str(name))
        ]
    return [] if old == new else [f"{place}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_open_ledgers: dict[Path, Ledger] = {}
_opening = threading.Lock()


def shared_ledger(folder: str | Path, **options: Any) -> Ledger:
    """The process's one ledger of `folder`, for all steps of a chain. Give it back with `release_ledger`."""
    path = Path(folder).resolve()
    with _opening:
        ledger = _open_ledgers.get(path)
        if ledger is None:
            ledger = _open_ledgers[path] = Ledger(path, **options)
        ledger._users += 1  # noqa: SLF001 - its own module
        return ledger


def release_ledger(ledger: Ledger) -> None:
    """The counterpart of `shared_ledger`; the last one closes it."""
    with _opening:
        ledger._users -= 1  # noqa: SLF001 - its own module
        if ledger._users == 0:  # noqa: SLF001 - its own module
            _open_ledgers.pop(ledger.folder, None)
            ledger.close()
