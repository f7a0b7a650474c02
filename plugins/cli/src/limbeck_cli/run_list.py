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
        rows, failed: rows written and failed; None where that is not noted. started: ISO 8601.
        answers: those that its ledger holds, of a run that has not finished.
    """

    run: str
    pipeline: str | None
    state: str
    rows: int | None
    failed: int | None
    answers: int | None
    started: str | None


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a report says of a run, or where there is none its ledger."""

    state: str
    rows: int | None
    failed: int | None


def list_runs(folder: str, *, as_json: bool) -> None:
    """List the run directories below a folder, the latest first."""
    found = sorted(_found(Path(folder)), key=lambda each: each.started or "", reverse=True)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    elif not found:
        say(f"There are no run directories in {folder!r}.")
    else:
        show_table(
            ("run", "pipeline", "state", "rows", "failed", "answers", "started"),
            [
                (each.run, each.pipeline or "", each.state, *map(_count, _counts(each)), each.started or "")
                for each in found
            ],
        )


def _counts(run: Listed) -> tuple[int | None, ...]:
    return run.rows, run.failed, run.answers


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
    noted = _reported(report) if report else _in_ledger(path, is_pipeline=bool(note))
    state = "running" if _is_held(path) else noted.state
    return Listed(
        run=str(path),
        pipeline=note.get("name") or report.get("pipeline"),
        state=state,
        rows=noted.rows,
        failed=noted.failed,
        answers=None if state == "finished" else _answers(path),
        started=note.get("started") or report.get("started"),
    )


def _reported(report: dict[str, Any]) -> _Noted:
    steps = [step for step in report.get("steps") or () if isinstance(step, dict)]
    state = "finished" if report.get("finished") else "stopped" if report.get("error") else "interrupted"
    return _Noted(state, _written(steps), sum(int(step.get("rows_failed") or 0) for step in steps))


def _in_ledger(path: Path, *, is_pipeline: bool) -> _Noted:
    """What a task's own run leaves, which has no report: how each step ended, the one that ended last at the end.

    A pipeline writes its report at its end, so without one it has not come there.
    """
    steps = _queried(path, "SELECT error, rows_open, rows_out, rows_failed FROM yields")
    errors = [error for error, *_ in steps if error is not None]
    if is_pipeline or not steps or "Unfinished" in errors or any(open for _, open, _, _ in steps):
        return _Noted("interrupted", None, None)
    failed = sum(count for *_, count in steps)
    return _Noted("stopped" if errors else "finished", steps[-1][2], failed)


def _answers(path: Path) -> int | None:
    found = _queried(path, "SELECT count(*) FROM answers")
    return found[0][0] if found else None


def _queried(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What a ledger says; nothing where it cannot be read, for the other runs are to be listed."""
    ledger = path / FILE
    try:
        with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.Error:
        return []


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's contents; nothing where it cannot be read, for the other runs are to be listed."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


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
