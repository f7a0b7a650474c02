"""The ledger: every paid answer on disk before anything is made of it.

One SQLite file (WAL) in a run directory, one writer thread, small group commits. A call is
one sample of one row of one step; its key says whether the stored answer still holds. This is
the built-in one of the stores that `limbeck.protocols.LedgerProtocol` describes.

The look-up indexes are made when a ledger that holds calls is opened again: a first run only
appends.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sqlite3
import threading
import time
import warnings
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import LedgerError, LimbeckWarning
from ..types import Generation, StoredAnswer, Usage
from .batch_records import BatchRecords
from .lineage import Maker, Makers, stored_makers
from .views import INSERT_FAILURES, INSERT_RUN, MIGRATION, SPENT, UNPRICED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from ..errors import GenerationError
    from ..types import Durability, GenerationRequest, PaidAnswer, StoredRequests
    from .stats import RunStats

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
)

_INDEXES = (
    "CREATE INDEX IF NOT EXISTS calls_by_row ON calls (step, row, sample)",
    """
    CREATE INDEX IF NOT EXISTS answers_by_key ON calls (step, key, CAST(row AS INTEGER), sample, id)
        WHERE error IS NULL
    """,
)

# What this run has taken, so that nothing is taken twice, and how far it has come among the answers with one key.
_CLAIMS = """
    CREATE TEMP TABLE claimed (step TEXT, id INTEGER, PRIMARY KEY (step, id)) WITHOUT ROWID;
    CREATE TEMP TABLE passed (
        step TEXT, key BLOB, place INTEGER, sample INTEGER, id INTEGER, PRIMARY KEY (step, key)
    ) WITHOUT ROWID;
