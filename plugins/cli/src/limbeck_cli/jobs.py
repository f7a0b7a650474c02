"""What the commands that run rows are about: each makes a recipe, and has it checked or run."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import ConfigurationError

from .exits import say
from .pydantic_guard import make_pydantic_usable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from limbeck._pipeline.config.recipe import Recipe

    from .execution import Prepared
    from .exits import ExitCode
    from .options import Options, TaskOptions


def run_file(
    path: str, settings: Sequence[str], *, source: str | None, output: str | None, options: Options
) -> ExitCode:
    """Run the pipeline of a file.

    Raises:
        LimbeckError: something is wrong that shows before any model is asked.
    """
    from .execution import execute

    return execute(_recipe_of_file(path, settings, source=source, output=output), options)


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
    from .execution import execute

    return execute(_recipe_of_task(model, task, settings=settings, source=source, output=output), options)


def resume_run(run_dir: str, settings: Sequence[str], *, options: Options) -> ExitCode:
    """Go on with a run, from what its directory says of it.

    Raises:
        LimbeckError: it does not say it, or as `run_file`.
    """
    from limbeck._pipeline.config.run_settings import RunSettings

    from .execution import execute

    run_dir = run_directory(run_dir)
    recipe = _recipe_of_run(run_dir, settings)
    return execute(recipe, replace(options, run=options.run.over(RunSettings(run_dir=run_dir))))


def run_directory(named: str) -> str:
    """A run directory, of its path or its name in `runs/`."""
    from limbeck._pipeline.directory.run_folder import PARENT

    by_name = not Path(named).is_dir() and (Path(PARENT) / named).is_dir()
    return f"{PARENT}/{named}" if by_name else named


def has_configuration(run_dir: str) -> bool:
    """Whether a run directory says what was run there, so that its pipeline can be made from it."""
    make_pydantic_usable()
    return (Path(run_dir) / "run.json").is_file() and isinstance(_note_of(run_dir).get("config"), dict)


def _recipe_of_run(run_dir: str, settings: Sequence[str]) -> Recipe:
    from limbeck._pipeline.config.recipe import read_recipe
    from limbeck._pipeline.config.text.document import Document

    make_pydantic_usable()
    return read_recipe(Document("", _config_of(run_dir)), settings)


def _config_of(run_dir: str) -> dict[str, Any]:
    path, noted = f"{run_dir}/run.json", _note_of(run_dir)
    config = noted.get("config")
    if not isinstance(config, dict):
        command = noted.get("command")
        how = (
            f"run its command again: {command}"
            if command
            else f"it was started from Python, so go on there: run the same pipeline with `run_dir={run_dir!r}`"
        )
        raise ConfigurationError(f"{path} has no configuration to go on from; {how}.")
    return config


def pipeline_of_run(run_dir: str, settings: Sequence[str]) -> Prepared:
    """The pipeline of a run, from what its directory says of it.

    Raises:
        ConfigurationError: it does not say it.
    """
    from limbeck._pipeline.config.run_settings import RunSettings

    from .execution import prepare
    from .options import Options

    run_dir = run_directory(run_dir)
    return prepare(_recipe_of_run(run_dir, settings), Options(RunSettings(run_dir=run_dir)))


def steps_of_run(run_dir: str, settings: Sequence[str]) -> Mapping[str, Any]:
    """The steps of a run by name, from what its directory says of it; whether their rows are still there is all one.

    Raises:
        ConfigurationError: it does not say it.
    """
    from limbeck._pipeline.pipeline import build_pipeline

    return build_pipeline(_recipe_of_run(run_directory(run_dir), settings)).steps


def validate_file(path: str, settings: Sequence[str], *, load: bool) -> None:
    """Check all of a file that can be checked without asking a model, and say so.

    Args:
        load: whether to look for each provider's SDK and key.

    Raises:
        ConfigurationError: what is wrong, where it was written.
    """
    from limbeck._pipeline.config.run_settings import RunSettings

    from .execution import prepare
    from .options import Options

    prepared = prepare(_recipe_of_file(path, settings, source=None, output=None), Options(RunSettings()))
    for task in prepared.tasks if load else ():
        if not callable(getattr(task.llm, "generate_batch", None)):  # which would load its weights
            task.load()
    steps = prepared.pipeline.steps
    chained = prepared.pipeline.edges == list(pairwise(steps))
    say(f"{path} is good: {len(steps)} steps, {(' -> ' if chained else ', ').join(steps)}.")


def _note_of(run_dir: str) -> dict[str, Any]:
    path = Path(run_dir) / "run.json"
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{run_dir!r} is no run directory: it has no run.json. `limbeck runs` lists those that there are."
        ) from None
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {exc}.") from exc
    return noted if isinstance(noted, dict) else {}


def _recipe_of_file(path: str, settings: Sequence[str], *, source: str | None, output: str | None) -> Recipe:
    from limbeck._pipeline.config.load import read_document
    from limbeck._pipeline.config.recipe import read_recipe

    make_pydantic_usable()
    recipe = read_recipe(read_document(path), settings)
    if source is not None:
        recipe.replace_short("input", source, "--input")
    if output is not None:
        recipe.replace_short("output", output, "--output")
    return recipe


def _recipe_of_task(model: str, task: TaskOptions, *, settings: Sequence[str], source: str, output: str) -> Recipe:
    from limbeck._pipeline.config.recipe import Recipe, StepSpec
    from limbeck._pipeline.config.text.interpolation import Environment

    make_pydantic_usable()
    named = task.name or "text-generation"
    spec = StepSpec("task", named, "--task", {"llm": model}, {"llm": "--model"})
    for name, (value, flag) in task.fields.items():
        spec.fields[name], spec.origins[name] = value, flag
    spec.settings.extend(_setting(argument) for argument in settings)
    recipe = Recipe(named, [spec], Environment(), "the command line")
    recipe.replace_short("input", source, "--input")
    recipe.replace_short("output", output, "--output")
    return recipe


def _setting(argument: str) -> Any:
    from limbeck._pipeline.config.settings import Setting, split_setting

    key, text = split_setting(argument)
    owner, *rest = key.split(".")
    if owner not in ("task", "llm") or not all(rest) or not rest:
        raise ConfigurationError(f"--set {key}: expected `task.FIELD` or `llm.NAME`.")
    return Setting(f"--set {key}", tuple(rest if owner == "task" else [owner, *rest]), text)
