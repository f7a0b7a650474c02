"""`--estimate N`: some rows are run, and what all of them are going to take is said."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import typer

from limbeck.runs import fresh_path

from .exits import ExitCode, say
from .run_folder import CommandFolder
from .summary import is_stand_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .execution import Prepared
    from .options import Options


def show_estimate(prepared: Prepared, options: Options) -> ExitCode:
    """Run a sample, and print the estimate; no output is written.

    Raises:
        LimbeckError: something is wrong, or the sample was stopped.
    """
    assert options.estimate is not None  # or this is not called
    settings = prepared.recipe.run
    folder = _folder(prepared, options)
    money = {name: value for name, value in settings.money().items() if name != "cache"}
    with nullcontext() if folder is None else folder.held(settings):
        path = None if folder is None else folder.path
        estimate = prepared.pipeline.estimate(n=options.estimate, run_dir=path, **money)
        if folder is not None:
            folder.used = True
    typer.echo(str(estimate))
    if folder is not None:
        say(f"The answers are kept in {folder.path}. To run the rest: {folder.command}")
    return ExitCode.FAILED_ROWS if estimate.failed else ExitCode.GOOD


def _folder(prepared: Prepared, options: Options) -> CommandFolder | None:
    settings, typed = prepared.recipe.run, _without_estimate(options.typed or ())
    if settings.run_dir is not None:
        return CommandFolder(settings.run_dir, typed)
    if settings.no_ledger or all(map(is_stand_in, prepared.tasks)):
        return None
    return CommandFolder(fresh_path(prepared.recipe.name), typed, fresh=True)


def _without_estimate(typed: Sequence[str]) -> list[str]:
    """The command line that runs all rows."""
    words, skip = [], False
    for word in typed:
        if skip:
            skip = False
        elif word == "--estimate":
            skip = True
        elif not word.startswith("--estimate="):
            words.append(word)
    return words