"""

_CALL_COLUMNS = (
    *("step", "row", "sample", "key", "text", "finish_reason", "detail", "request", "model"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("latency", "attempts", "error", "message", "at", "batch"),
    *("cost", "origin", "maker"),
)
_INSERT = f"INSERT INTO calls ({', '.join(_CALL_COLUMNS)}) VALUES ({', '.join('?' * len(_CALL_COLUMNS))})"
ROW_ORDER = "CAST(row AS INTEGER), sample, id"
ANSWER_COLUMNS = (
    "id, sample, key, text, finish_reason, detail, model,"
    " input_tokens, output_tokens, cached_tokens, reasoning_tokens, latency, attempts"
)


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
        self._steps: set[str] = set()
        self._failure: LedgerError | None = None
        _make_folder(self.folder)
        with ExitStack() as opened:
            self._lock_file = opened.enter_context(closing(_lock(self.folder)))
            self._writer = opened.enter_context(closing(_open(self.folder / FILE, durability)))
            self.reader = opened.enter_context(closing(_connect(self.folder / FILE)))
            self.reader.executescript(_CLAIMS)
            # Every row passes again, from the ledger where it is there: failures are written anew.
            (self.folder / FAILED_FILE).unlink(missing_ok=True)
            opened.pop_all()
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="limbeck-ledger", daemon=True)
        self._thread.start()

    # Steps

    def step(self, name: str, config: Mapping[str, Any]) -> StepLedger:
        """The part of `name`, for one run at a time; says what changed in its configuration since the last.

        Raises:
            LedgerError: the step is running in this directory already, or the file cannot be read.
        """
        if name in self._steps:
            raise LedgerError(f"The step {name!r} is running in {str(self.folder)!r} already. Give it another name.")
        try:
            self._note_config(name, config)
            step = StepLedger(self, name)
        except sqlite3.Error as exc:
            raise self.unreadable(exc) from exc
        self._steps.add(name)
        return step

    def _note_config(self, name: str, config: Mapping[str, Any]) -> None:
        stored = self.reader.execute("SELECT config FROM steps WHERE name = ?", (name,)).fetchone()
        text = _config_text(config)
        if stored is not None and stored[0] != text:
            changed = changes(json.loads(stored[0]), json.loads(text))
            warnings.warn(
                f"The configuration of step {name!r} has changed since {str(self.folder)!r} was written: "
                f"{'; '.join(changed)}. Answers whose requests are still the same are used again.",
                LimbeckWarning,
                stacklevel=2,
            )
        self.submit("INSERT OR REPLACE INTO steps VALUES (?, ?)", [(name, text)])

    def release(self, name: str) -> None:
        """The run of step `name` is over."""
        self._steps.discard(name)

    def unreadable(self, cause: sqlite3.Error) -> LedgerError:
        """What to raise when a look-up fails."""
        return LedgerError(
            f"The ledger in {str(self.folder)!r} cannot be read: {cause}. It was left as it is; mend the cause, "
            "or use another run directory."
        )

    # Writing

    def submit(self, statement: str, records: list[tuple[Any, ...]] | None = None, done: Any = None) -> None:
        """Hand a statement to the writer; `done` (a future, or an event) is told when it is committed.

        Raises:
            LedgerError: an earlier one could not be written.
        """
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
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it instead of waiting
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
        self._queue.put(("SELECT NULL", None, written))
        written.wait()
        if self._failure is not None:
            raise self._failure

    # Lifetime

    def close(self) -> None:
        """Commit what is left and let go of the directory."""
        self._queue.put(None)
        self._thread.join()
        self.reader.close()
        self._writer.close()
        self._lock_file.close()


class StoredCall(NamedTuple):
    """One call out of the table: `ANSWER_COLUMNS`, and what became of it."""

    id: int
    sample: int
    key: bytes
    text: str | bytes | None
    finish_reason: str | None
    detail: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    latency: float | None
    attempts: int
    error: str | None
    message: str | None
    maker: int | None

    @property
    def answer(self) -> tuple[Any, ...]:
        """Its `ANSWER_COLUMNS`."""
        return self[:13]


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
        for table in ("claimed", "passed"):  # an earlier run of the step may have left its own
            reader.execute(f"DELETE FROM {table} WHERE step = ?", (name,))
        if self._resuming:
            for index in _INDEXES:
                ledger.submit(index)
            ledger.flush()

    def find(self, row: str, key: bytes, samples: int) -> list[StoredAnswer | None]:
        """What is stored for each sample of a row whose request has `key`; what it returns is claimed.

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
            if of_the_key and None in found:
                for answer in self._moved(key, found.count(None)):
                    found[found.index(None)] = answer
        except sqlite3.Error as exc:
            raise self._ledger.unreadable(exc) from exc
        return found

    def _find_own(self, row: str, key: bytes, found: list[StoredAnswer | None]) -> bool:
        """Fill in the answers of the row itself; whether there are any with its key.

        Both in one query: it is made for every row, and each lets go of the interpreter.
        """
        parameters = (self._name, row, self._last, self._name, key, self._last)
        *own, mark = self._ledger.reader.execute(_OWN_AND_MARK, parameters).fetchall()
        for record in sorted(own, reverse=True):  # by id: the latest first
            sample = record[1]
            if record[2] == key and sample < len(found) and found[sample] is None and self._claim(record[0]):
                found[sample] = stored_answer(record)
        return bool(mark[0])

    def _moved(self, key: bytes, wanted: int) -> Iterator[StoredAnswer]:
        """Up to `wanted` answers with this key that no row has claimed, in row order.

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
            yield stored_answer(self._ledger.reader.execute(answer, (id,)).fetchone())

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
        claim = "INSERT OR IGNORE INTO claimed VALUES (?, ?)"
        return self._ledger.reader.execute(claim, (self._name, call)).rowcount == 1

    def keep(self, answer: PaidAnswer) -> asyncio.Future[None]:
        """Hand an answer to the writer; the future is done when it is on disk, or failed with the `LedgerError`."""
        response = answer.response
        usage, cost, now = response.usage, answer.cost, time.time()
        request = answer.request
        body = _request_text(request) if request is not None and self._ledger.stores_requests else None
        maker = None if self._makers is None or request is None else self._makers.id_of(request)
        records = []
        for sample, generation in zip(answer.samples, response.generations, strict=False):
            records.append(
                (
                    *(self._name, answer.row, sample, answer.key),
                    *(_storable(generation.text), _storable(generation.finish_reason), _detail(generation)),
                    *(body, _storable(response.model), *_tokens(usage)),
                    *(answer.latency, answer.attempts, None, None, now, answer.batch),
                    *(cost, answer.origin, maker),
                )
            )
            usage = cost = body = None
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ledger.submit(_INSERT, records, done)
        return done

    def keep_failure(self, row: str, samples: Sequence[int], key: bytes, error: GenerationError) -> None:
        """Hand a final failure to the writer; nobody waits for it."""
        now = time.time()
        records = [
            (
                *(self._name, row, sample, key, _storable(error.raw), None, None, None, None),
                *(None, None, None, None, None),
                *(error.attempts, type(error).__name__, _storable(str(error)), now, None),
                *(None, None, None),
            )
            for sample in samples
        ]
        self._ledger.submit(_INSERT, records)

    def batches(self, endpoint: str) -> BatchRecords:
        """The step's provider batches at one server."""
        return BatchRecords(self._ledger, self._name, endpoint)

    # Money and lineage

    @property
    def resuming(self) -> bool:
        """Whether the step had calls when the run began."""
        return self._resuming

    def history(self, row: str, *, step: str | None = None) -> list[StoredCall]:
        """Every call of a row that was there when the run began, the latest first; of another step, where one is named.

        Raises:
            LedgerError: the file cannot be read.
        """
        select = (
            f"SELECT {ANSWER_COLUMNS}, error, message, maker FROM calls"
            " WHERE step = ? AND row = ? AND id <= ? ORDER BY id DESC"
        )
        try:
            return [
                StoredCall(*record)
                for record in self._ledger.reader.execute(select, (step or self._name, row, self._last))
            ]
        except sqlite3.Error as exc:
            raise self._ledger.unreadable(exc) from exc

    def makers(self, *, step: str | None = None) -> dict[int | None, Maker]:
        """What made the step's answers when they were first asked for, by id; or another step's."""
        name = step or self._name
        if name not in self._stored_makers:
            try:
                self._stored_makers[name] = stored_makers(self._ledger.reader, name)
            except sqlite3.Error as exc:
                raise self._ledger.unreadable(exc) from exc
        return self._stored_makers[name]

    def identify(self, identity: dict[str, Any], config: Mapping[str, Any]) -> None:
        """Say who answers, and with which configuration, so that each answer's maker is noted."""
        ledger, text = self._ledger, _config_text(config)
        try:
            self._makers = Makers(ledger.reader, ledger.submit, step=self._name, identity=identity, config=text)
        except sqlite3.Error as exc:
            raise ledger.unreadable(exc) from exc

    def spent(self, price: Callable[[Usage], float | None]) -> tuple[float, int, int]:
        """Dollars, tokens and requests that earlier runs of the step spent; `price` is for answers that have none."""
        reader = self._ledger.reader
        cost, tokens, requests = reader.execute(SPENT, (self._name,)).fetchone()
        for record in reader.execute(UNPRICED, (self._name,)):
            cost += price(Usage(**dict(zip(_TOKENS, record, strict=True)))) or 0.0
        return cost, int(tokens), requests

    def note_run(self, stats: RunStats, started: float, error: BaseException | None) -> None:
        """Keep a run's counters, at its end."""
        counts = (stats.rows_in, stats.rows_done, stats.rows_out, stats.rows_failed)
        sent = (stats.requests, stats.reused, stats.retries, stats.rate_limited)
        why = None if error is None else type(error).__name__
        self._ledger.submit(INSERT_RUN, [(self._name, started, time.time(), *counts, *sent, why)])
        failures = [(self._name, started, name, count) for name, count in stats.failures.items()]
        self._ledger.submit(INSERT_FAILURES, failures)

    def close(self) -> None:
        """The run of the step is over."""
        self._ledger.release(self._name)


