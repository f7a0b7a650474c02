"""A condition on what became of a row, in SQL: which rows to ask about again.

It may name the columns of the row as it came out, and these of the call: `finish_reason`, `failed`,
`parse_failed`, `error`, `model`, `input_tokens`, `output_tokens`, `latency`, `attempts`. A name that
is both is written `output.NAME` or `call.NAME`. SQLite evaluates it, on one row in memory, which has
those columns alone that the condition may name.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
import string
from typing import TYPE_CHECKING, Any, TypeAlias

from ...errors import ConfigurationError, did_you_mean
from ..rows.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ...types import Row

Where: TypeAlias = "str | Callable[[Row], Any]"
"""A condition in SQL, or a function of the row with the call's facts in it."""

FACTS = (
    *("finish_reason", "failed", "parse_failed", "error", "model"),
    *("input_tokens", "output_tokens", "latency", "attempts"),
)


class Condition:
    """A condition on a row and the facts of its call.

    Raises:
        ConfigurationError: the text cannot be read as a condition; the message shows the place.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._columns: set[str] = set()
        self._text = _folded(where).replace('""', '"') if isinstance(where, str) else ""
        if isinstance(where, str):
            self._check(where)

    def _check(self, where: str) -> None:
        try:
            self._database.execute(_query(where, ()), [None] * len(FACTS)).fetchone()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as exc:  # a text that is none, for SQLite
            if not _missing(exc):  # the row's columns are not known yet
                raise self._fault(where, str(exc)) from exc

    def expect(self, columns: Iterable[str]) -> None:
        """Make columns null in rows that lack them, also where no row so far has them."""
        self._columns.update(columns)

    def holds(self, facts: Mapping[str, Any], row: Mapping[Any, Any]) -> bool:
        """Tell whether it is true of a row.

        Args:
            facts: of its call, each of `FACTS`. row: as it came out.

        Raises:
            ConfigurationError: it names a column that no row so far has.
        """
        if callable(self._where):
            return bool(self._where({**facts, **row}))
        self._columns.update(column for column in row if isinstance(column, str))
        columns = self._named(row)
        while True:
            values = [*(_sql_value(facts[name]) for name in FACTS), *(_sql_value(row.get(name)) for name in columns)]
            try:
                return bool(self._database.execute(_query(self._where, columns), values).fetchone()[0])
            except sqlite3.Error as exc:
                name = _missing(exc)
                if name is None or _is_among(name, columns) or not _is_among(name, self._columns):
                    raise self._fault(self._where, str(exc), columns=self._columns) from exc
                columns.append(name)  # another row has it; here it is null

    def _named(self, row: Mapping[Any, Any]) -> list[str]:
        """The columns of a row that the condition may name.

        SQL takes names for the same that differ in the case of their letters: of such, the one that is written out.

        Raises:
            ConfigurationError: several are written out, or none of several.
        """
        named: dict[str, list[str]] = {}
        for column in row:
            if isinstance(column, str) and _folded(column) in self._text:
                named.setdefault(_folded(column), []).append(column)
        return [alike[0] if len(alike) == 1 else self._written_out(alike) for alike in named.values()]

    def _written_out(self, alike: list[str]) -> str:
        text = re.sub(r"'(?:[^']|'')*'", "''", str(self._where))
        written = [name for name in alike if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
        if len(written) == 1 or not re.search(rf"(?<!\w){re.escape(alike[0])}(?!\w)", text, re.IGNORECASE):
            return (written or alike)[0]
        names = ", ".join(f"`{name}`" for name in alike)
        raise ConfigurationError(
            f"The condition {self._where!r} cannot be used: SQL takes the columns {names} for one, as they differ in "
            'case alone. Give a function of the row, such as `lambda row: row["…"] == …`.'
        )

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _fault(self, where: str, message: str, columns: set[str] | None = None) -> ConfigurationError:
        unknown = re.match(r"no such (?:column|function): (\S+)", message)
        offset = where.find(unknown[1]) if unknown else self._offset(where, message)
        known = [*FACTS, *sorted(columns or ())]
        hint = did_you_mean(unknown[1], known) if unknown else ""
        listed = f" The names are {', '.join(known)}." if unknown and columns is not None else ""
        place = f"\n  {where}\n  {' ' * offset}^" if offset >= 0 and "\n" not in where else ""
        return ConfigurationError(
            f"The condition {where!r} cannot be used: {message}.{hint}{listed} It is SQL, such as "
            f"`finish_reason = 'length'` or `failed` or `score < 3`.{place}"
        )

    def _offset(self, where: str, message: str) -> int:
        """Where the word is that SQLite stumbles over: the first one at which what stands up to it fails alike."""
        near = re.match(r'near "(.*)": syntax error', message, re.DOTALL)
        if near is None:
            return len(where) if "incomplete" in message else -1
        for found in re.finditer(re.escape(near[1]), where):
            try:
                self._database.execute(f"SELECT (\n{where[: found.end()]}")
            except sqlite3.Error as exc:
                if str(exc) == message:
                    return found.start()
        return len(where)  # the parenthesis behind it


def _query(where: str, columns: Any) -> str:
    call = ", ".join(f"? AS {name}" for name in FACTS)
    output = ", ".join(f"? AS {_quoted(name)}" for name in columns) or "NULL AS _"
    return f"SELECT (\n{where}\n) IS TRUE FROM (SELECT {call}) AS call, (SELECT {output}) AS output"


def _missing(error: BaseException) -> str | None:
    found = re.match(r"no such column: (?:output\.)?(.+)", str(error))
    return found[1] if found else None


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _is_among(name: str, columns: Iterable[str]) -> bool:
    return _folded(name) in map(_folded, columns)


def _folded(name: str) -> str:
    """A name as SQL compares it: without the case of ASCII's letters."""
    return name.translate(_LOWER)


_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}


def _sql_value(value: Any) -> Any:
    """A value as SQLite can compare it; null for what has no form in JSON."""
    if not isinstance(value, str | int | float | list | dict | tuple | None):
        try:
            value = plain(value)
        except Exception:  # noqa: BLE001 - the isolation boundary of a value, whose methods are anybody's
            return None
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else _as_float(value)
    if value is None or isinstance(value, float):
        return value
    return _json(value)


def _as_float(value: int) -> float:
    """A number that is larger than SQLite's integers."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _json(value: Any) -> str | None:
    """A list or dict as a text for `json_extract`, whose JSON has no NaN; null for one that JSON cannot hold."""
    try:
        text = json.dumps(value, default=_part)
        if "NaN" in text or "Infinity" in text:
            text = json.dumps(json.loads(text, parse_constant=lambda _: None))
    except (TypeError, ValueError, RecursionError):
        return None
    return text


def _part(value: Any) -> Any:
    try:
        return plain(value)
    except TypeError:
        return str(value)
