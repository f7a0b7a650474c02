"""A condition on what became of a row, in SQL: which rows to ask about again.

It may name the columns of the row as it came out, and these of the call: `finish_reason`, `failed`,
`parse_failed`, `error`, `model`, `input_tokens`, `output_tokens`, `latency`, `attempts`. A name that
is both is written `output.NAME` or `call.NAME`. SQLite evaluates it, on one row in memory.
"""

from __future__ import annotations

import json
import re
import sqlite3
from typing import TYPE_CHECKING, Any, TypeAlias

from ...errors import ConfigurationError, did_you_mean

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
    """Says of a row whether it is meant.

    Raises:
        ConfigurationError: the text cannot be read as a condition; the message shows the place.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._columns: set[str] = set()
        if isinstance(where, str):
            self._check(where)

    def _check(self, where: str) -> None:
        try:
            self._database.execute(_query(where, ()), [None] * len(FACTS)).fetchone()
        except (sqlite3.Error, sqlite3.Warning) as exc:
            if not _missing(exc):  # the row's columns are not known yet
                raise self._fault(where, str(exc)) from exc

    def expect(self, columns: Iterable[str]) -> None:
        """Take columns for null in rows that lack them, also where no row so far has them."""
        self._columns.update(columns)

    def holds(self, facts: Mapping[str, Any], row: Row) -> bool:
        """Whether it is true of a row.

        Args:
            facts: of its call, each of `FACTS`. row: as it came out.

        Raises:
            ConfigurationError: it names a column that no row so far has.
        """
        if callable(self._where):
            return bool(self._where({**facts, **row}))
        self._columns.update(row)
        columns = list(row)
        while True:
            values = [*(facts[name] for name in FACTS), *(_sql_value(row.get(name)) for name in columns)]
            try:
                return bool(self._database.execute(_query(self._where, columns), values).fetchone()[0])
            except sqlite3.Error as exc:
                name = _missing(exc)
                if name is None or name in columns or name not in self._columns:
                    raise self._fault(self._where, str(exc), columns=self._columns) from exc
                columns.append(name)  # another row has it; here it is null

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


def _sql_value(value: Any) -> Any:
    if value is None or isinstance(value, int | float | str):
        return value if not isinstance(value, int) or abs(value) < 2**63 else float(value)
    return json.dumps(value, default=str)
