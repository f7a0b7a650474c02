"""`limbeck cancel`: asks providers to end the batches that a run has left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from limbeck.runs import Run

from .exits import ExitCode, say
from .pydantic_guard import make_pydantic_usable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.runs import BatchEnd


def cancel_run(run_dir: str, settings: Sequence[str]) -> ExitCode:
    """Ask for the end of each batch that is open in a run directory, and say of each what came of it.

    Args:
        settings: `--set` arguments, for what the run's own configuration lacks.

    Raises:
        LimbeckError: there is no such run, or what it says of itself cannot be read.
    """
    make_pydantic_usable()
    run = Run.named(run_dir)
    ends = []
    for end in run.cancel(settings):
        typer.echo(_line(end))
        ends.append(end)
    if not ends:
        say(f"No batch is open in {run.path}.")
    elif any(end.fault is None for end in ends):
        say(
            "Go on with the run to read what was answered. The rows that were cancelled fail then, and where they are "
            "50 or more (the LLM's `breaker_threshold`) the run stops with a BreakerError once it has read the rest. "
            "The run after it asks for them again."
        )
    return ExitCode.ERROR if any(end.fault for end in ends) else ExitCode.GOOD


def _line(end: BatchEnd) -> str:
    name = f"{end.step}: {end.batch or 'a batch'} of {end.requests:,} requests: "
    return name + ("its end was asked for" if end.fault is None else f"not cancelled: {end.fault}")
