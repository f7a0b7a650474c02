"""What `limbeck run` and `limbeck generate` take, as one description of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.errors import ConfigurationError

from .execution import execute
from .recipe import Recipe, read_recipe
from .settings import Setting, TaskSpec, split_setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .exits import ExitCode
    from .run_options import Options, TaskOptions


def run_file(
    path: str, settings: Sequence[str], *, source: str | None, output: str | None, options: Options
) -> ExitCode:
    """Run the tasks of a YAML file.

    Raises:
        LimbeckError: something is wrong that shows before any model is asked.
    """
    recipe = read_recipe(path, settings)
    if source is not None:
        recipe.input, recipe.where = source, "--input"
    if output is not None:
        recipe.output = output
    return execute(recipe, options)


def generate_rows(
    model: str, task: TaskOptions, *, settings: Sequence[str], source: str, output: str, options: Options
) -> ExitCode:
    """Run one task over rows.

    Args:
        model: `provider/model`. task: the task, by default `text-generation`.
        settings: the `--set` arguments. source, output: paths or "-".
        options: the rest.

    Raises:
        LimbeckError: as `run_file`.
    """
    named = task.name or "text-generation"
    spec = TaskSpec(named, "--task", {"llm": model}, {"llm": "--model"})
    for name, (value, flag) in task.fields.items():
        spec.fields[name], spec.origins[name] = value, flag
    spec.settings.extend(_setting(argument) for argument in settings)
    return execute(Recipe(named, source, output, [spec]), options)


def _setting(argument: str) -> Setting:
    key, text = split_setting(argument)
    owner, *rest = key.split(".")
    if owner not in ("task", "llm") or not all(rest) or not rest:
        raise ConfigurationError(f"--set {key}: expected `task.FIELD` or `llm.NAME`.")
    return Setting(f"--set {key}", tuple(rest if owner == "task" else [owner, *rest]), text)
