"""What `limbeck run` and `limbeck generate` do: everything is checked, then rows stream, then the run is summed up."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import chain as joined
from itertools import islice
from typing import TYPE_CHECKING, Any

from limbeck.errors import AuthenticationError, ConfigurationError, RunStoppedError

from .exits import ExitCode, forget_stdout
from .pydantic_guard import make_pydantic_usable
from .recipe import Recipe, read_recipe
from .settings import Setting, TaskSpec, split_setting
from .sinks import open_sink
from .sources import Source, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from limbeck.types import Row

    from .chain import Chain
    from .sinks import Sink

# As many as the engine looks at before it misses a column.
_LOOK_AHEAD_ROWS = 256


@dataclass(frozen=True, slots=True)
class Options:
    """What both commands take.

    Attributes:
        limit: rows to read at most. overwrite: replace an existing output. quiet: no progress.
        run_dir: where every answer is kept, so that the same command goes on where it stopped.
    """

    limit: int | None = None
    overwrite: bool = False
    quiet: bool = False
    run_dir: str | None = None


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
    return _execute(recipe, options)


def generate_rows(
    task: str,
    model: str,
    *,
    fields: Mapping[str, tuple[Any, str]],
    settings: Sequence[str],
    source: str,
    output: str,
    options: Options,
) -> ExitCode:
    """Run one task over rows.

    Args:
        task: its name. model: `provider/model`.
        fields: the task's fields that have an option of their own, and the option.
        settings: the `--set` arguments. source, output: paths or "-".
        options: the rest.

    Raises:
        LimbeckError: as `run_file`.
    """
    spec = TaskSpec(task, "--task", {"llm": model}, {"llm": "--model"})
    for name, (value, flag) in fields.items():
        spec.fields[name], spec.origins[name] = value, flag
    spec.settings.extend(_setting(argument) for argument in settings)
    return _execute(Recipe(task, source, output, [spec]), options)


def _setting(argument: str) -> Setting:
    key, text = split_setting(argument)
    owner, *rest = key.split(".")
    if owner not in ("task", "llm") or not all(rest) or not rest:
        raise ConfigurationError(f"--set {key}: expected `task.FIELD` or `llm.NAME`.")
    return Setting(f"--set {key}", tuple(rest if owner == "task" else [owner, *rest]), text)


def _execute(recipe: Recipe, options: Options) -> ExitCode:
    make_pydantic_usable()
    from .build import build_tasks
    from .chain import Chain, check_columns

    tasks = build_tasks(recipe.tasks)
    source = _source(recipe, tasks[0])
    for task in tasks:
        task.load()
    rows: Iterator[Row] = islice(source.rows, options.limit)
    if source.patient:
        first = list(islice(rows, _LOOK_AHEAD_ROWS))
        if first:
            check_columns(tasks, first)
        rows = joined(first, rows)
    path = recipe.input if isinstance(recipe.input, str) else None
    sink = open_sink(recipe.output, overwrite=options.overwrite, source=path)
    try:
        return _stream(recipe, Chain(tasks, rows, run_dir=options.run_dir), source, sink, options)
    finally:
        for task in tasks:
            task.unload()


def _source(recipe: Recipe, first: Any) -> Source:
    if recipe.input is not None:
        return open_source(recipe.input, recipe.where)
    seeds = getattr(first, "seeds", None)
    if seeds is None:
        raise ConfigurationError(
            f"{recipe.tasks[0].where}: the run has no `input`, and the task {first.name!r} makes no rows of its own."
        )
    return Source(f"the task {first.name!r}", seeds())


def _stream(recipe: Recipe, chain: Chain, source: Source, sink: Sink, options: Options) -> ExitCode:
    from .chain import Interrupt
    from .progress import Progress, shown
    from .summary import Summary

    progress = Progress(recipe.name, chain, source.count, limit=options.limit)
    summary = Summary(chain, sink)
    on_screen = recipe.output == "-" and sys.stdout.isatty()
    finished = False
    with Interrupt(chain) as interrupt:
        try:
            with shown(progress, quiet=options.quiet, rows_on_screen=on_screen):
                for row in chain:
                    sink.write(row)
                    summary.note(row)
            finished = chain.error is None and not interrupt.happened
        except BrokenPipeError:
            forget_stdout()
            return ExitCode.BROKEN_PIPE
        except OSError as exc:
            chain.error = ConfigurationError(f"{sink.name} cannot be written any further: {exc.strerror or exc}.")
        finally:
            chain.close()
            sink.close(finished=finished)
    code = _code(chain, interrupted=interrupt.happened)
    summary.tell(code, seconds=progress.seconds, quiet=options.quiet)
    return code


def _code(chain: Chain, *, interrupted: bool) -> ExitCode:
    if interrupted:
        return ExitCode.INTERRUPTED
    asked = any(stats.requests or stats.reused for stats in chain.stats)
    if chain.error is not None:
        stopped = asked or isinstance(chain.error, RunStoppedError | AuthenticationError)
        return ExitCode.STOPPED if stopped else ExitCode.ERROR
    return ExitCode.FAILED_ROWS if any(stats.rows_failed for stats in chain.stats) else ExitCode.GOOD
