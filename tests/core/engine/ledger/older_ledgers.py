"""Ledgers as earlier versions left them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from limbeck._engine.ledger.file import FILE, MIGRATIONS


def older_ledger(run_dir: Path, *, before: str) -> None:
    """Write the ledger of the version before a migration, with one call, which failed.

    Args:
        before: the migration's script.
    """
    version = MIGRATIONS.index(before)
    with closing(sqlite3.connect(run_dir / FILE)) as old:
        for script in MIGRATIONS[:version]:
            old.executescript(script)
        old.execute(
            "INSERT INTO calls (step, row, sample, key, attempts, error, message, at)"
            " VALUES ('ask', '0', 0, x'00', 1, 'BadRequestError', 'No.', 0)"
        )
        old.executescript(f"PRAGMA user_version = {version}; PRAGMA application_id = {0x4C4D424B};")
        old.commit()
