"""`limbeck runs`: what the run directories below a folder say of themselves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from limbeck._engine.ledger.file import FILE
from limbeck._pipeline.directory.run_state import NOTE, REPORT, document_in, queried, state_of

from .exits import say
from .tables import show_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck._pipeline.directory.run_state import RunState, State


@dataclass(frozen=True, slots=True)
class Listed:
    """One run.

    Attributes:
        run: its directory. pipeline: its name, or None where it is not noted. state: how it stands.
        rows, failed: rows written and failed; None where that is not noted. started: ISO 8601.
        answers: those that its ledger holds, of a run that has not finished.
    """

    run: str
    pipeline: str | None
    state: State
    rows: int | None
    failed: int | None
    answers: int | None
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
    note, report, stands = document_in(path / NOTE), document_in(path / REPORT), state_of(path)
    rows, failed = _rows_of(report, stands)
    return Listed(
        run=str(path),
        pipeline=note.get("name") or report.get("pipeline"),
        state=stands.state,
        rows=rows,
        failed=failed,
        answers=None if stands.state == "finished" else _answers(path),
        started=note.get("started") or report.get("started"),
    )


def _rows_of(report: dict[str, Any], stands: RunState) -> tuple[int | None, int | None]:
    """Rows written and failed, as its report has them: at its end, or the last that it noted on the way."""
    over = report.get("finished") or report.get("error")
    if not report or (over and not stands.reported):
        return stands.rows, stands.failed
    steps = [step for step in report.get("steps") or () if isinstance(step, dict)]
    return _written(steps), sum(int(step.get("rows_failed") or 0) for step in steps)


def _answers(path: Path) -> int | None:
    found = queried(path, "SELECT count(*) FROM answers")
    return found[0][0] if found else None


def _written(steps: list[dict[str, Any]]) -> int:
    """The rows that left: what sinks took, or what came out of steps that lead nowhere."""
    leading = {name for step in steps for name in step.get("after") or ()}
    leaves = [step for step in steps if step.get("name") not in leading]
    return sum(int(step.get("rows_in" if step.get("kind") == "sink" else "rows_out") or 0) for step in leaves)
