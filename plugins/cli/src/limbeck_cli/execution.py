"""A run, from its description to its exit status: everything is checked, then rows stream, then it is summed up."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from itertools import chain as joined
from itertools import islice
from typing import TYPE_CHECKING, Any

from limbeck.errors import AuthenticationError, ConfigurationError, LedgerError, RunStoppedError

from .exits import ExitCode, forget_stdout, say
from .pydantic_guard import make_pydantic_usable
from .run_folder import RunFolder, fresh_path
from .settings import Limit
from .sinks import check_output, open_sink
from .sources import Source, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from limbeck._engine.run import RowStream
    from limbeck.types import Row

    from .chain import Chain
    from .progress import Progress
    from .recipe import Recipe
    from .run_options import Options
    from .sinks import Sink
    from .summary import Summary

# As many as the engine looks at before it misses a column.
_LOOK_AHEAD_ROWS = 256


def execute(recipe: Recipe, options: Options) -> ExitCode:
    """Run a recipe.

    Raises:
        LimbeckError: something is wrong that shows before any model is asked.
    """
    make_pydantic_usable()
    from .build import build_tasks

    recipe.run = options.run.over(recipe.run)
    for spec in recipe.tasks:
        firm = options.run.limits().items()
        spec.limits += [Limit(name, value, f"--{name.replace('_', '-')}", firm=True) for name, value in firm]
    tasks = build_tasks(recipe.tasks)
    try:
        return _Execution(recipe, options, tasks).run()
    finally:
        for task in tasks:
            task.unload()


class _Execution:
    """One run of tasks that have been built."""

    def __init__(self, recipe: Recipe, options: Options, tasks: Sequence[Any]) -> None:
        self._recipe = recipe
        self._options = options
        self._tasks = tasks
        self._input = recipe.input if isinstance(recipe.input, str) else None
        self._source = self._open_source()

    def run(self) -> ExitCode:
        """Check, run, write, sum up."""
        if not self._options.reparse:  # which needs no SDK and no key
            for task in self._tasks:
                task.load()
        rows = self._checked_rows()
        folder = self._folder()
        self._check_files(folder)
        with nullcontext() if folder is None else folder.held(self._recipe.output, self._recipe.run):
            return self._stream(rows, folder)

    # Before anything is touched

    def _open_source(self) -> Source:
        recipe, first = self._recipe, self._tasks[0]
        if recipe.input is not None:
            return open_source(recipe.input, recipe.where)
        seeds = getattr(first, "seeds", None)
        if seeds is None:
            raise ConfigurationError(
                f"{recipe.tasks[0].where}: the run has no `input`, "
                f"and the task {first.name!r} makes no rows of its own."
            )
        return Source(f"the task {first.name!r}", seeds())

    def _checked_rows(self) -> Iterator[Row]:
        """The rows; where looking ahead keeps nobody waiting, every column that is needed has been seen."""
        from .chain import check_columns

        rows: Iterator[Row] = islice(self._source.rows, self._options.limit)
        if self._source.patient:
            first = list(islice(rows, _LOOK_AHEAD_ROWS))
            if first:
                check_columns(self._tasks, first)
            rows = joined(first, rows)
        return rows

    def _folder(self) -> RunFolder | None:
        """The run's directory, if it is to have one; nothing has been made yet."""
        from .summary import is_stand_in

        run, typed = self._recipe.run, self._options.typed
        if run.run_dir is not None:
            return RunFolder(run.run_dir, None if self._options.reparse else typed)
        if self._options.reparse:
            raise ConfigurationError("Answers are read anew from a run directory: name it with --run-dir.")
        if run.no_ledger or all(map(is_stand_in, self._tasks)):  # nothing is paid for
            return None
        return RunFolder(fresh_path(self._recipe.name), typed, fresh=True)

    def _check_files(self, folder: RunFolder | None) -> None:
        """Raise unless the output may be written, and the directory be used.

        Raises:
            ConfigurationError: the output may not be written.
            LedgerError: there is nothing to read anew.
        """
        output, overwrite = self._recipe.output, self._options.overwrite
        if folder is None:
            check_output(output, replace=lambda: overwrite, source=self._input)
            return
        folder.refuse_own_file(self._input, "input")
        folder.refuse_own_file(output, "output")
        check_output(
            output,
            replace=lambda: overwrite or folder.made(output),
            source=self._input,
            run_dir=None if folder.fresh else folder.path,
        )
        if self._options.reparse:
            folder.require_ledger()

    # Running

    def _stream(self, rows: Iterator[Row], folder: RunFolder | None) -> ExitCode:
        from .progress import Progress
        from .summary import Summary

        sink = open_sink(self._recipe.output)
        chain = self._chain(rows, sink, folder)
        if folder is not None:
            folder.used = True  # from here on there may be answers in it
        progress = Progress(self._recipe.name, chain, self._source.count, limit=self._options.limit)
        summary = Summary(chain, sink)
        early = sys.stderr.isatty() and not self._options.quiet
        if folder is not None and early:
            self._tell_of(folder)
        code = self._written(chain, sink, summary, progress)
        if code is not ExitCode.BROKEN_PIPE:
            failed = folder.failed if folder is not None else None
            summary.tell(code, seconds=progress.seconds, quiet=self._options.quiet, failed=failed)
        if folder is not None:
            folder.used = code is not ExitCode.ERROR or not folder.fresh
            if folder.used and (code is not ExitCode.GOOD or not (early or self._options.quiet)):
                self._tell_of(folder)
        return code

    def _chain(self, rows: Iterator[Row], sink: Sink, folder: RunFolder | None) -> Chain:
        from .chain import Chain

        where = {} if folder is None else {"run_dir": folder.path}

        def start(task: Any, rows: Iterator[Any]) -> RowStream:
            method = task.reparse if self._options.reparse else task.run
            how = {} if self._options.reparse else self._recipe.run.arguments()
            stream: RowStream = method(rows, **where, **how)
            return stream

        try:
            return Chain(self._tasks, rows, start)
        except BaseException:
            sink.close(finished=False)
            raise

    def _written(self, chain: Chain, sink: Sink, summary: Summary, progress: Progress) -> ExitCode:
        """Have everything run and written; how it ended."""
        from .chain import Interrupt
        from .progress import shown

        on_screen = self._recipe.output == "-" and sys.stdout.isatty()
        finished = False
        with Interrupt(chain) as interrupt:
            try:
                with shown(progress, quiet=self._options.quiet, rows_on_screen=on_screen):
                    for row in chain:
                        sink.write(row)
                        summary.note(row)
                finished = chain.error is None and interrupt.happened is None
            except BrokenPipeError:
                forget_stdout()
                return ExitCode.BROKEN_PIPE
            except OSError as exc:
                chain.error = ConfigurationError(f"{sink.name} cannot be written any further: {exc.strerror or exc}.")
            finally:
                chain.close()
                sink.close(finished=finished)
        return _code(chain, interrupt.happened)

    def _tell_of(self, folder: RunFolder) -> None:
        """Say where the answers are, and how to go on."""
        if folder.command is not None:
            rows = ", with the same rows on stdin" if self._input == "-" else ""
            say(f"Every answer is kept in {folder.path}. To go on from there{rows}: {folder.command}")


def _code(chain: Chain, interrupted: signal.Signals | None) -> ExitCode:
    if interrupted is not None:
        return ExitCode.TERMINATED if interrupted is signal.SIGTERM else ExitCode.INTERRUPTED
    asked = any(stats.requests or stats.reused for stats in chain.stats)
    if chain.error is not None:
        stopped = asked or isinstance(chain.error, RunStoppedError | AuthenticationError | LedgerError)
        return ExitCode.STOPPED if stopped else ExitCode.ERROR
    return ExitCode.FAILED_ROWS if any(stats.rows_failed for stats in chain.stats) else ExitCode.GOOD