# What is stored for a row, and last whether anything is stored under its key.
_OWN_AND_MARK = f"""
    SELECT {ANSWER_COLUMNS} FROM calls WHERE step = ? AND row = ? AND id <= ? AND error IS NULL
    UNION ALL
    SELECT EXISTS (SELECT 1 FROM calls WHERE step = ? AND key = ? AND id <= ? AND error IS NULL){", NULL" * 12}
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


def _config_text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, default=str)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise LedgerError(f"The run directory {str(folder)!r} cannot be made: {exc}.") from exc


def _lock(folder: Path) -> sqlite3.Connection:
    """A lock that ends with the process, however it ends: an open transaction on a file of its own."""
    lock = _connect(folder / "lock.sqlite", timeout=0)
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


def _connect(path: Path, *, timeout: float = 5.0) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as exc:
        raise LedgerError(f"{str(path)!r} cannot be opened: {exc}. May this user write there?") from exc


def _open(path: Path, durability: Durability) -> sqlite3.Connection:
    connection = _connect(path)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        _refuse_foreign(connection, path, version)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")
    except sqlite3.Error as exc:
        connection.close()
        raise LedgerError(
            f"{str(path)!r} cannot be opened as a ledger: {exc}. It was left as it is; use another run directory."
        ) from exc
    except LedgerError:
        connection.close()
        raise
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


def _resolve(waiting: list[Any], error: LedgerError | None) -> None:
    """Tell those who wait, with one call to their loop for the whole group."""
    futures = [one for one in waiting if isinstance(one, asyncio.Future)]
    for one in waiting:
        if isinstance(one, threading.Event):
            one.set()
    if futures:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            futures[0].get_loop().call_soon_threadsafe(_settle, futures, error)


def _settle(futures: list[asyncio.Future[None]], error: LedgerError | None) -> None:
    for future in futures:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def stored_answer(record: tuple[Any, ...]) -> StoredAnswer:
    """What a row of `ANSWER_COLUMNS` holds."""
    _, _, _, text, finish_reason, detail, model, *tokens, latency, attempts = record
    usage = None if tokens[0] is None else Usage(**dict(zip(_TOKENS, tokens, strict=True)))
    extra = json.loads(detail) if detail else {}
    generation = Generation(text=_stored(text), finish_reason=_stored(finish_reason), **extra)
    return StoredAnswer(generation=generation, usage=usage, model=_stored(model), latency=latency, attempts=attempts)


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
    if text is None or text.isascii():
        return text
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


@dataclass(slots=True)
class _Shared:
    ledger: Ledger
    process: int
    users: int = 0


_shared: dict[Path, _Shared] = {}
_sharing = threading.Lock()


def shared_ledger(folder: str | Path, **options: Any) -> Ledger:
    """The process's one ledger of `folder`, for all steps of a chain. Give it back with `release_ledger`."""
    path = Path(folder).resolve()
    with _sharing:
        shared = _shared.get(path)
        if shared is None or shared.process != os.getpid():  # a fork has none of its parent's threads and locks
            shared = _shared[path] = _Shared(Ledger(path, **options), os.getpid())
        shared.users += 1
        return shared.ledger


def release_ledger(ledger: Ledger) -> None:
    """The counterpart of `shared_ledger`; the last one closes it."""
    with _sharing:
        shared = _shared[ledger.folder]
        shared.users -= 1
        if not shared.users:
            del _shared[ledger.folder]
            ledger.close()
