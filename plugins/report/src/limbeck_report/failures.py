"""The failed samples of a run: from the calls and effects that failed, and from the rows of `failed.jsonl`.

A call of a conversation may fail, and the conversation go on: the failure is its own then, and none of the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .turns import goes_past

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

MESSAGE_LENGTH = 2_000

_FAILED_TABLE = """
    CREATE TEMP TABLE failed (
        step TEXT, row TEXT, sample INTEGER, error TEXT, message TEXT, attempts INTEGER, call INTEGER, place INTEGER,
        turn TEXT, at REAL,
        PRIMARY KEY (step, row, sample)
    )
"""
# Each turn's last failure. `call` is null for an effect.
_FAULTS_TABLE = """
    CREATE TEMP TABLE faults (
        step TEXT, row TEXT, sample INTEGER, turn TEXT, error TEXT, message TEXT, attempts INTEGER, call INTEGER,
        at REAL,
        PRIMARY KEY (step, row, sample, turn)
    )
"""
_CALLS = """
    INSERT OR REPLACE INTO faults
    SELECT step, row, sample, coalesce({turn}, ''), error, substr(message, 1, ?), attempts, id, at
    FROM calls WHERE error IS NOT NULL AND {final} ORDER BY id
"""
_EFFECTS = """
    INSERT OR REPLACE INTO faults
    SELECT step, row, sample, turn, 'EffectError', substr(error, 1, ?), 1, NULL, at
    FROM effects WHERE error IS NOT NULL ORDER BY id
"""
# Calls and effects have numbers of their own: of one and another, the time tells which was later.
_PASSED_BY_CALLS = """
    DELETE FROM faults WHERE rowid IN (
        SELECT f.rowid FROM calls a CROSS JOIN faults f ON f.step = a.step AND f.row = a.row AND f.sample = a.sample
        WHERE {final} AND iif(f.call IS NULL, a.at > f.at, a.id > f.call) AND goes_past({turn}, f.turn))
"""
_PASSED_BY_EFFECTS = """
    DELETE FROM faults WHERE rowid IN (
        SELECT f.rowid FROM effects a CROSS JOIN faults f ON f.step = a.step AND f.row = a.row AND f.sample = a.sample
        WHERE a.at > f.at AND goes_past(a.turn, f.turn))
"""
_GATHERED = """
    INSERT OR REPLACE INTO failed
    SELECT step, row, sample, error, message, attempts, call, NULL, turn, at FROM faults ORDER BY at
"""
_FAILED_ROW = """
    INSERT INTO failed VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, NULL) ON CONFLICT DO UPDATE SET
        error = excluded.error, message = excluded.message, attempts = excluded.attempts, place = excluded.place,
        turn = coalesce(excluded.turn, iif(error = excluded.error, turn, NULL))
"""
# A run that ended has listed the rows that failed: a call of a conversation of it whose row is not there was caught.
_CAUGHT = """
    DELETE FROM failed WHERE step = ? AND place IS NULL AND turn != '' AND at BETWEEN ? AND ?
"""


def gather(sql: sqlite3.Connection, columns: set[str], tables: set[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Make the temporary table `failed`, which has each failed sample once.

    Args:
        columns: of the table `calls`. tables: those there are; earlier versions have fewer.
        rows: of `failed.jsonl`: step, row, sample, error, message, attempts, place of the line, turn.
    """
    sql.create_function("goes_past", 2, goes_past, deterministic=True)
    names = {"turn": "turn" if "turn" in columns else "NULL"}
    names["final"] = "retried IS NULL" if "retried" in columns else "1"
    sql.execute(_FAILED_TABLE)
    sql.execute(_FAULTS_TABLE)
    sql.execute(_CALLS.format(**names), (MESSAGE_LENGTH,))
    if "effects" in tables:
        sql.execute(_EFFECTS, (MESSAGE_LENGTH,))
        sql.execute(_PASSED_BY_EFFECTS)
    sql.execute(_PASSED_BY_CALLS.format(turn=names["turn"].replace("turn", "a.turn"), final=names["final"]))
    sql.execute(_GATHERED)
    sql.execute("DROP TABLE faults")
    sql.executemany(_FAILED_ROW, rows)
    if "turn" in columns:
        _leave_out_caught(sql)


def _leave_out_caught(sql: sqlite3.Connection) -> None:
    """Leave out the failures that a conversation caught as the last that it did."""
    query = "SELECT step, count(DISTINCT row) FROM failed WHERE place IS NOT NULL GROUP BY step"
    listed = dict(sql.execute(query).fetchall())
    latest = dict(sql.execute("SELECT step, max(id) FROM step_runs GROUP BY step").fetchall())
    runs = sql.execute("SELECT id, step, started, ended, rows_failed FROM step_runs").fetchall()
    for id, step, started, ended, failed in runs:
        if failed == 0 or (id == latest[step] and failed == listed.get(step, 0)):
            sql.execute(_CAUGHT, (step, started, ended))
