"""The jobs of the commands that run rows: each makes a recipe, and has it checked or run."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from limbeck import plugins
from limbeck.errors import LimbeckError

from .exits import say
from .pydantic_guard import make_pydantic_usable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.recipes import Recipe

    from .exits import ExitCode
    from .options import CommandOptions, TaskOptions


def run_file(
    path: str, settings: Sequence[str], *, source: str | None, output: str | None, options: CommandOptions
) -> ExitCode:
    """Run the pipeline of a file.

    Raises:
        LimbeckError: something is wrong that shows before any model is asked.
    """
    from .execution import execute

    return execute(_recipe_of_file(path, settings, source=source, output=output), options)


def generate_rows(
    model: str, task: TaskOptions, *, settings: Sequence[str], source: str, output: str, options: CommandOptions
) -> ExitCode:
    """Run one task over rows.

    Args:
        model: `provider/model`. task: the task, by default `text-generation`.
        settings: the `--set` arguments. source, output: paths or "-".
        options: the rest.

    Raises:
        LimbeckError: as `run_file`.
    """
    from .execution import execute

    return execute(_recipe_of_task(model, task, settings=settings, source=source, output=output), options)


def resume_run(run_dir: str, settings: Sequence[str], *, options: CommandOptions) -> ExitCode:
    """Go on with a run, from what its directory says of it.

    Raises:
        LimbeckError: it does not say it, or as `run_file`.
    """
    from limbeck.runs import Run

    from .execution import execute

    make_pydantic_usable()
    return execute(Run.named(run_dir).recipe(settings), options)


def validate_file(path: str, settings: Sequence[str], *, load: bool) -> None:
    """Check all of a file that can be checked without asking a model, and say so.

    Args:
        load: whether to look for each provider's SDK and key.

    Raises:
        ConfigurationError: what is wrong, where it was written.
    """
    from limbeck.recipes import RunSettings

    from .execution import prepare
    from .options import CommandOptions

    prepared = prepare(_recipe_of_file(path, settings, source=None, output=None), CommandOptions(RunSettings()))
    for task in prepared.tasks if load else ():
        if not callable(getattr(task.llm, "generate_batch", None)):  # which would load its weights
            task.load()
    steps = prepared.pipeline.steps
    chained = prepared.pipeline.edges == list(pairwise(steps))
    say(f"{path} is good: {len(steps)} steps, {(' -> ' if chained else ', ').join(steps)}.")


def _recipe_of_file(path: str, settings: Sequence[str], *, source: str | None, output: str | None) -> Recipe:
    from limbeck.recipes import recipe_of_file

    make_pydantic_usable()
    recipe = recipe_of_file(path, settings)
    if source is not None:
        recipe.read_from(source, "--input")
    if output is not None:
        recipe.write_to(output, "--output")
    return recipe


def _model_field(task: str) -> str:
    """The field of a task that holds its model; that of LLMs where the task is not known, which is told later."""
    try:
        return str(getattr(plugins.get("task", task), "model_kind", "llm"))
    except LimbeckError:
        return "llm"


def _recipe_of_task(model: str, task: TaskOptions, *, settings: Sequence[str], source: str, output: str) -> Recipe:
    from limbeck.recipes import recipe_of_task

    make_pydantic_usable()
    name = task.name or "text-generation"
    entry = {"task": (name, "--task"), _model_field(name): (model, "--model"), **task.fields}
    recipe = recipe_of_task(entry, settings, where="the command line")
    recipe.read_from(source, "--input")
    recipe.write_to(output, "--output")
    return recipe
