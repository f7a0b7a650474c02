"""What run directories say of themselves, in a line each. They are only read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._engine.ledger.file import FILE
from .run_state import NOTE, REPORT, document_in, queried, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .run_state import RunState, State


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in a line.

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


def list_runs(folder: str | Path = "runs") -> list[RunSummary]:
    """The runs whose directories lie in a folder, the latest first; none where there is no such folder."""
    return sorted(_found(Path(folder)), key=lambda each: each.started or "", reverse=True)


def _found(folder: Path) -> Iterator[RunSummary]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if (path / FILE).is_file() or (path / NOTE).is_file():
            yield summary_of(path)


def summary_of(path: Path) -> RunSummary:
    """What a run directory says of itself."""
    note, report, stands = document_in(path / NOTE), document_in(path / REPORT), state_of(path)
    rows, failed = _rows_of(report, stands)
    return RunSummary(
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
