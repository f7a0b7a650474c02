"""Conversations as a test writes them: a task around one generator function, and what comes of its rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from limbeck import Task
from support.questions import METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from limbeck.types import Row


class Talk(Task):
    """Reads `question`, writes `out`; what is asked is a subclass's."""

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["out"]


def talking(converse: Callable[..., Any], **fields: Any) -> Task:
    """A task named `talk` that converses so."""
    kind: Any = type("Talking", (Talk,), {"converse": converse, "__module__": __name__})
    task: Task = kind(**{"name": "talk", **fields})
    return task


def told(rows: Sequence[Row]) -> list[Any]:
    """The column `out` of each row, or the type of the error where it failed."""
    return [row["out"] if fault_of(row) is None else fault_of(row)["type"] for row in rows]


def fault_of(row: Row, task: str = "talk") -> Any:
    """The error beside a row's columns, or None."""
    return row[METADATA].get(f"error_{task}")


def stored(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in the ledger of a run directory."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        return ledger.execute(query).fetchall()
