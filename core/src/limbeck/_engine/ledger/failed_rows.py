"""`failed.jsonl`: the rows that failed, with their errors, in a form that can be fed back."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from ...errors import LedgerError
from ..rows.plain import finite

if TYPE_CHECKING:
    from pathlib import Path

    from ...errors import GenerationError
    from ...types import Row
    from ..calls.jobs import Job, Outcome

FAILED_COLUMN = "limbeck_error"


class FailedRows:
    """Writes the input rows of a step that failed, with their errors, in a form that can be fed back.

    Args:
        path: the file, which is added to. step: the step's name. model_name: of its LLM; None for a step without one.
    """

    def __init__(self, path: Path, step: str, model_name: str | None = None) -> None:
        self._step = step
        self._model_name = model_name
        self._path = path
        self._file: IO[str] | None = None

    def write(self, job: Job) -> None:
        """Add a task's row. Called on the portal's loop; failures are few."""
        errors = [
            _error_entry(sample, outcome.error) | {"model_name": self._maker_of(outcome)}
            for sample, outcome in enumerate(job.outcomes)
            if outcome.error is not None
        ]
        self._write(job.id, job.row, errors)

    def _maker_of(self, outcome: Outcome) -> str | None:
        return outcome.maker or (self._model_name if outcome.lineage is None else outcome.lineage.model_name)

    def write_row(self, id: str, given: Any, error: GenerationError) -> None:
        """Add a row that failed at a step without an LLM."""
        self._write(id, given, [_error_entry(0, error)])

    def _write(self, id: str, given: Any, errors: list[Row]) -> None:
        row = given if isinstance(given, dict) else {"row": given}
        line = _line(row, {FAILED_COLUMN: {"step": self._step, "row": id, "errors": errors}})
        try:
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(line)
            self._file.flush()
        except OSError as exc:
            raise LedgerError(f"{str(self._path)!r} cannot be written: {exc}.") from exc

    def close(self) -> None:
        """The run is over."""
        if self._file is not None:
            with suppress(OSError):  # what could not be written was told already
                self._file.close()


def _error_entry(sample: int, error: GenerationError) -> Row:
    entry = {
        "sample": sample,
        "type": type(error).__name__,
        "message": str(error),
        "attempts": error.attempts,
        "raw": error.raw,
    }
    return entry if error.turn is None else entry | {"turn": error.turn}


def _line(row: Row, error: Row) -> str:
    """A row and what befell it; of a row that JSON cannot hold, as much as it can."""
    try:
        return json.dumps(finite({**row, **error})) + "\n"
    except (TypeError, ValueError, RecursionError):
        columns = {str(column): value if type(value) in (str, int) else repr(value) for column, value in row.items()}
        return json.dumps({**columns, **error}) + "\n"
