"""The records of a run directory, read without writing: the ledger's calls, and the rows that failed.

All queries see one moment of the ledger, also while a run writes to it. A failure is known from
two places: the ledger has the calls and effects that failed, `failed.jsonl` the rows that failed in the last
run, also those whose answer could not be read and those that were never sent. A temporary table
has each failed sample once.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from limbeck.errors import LedgerError
from limbeck.runs import Run

from .failures import MESSAGE_LENGTH, gather
from .figures import Calls, Reason, Spending

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ERROR_COLUMN = "limbeck_error"
_NEEDED = frozenset(
    {"id", "step", "row", "sample", "key", "text", "finish_reason", "detail", "request", "model", "latency", "attempts"}
    | {"input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "error", "message", "at"}
)
_NO_CALLS = f"CREATE TABLE calls ({', '.join(sorted(_NEEDED))}); CREATE TABLE steps (name, config);"

_TALKS_TABLE = "CREATE TEMP TABLE talks (step TEXT, row TEXT, sample INTEGER, UNIQUE (step, row, sample))"


class Records:
    """The calls and the failures of one run directory.

    Attributes:
        run: the run. folder: its directory. broken_lines: lines of `failed.jsonl` that could not be read.
        conversing: the steps that ask more than once about a row.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.run = Run(folder)
        self.folder = folder
        self.broken_lines = 0
        self._sql = connection
        self._columns = {record[1] for record in connection.execute("PRAGMA table_info(calls)")}
        lacking = _NEEDED - self._columns
        if lacking:
            raise LedgerError(
                f"The ledger in {str(folder)!r} has no column {', '.join(sorted(lacking))}: it was written by another "
                "version of Limbeck. Upgrade limbeck-report."
            )
        self._tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        gather(connection, self._columns, self._tables, self._failed_rows())
        self.conversing = self._find_conversations()

    def query(self, statement: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The records of a query."""
        return self._sql.execute(statement, tuple(values))

    def first(self, statement: str, values: Iterable[Any] = ()) -> dict[str, Any] | None:
        """The first record of a query by column, or None."""
        cursor = self._sql.execute(statement, tuple(values))
        record = cursor.fetchone()
        names = [column[0] for column in cursor.description]
        return None if record is None else dict(zip(names, record, strict=True))

    # Failures

    def _failed_rows(self) -> Iterator[tuple[Any, ...]]:
        """Each failed sample of `failed.jsonl`, with the place of its line."""
        path = self.run.failed_rows
        if not path.is_file():
            return
        with path.open("rb") as file:
            place = 0
            for line in file:
                yield from self._samples_of(line, place)
                place += len(line)

    def _samples_of(self, line: bytes, place: int) -> Iterator[tuple[Any, ...]]:
        record = _failed_record(line)
        if record is None:
            self.broken_lines += line.endswith(b"\n")  # the last line may be on its way
            return
        for number, error in enumerate(record.errors):
            message = _text(error.get("message"))
            yield (
                *(record.step, record.row, error.get("sample", number), _text(error.get("type")) or "?"),
                *(message and storable(message[:MESSAGE_LENGTH]), error.get("attempts"), place),
                _text(error.get("turn")),
            )

    def failed_record(self, place: int) -> FailedRecord | None:
        """The line of `failed.jsonl` at a place, or None where it is gone: another run has begun."""
        try:
            with self.run.failed_rows.open("rb") as file:
                file.seek(place)
                return _failed_record(file.readline())
        except OSError:
            return None

    def reasons(self) -> list[Reason]:
        """Failed samples by step and type, most first."""
        query = (
            "SELECT step, error, count(*), message, min(rowid) FROM failed GROUP BY step, error"
            " ORDER BY count(*) DESC, step, error"
        )
        return [Reason(step, type, count, text_of(message)) for step, type, count, message, _ in self.query(query)]

    def rows_failed(self) -> dict[str, int]:
        """Rows with a failed sample, by step."""
        return dict(self.query("SELECT step, count(DISTINCT row) FROM failed GROUP BY step"))

    # Conversations

    def _find_conversations(self) -> frozenset[str]:
        """The steps that ask more than once about a row; makes the temporary table of their samples."""
        if "turn" not in self._columns:
            return frozenset()
        found = "SELECT DISTINCT step FROM calls WHERE turn IS NOT NULL UNION SELECT DISTINCT step FROM effects"
        steps = [step for (step,) in self.query(found)]
        if steps:
            self._sql.execute(_TALKS_TABLE)
            among = f"step IN ({', '.join('?' * len(steps))})"
            for table, condition in (("calls", f"{among} AND retried IS NULL"), ("effects", among)):
                columns = f"INSERT OR IGNORE INTO talks SELECT step, row, sample FROM {table}"
                self._sql.execute(f"{columns} WHERE {condition} ORDER BY id", steps)
        return frozenset(steps)

    def good_conversations(self, step: str) -> array[int]:
        """The samples of a step of conversations that did not fail, by their place in the table `talks`."""
        query = (
            "SELECT rowid FROM talks t WHERE step = ? AND NOT EXISTS"
            " (SELECT 1 FROM failed f WHERE f.step = t.step AND f.row = t.row AND f.sample = t.sample) ORDER BY rowid"
        )
        return array("q", (id for (id,) in self.query(query, (step,))))

    def is_under_way(self, step: str) -> bool:
        """Tell whether some samples of a step that called may have been neither answered nor given up."""
        query = (
            "SELECT EXISTS (SELECT 1 FROM open_runs WHERE step = ?1) OR coalesce("
            "(SELECT rows_done < rows_in FROM step_runs WHERE step = ?1 ORDER BY id DESC LIMIT 1), 0)"
        )
        return "open_runs" in self._tables and bool(next(self.query(query, (step,)))[0])

    def mended(self) -> dict[str, dict[str, Any]]:
        """How answers were mended in the latest run of each step; nothing where that was killed, or is of before."""
        names = ("repaired", "repair_calls", "fell_back", "fallback_calls")
        if "repaired" not in {record[1] for record in self._sql.execute("PRAGMA table_info(step_runs)")}:
            return {}
        found = self.query(f"SELECT step, {', '.join(names)} FROM yields WHERE repaired IS NOT NULL")
        return {step: dict(zip(names, counts, strict=True)) for step, *counts in found}

    # Calls

    @property
    def knows_turns(self) -> bool:
        """Tell whether a call says at which turn of a conversation it was made."""
        return "turn" in self._columns

    @property
    def has_makers(self) -> bool:
        """Tell whether a call says who answered, and how it was asked."""
        return "maker" in self._columns

    def configs(self) -> dict[str, dict[str, Any]]:
        """Each step's configuration as it was last run."""
        found = {name: _json(config) for name, config in self.query("SELECT name, config FROM steps")}
        return {name: config for name, config in found.items() if isinstance(config, dict)}

    def rows(self) -> dict[str, int]:
        """The rows that a call was made for, or an effect, or that failed, by step."""
        effects = " UNION SELECT step, row FROM effects" if "effects" in self._tables else ""
        asked = f"SELECT step, row FROM calls UNION SELECT step, row FROM failed{effects}"
        return dict(self.query(f"SELECT step, count(*) FROM ({asked}) GROUP BY step"))

    def spending(self) -> list[Spending]:
        """Tokens and cost by step and model, of all that was asked for here: answers, and failures that cost some."""
        unpriced = "sum(cost IS NULL AND input_tokens IS NOT NULL)"  # then the whole is not known
        cost = f"CASE WHEN {unpriced} THEN NULL ELSE sum(cost) END" if "cost" in self._columns else "NULL"
        copied = " AND origin IS NULL" if "origin" in self._columns else ""  # from another run directory
        model, named = "model", ""
        if self.has_makers:
            model = "coalesce(model, name)"
            named = (
                " LEFT JOIN (SELECT id AS made, json_extract(identity, '$.model_name') AS name FROM makers)"
                " ON made = maker"
            )
        query = (
            f"SELECT step, {model}, sum(error IS NULL), coalesce(sum(input_tokens), 0),"
            " coalesce(sum(output_tokens), 0),"
            f" coalesce(sum(cached_tokens), 0), coalesce(sum(reasoning_tokens), 0), {cost}"
            f" FROM calls{named} WHERE (error IS NULL OR input_tokens IS NOT NULL){copied}"
            " GROUP BY 1, 2 ORDER BY min(id)"
        )
        return [Spending(step, text_of(model), *sums) for step, model, *sums in self.query(query)]

    def calls(self) -> dict[str, Calls]:
        """Every call as columns, by step."""
        steps: dict[str, Calls] = {}
        query = "SELECT step, id, at, latency, length(text), error IS NOT NULL FROM calls ORDER BY id"
        for step, id, at, latency, length, failed in self.query(query):
            calls = steps.get(step)
            if calls is None:
                calls = steps[step] = Calls(array("q"), array("d"), array("d"), array("q"), array("b"))
            calls.ids.append(id)
            calls.at.append(at)
            calls.latencies.append(float("nan") if latency is None else latency)
            calls.lengths.append(-1 if length is None else length)
            calls.failed.append(failed)
        return steps


class FailedRecord:
    """A line of `failed.jsonl`.

    Attributes:
        step: that failed. row: the row's id. errors: one mapping a failed sample. given: the row as it came in.
    """

    __slots__ = ("errors", "given", "row", "step")

    def __init__(self, given: dict[str, Any], error: dict[str, Any]) -> None:
        self.step = _text(error.get("step")) or "?"
        self.row = _text(error.get("row")) or "?"
        errors = error.get("errors")
        self.errors = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
        self.given = given


def _failed_record(line: bytes) -> FailedRecord | None:
    given = _json(line)
    error = given.pop(_ERROR_COLUMN, None) if isinstance(given, dict) else None
    return FailedRecord(given, error) if isinstance(error, dict) else None


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def storable(text: str) -> str | bytes:
    """A text as SQLite can hold it: as the ledger does, bytes for one with lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def text_of(stored: str | bytes | None) -> str | None:
    """A text of the ledger, which may have been cut in the middle of a character."""
    if not isinstance(stored, bytes):
        return stored
    try:
        return stored.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return stored.decode("utf-8", "replace")


@contextmanager
def open_records(folder: Path) -> Iterator[Records]:
    """The records of a run directory, for the block.

    Raises:
        LedgerError: its ledger cannot be read.
    """
    try:
        with closing(_connect(folder)) as connection:
            yield Records(folder, connection)
    except sqlite3.Error as exc:
        raise LedgerError(f"The ledger in {str(folder)!r} cannot be read: {exc}.") from exc


def _connect(folder: Path) -> sqlite3.Connection:
    path = Run(folder).ledger
    if not path.is_file():
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript(_NO_CALLS)
        return connection
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        return _begin(uri)
    except sqlite3.OperationalError:
        return _begin(f"{uri}&immutable=1")  # on a read-only disk, where nobody writes


def _begin(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        connection.text_factory = lambda stored: stored.decode("utf-8", "replace")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
