"""`limbeck runs`: what the run directories below a folder say of themselves."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from limbeck._engine.ledger_file import FILE
from limbeck._pipeline.run_folder import NOTE, REPORT

from .exits import say
from .tables import show_table

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Listed:
    """One run.

    Attributes:
        run: its directory. pipeline: its name, or None where it is not noted.
        state: "finished", "stopped" (it ended early, and said why), "interrupted" or "running".
        rows, failed: rows written and failed; None where there is no report. started: ISO 8601.
    """

    run: str
    pipeline: str | None
    state: str
    rows: int | None
    failed: int | None
    started: str | None


def list_runs(folder: str, *, as_json: bool) -> None:
    """List the run directories below a folder, the latest first."""
    found = sorted(_found(Path(folder)), key=lambda each: each.started or "", reverse=True)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    elif not found:
        say(f"There are no run directories in {folder!r}.")
    else:
        show_table(
            ("run", "pipeline", "state", "rows", "failed", "started"),
            [
                (each.run, each.pipeline or "", each.state, _count(each.rows), _count(each.failed), each.started or "")
                for each in found
            ],
        )


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _found(folder: Path) -> Iterator[Listed]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if (path / FILE).is_file() or (path / NOTE).is_file():
            yield _listed(path)


def _listed(path: Path) -> Listed:
    note, report = _read(path / NOTE), _read(path / REPORT)
    steps = [step for step in report.get("steps") or () if isinstance(step, dict)]
    return Listed(
        run=str(path),
        pipeline=note.get("name") or report.get("pipeline"),
        state=_state(path, report),
        rows=_written(steps) if report else None,
        failed=sum(int(step.get("rows_failed") or 0) for step in steps) if report else None,
        started=note.get("started") or report.get("started"),
    )


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's contents; nothing where it cannot be read, for the other runs are to be listed."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(path: Path, report: dict[str, Any]) -> str:
    if _is_held(path):
        return "running"
    if report.get("finished"):
        return "finished"
    return "stopped" if report.get("error") else "interrupted"


def _is_held(path: Path) -> bool:
    """Whether a process runs in the directory: it holds the lock, which ends with the process."""
    lock = path / "lock.sqlite"
    if not lock.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{lock.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            connection.execute("SELECT * FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as exc:
        return "locked" in str(exc)
    except sqlite3.Error:
        return False
    return False


def _written(steps: list[dict[str, Any]]) -> int:
    """The rows that left: what sinks took, or what came out of steps that lead nowhere."""
    leading = {name for step in steps for name in step.get("after") or ()}
    leaves = [step for step in steps if step.get("name") not in leading]
    return sum(int(step.get("rows_in" if step.get("kind") == "sink" else "rows_out") or 0) for step in leaves)
