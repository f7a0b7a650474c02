"""`limbeck cancel`: asks providers to end the batches that a run has left open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from limbeck._engine.batch_cancelling import BatchEnd, cancel_batches, configured_llms
from limbeck._llm.llm import resolve_llm

from .exits import ExitCode, say
from .jobs import has_configuration, pipeline_of_run, run_directory

if TYPE_CHECKING:
    from collections.abc import Sequence


def cancel_run(run_dir: str, settings: Sequence[str]) -> ExitCode:
    """Ask for the end of each batch that is open in a run directory, and say what came of it.

    Args:
        settings: `--set` arguments, for what the run's own configuration lacks.

    Raises:
        LimbeckError: there is no such run, or its LLM cannot be made.
    """
    folder = run_directory(run_dir)
    ends = cancel_batches(folder, _llms(folder, settings))
    for end in ends:
        typer.echo(_line(end))
    if not ends:
        say(f"No batch is open in {folder}.")
    elif any(end.fault is None for end in ends):
        say(
            "Go on with the run to read what was answered; the rows that were cancelled fail then, and the run after "
            "it asks for them again."
        )
    return ExitCode.ERROR if any(end.fault for end in ends) else ExitCode.GOOD


def _llms(folder: str, settings: Sequence[str]) -> dict[str, Any]:
    """Who is asked: as the run's configuration says, else (a run that was started from Python) as its ledger does."""
    if has_configuration(folder):
        return {task.name: task.llm for task in pipeline_of_run(folder, settings).tasks}
    return {name: resolve_llm(config) for name, config in configured_llms(folder).items()}


def _line(end: BatchEnd) -> str:
    name = f"{end.step}: {end.batch or 'a batch'} of {end.requests:,} requests: "
    return name + ("its end was asked for" if end.fault is None else f"not cancelled: {end.fault}")
