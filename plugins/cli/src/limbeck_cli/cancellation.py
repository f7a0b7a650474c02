"""`limbeck cancel`: asks providers to end the batches that a run has left open."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from limbeck._engine.batch.cancelling import BatchEnd, cancel_batches, configured_llm
from limbeck._llm.llm import resolve_llm
from limbeck.errors import ConfigurationError

from .exits import ExitCode, echo, say
from .jobs import has_configuration, run_directory, steps_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def cancel_run(run_dir: str, settings: Sequence[str]) -> ExitCode:
    """Ask for the end of each batch that is open in a run directory, and say of each what came of it.

    Args:
        settings: `--set` arguments, for what the run's own configuration lacks.

    Raises:
        LimbeckError: there is no such run, or what it says of itself cannot be read.
    """
    folder = run_directory(run_dir)
    ends = []
    for end in cancel_batches(folder, _llm_of(folder, settings)):
        echo(_line(end))
        ends.append(end)
    if not ends:
        say(f"No batch is open in {folder}.")
    elif any(end.fault is None for end in ends):
        say(
            "Go on with the run to read what was answered. The rows that were cancelled fail then, and where they are "
            "50 or more (the LLM's `breaker_threshold`) the run stops with a BreakerError once it has read the rest. "
            "The run after it asks for them again."
        )
    return ExitCode.ERROR if any(end.fault for end in ends) else ExitCode.GOOD


def _llm_of(folder: str, settings: Sequence[str]) -> Callable[[str], Any]:
    """The LLM of each step: as the run's configuration says, else (a run from Python) as its ledger does."""
    if has_configuration(folder):
        steps = steps_of_run(folder, settings)
        return lambda step: getattr(steps.get(step), "llm", None)
    if settings:
        raise ConfigurationError(
            f"`--set` changes a run's configuration, and {folder!r} has none. Leave it out: the LLM is as the ledger "
            "has it, with the key from the environment."
        )
    return partial(_noted_llm, folder)


def _noted_llm(folder: str, step: str) -> Any:
    config = configured_llm(folder, step)
    return None if config is None else resolve_llm(config)


def _line(end: BatchEnd) -> str:
    name = f"{end.step}: {end.batch or 'a batch'} of {end.requests:,} requests: "
    return name + ("its end was asked for" if end.fault is None else f"not cancelled: {end.fault}")
