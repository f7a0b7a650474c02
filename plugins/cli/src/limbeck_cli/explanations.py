"""The command `limbeck explain`: why a row's answer is found in a run directory, or not."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from limbeck._pipeline.run.rerunning import task_of
from limbeck._step import GeneratorStep
from limbeck.errors import ConfigurationError

from .exits import echo
from .jobs import pipeline_of_run, run_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck._pipeline.pipeline import Pipeline
    from limbeck.types import Row


def explain_row(run_dir: str, row: str, *, step: str | None, settings: Sequence[str]) -> None:
    """Print the explanation.

    Args:
        row: its id. step: the task's name; None for the only one. settings: `--set` arguments, to see what they change.

    Raises:
        LimbeckError: there is no such run, task or row.
    """
    run_dir = run_directory(run_dir)
    pipeline = pipeline_of_run(run_dir, settings).pipeline
    task = task_of(pipeline, step)
    source = _source_before(pipeline, task.name)
    if source is None:
        echo(str(task.explain(None, run_dir=run_dir, id=row)))
    else:
        echo(str(task.explain(_row_of(source, row), run_dir=run_dir, id=row)))


def _source_before(pipeline: Pipeline, name: str) -> Any:
    """The one source whose rows go to the task as they are, or None."""
    before = [pipeline.steps[each] for each in pipeline.before(name)]
    return before[0] if len(before) == 1 and isinstance(before[0], GeneratorStep) else None


def _row_of(source: GeneratorStep, row: str) -> Row:
    rows = (each for lot in source.process() for each in lot)
    found = next(islice(rows, int(row), None), None) if row.isdecimal() else None
    if not isinstance(found, dict):
        raise ConfigurationError(f"The source {source.name!r} has no row {row!r}; its rows are numbered from 0.")
    return found
