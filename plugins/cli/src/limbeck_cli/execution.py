"""A run, from its description to its exit status: everything is checked, then rows stream, then it is summed up."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck import GeneratorStep, Sink
from limbeck.errors import (
    AuthenticationError,
    BudgetError,
    ConfigurationError,
    LedgerError,
    LimbeckError,
    RunStoppedError,
)
from limbeck.recipes import build_pipeline, check_pipeline, sources_of
from limbeck.runs import fresh_path, start

from .exits import ExitCode, forget_stdout, say
from .failures import Failures
from .garbage import spare_what_is_there
from .interruption import Interrupt
from .outputs import check_outputs
from .progress import Progress, shown
from .run_folder import CommandFolder
from .summary import Summary, is_stand_in

if TYPE_CHECKING:
    from limbeck import Budget, Pipeline
    from limbeck.recipes import Recipe

    from .options import CommandOptions


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline that has been checked.

    Attributes:
        recipe: what it was made of, with the command line on top.
    """

    pipeline: Pipeline
    recipe: Recipe

    @property
    def tasks(self) -> list[Any]:
        """The steps that ask a model."""
        return [step for step in self.pipeline.steps.values() if hasattr(step, "llm")]


def prepare(recipe: Recipe, options: CommandOptions) -> Prepared:
    """Build and check a pipeline; rows that no sink takes go to stdout.

    Raises:
        ConfigurationError: what is wrong, where it was written.
    """
    recipe.override(options.run)
    recipe.default_output("-")
    pipeline = build_pipeline(recipe)
    for step in pipeline.steps.values():
        if options.strict and isinstance(step, GeneratorStep):
            step.on_error = "raise"
    check_pipeline(pipeline, recipe)
    return Prepared(pipeline, recipe)


def execute(recipe: Recipe, options: CommandOptions) -> ExitCode:
    """Run a recipe.

    Raises:
        LimbeckError: something is wrong that shows before any model is asked.
    """
    prepared = prepare(recipe, options)
    try:
        if options.estimate is not None:
            from .estimates import show_estimate

            return show_estimate(prepared, options)
        return _Execution(prepared, options).run()
    except LimbeckError as exc:
        raise _shown(exc, recipe) from exc.__cause__


def _shown(error: BaseException, recipe: Recipe) -> BaseException:
    """The error, or one in its place that does not show what was taken from the environment."""
    told = recipe.environment.hidden(str(error))
    return error if told == str(error) else ConfigurationError(told)


class _Execution:
    """One run of a pipeline that has been checked."""

    def __init__(self, prepared: Prepared, options: CommandOptions) -> None:
        self._pipeline = prepared.pipeline
        self._recipe = prepared.recipe
        self._tasks = prepared.tasks
        self._options = options
        self._settings = prepared.recipe.run

    def run(self) -> ExitCode:
        """Check the rest, run, and sum up."""
        folder = self._folder()
        check_outputs(self._pipeline, folder, overwrite=self._options.overwrite)
        if self._options.reparse:
            assert folder is not None  # or there would be nothing to read
            folder.require_ledger()
        for task in () if self._options.reparse else self._tasks:
            task.load()  # what a provider lacks is told before a directory is made
        spare_what_is_there()
        with nullcontext() if folder is None else folder.held(self._settings):
            return self._run(folder)

    def _folder(self) -> CommandFolder | None:
        """The run's directory, if it is to have one; nothing has been made yet."""
        settings, typed = self._settings, self._options.typed
        if settings.run_dir is not None:
            return CommandFolder(settings.run_dir, typed)
        if self._options.reparse:
            raise ConfigurationError("Answers are read anew from a run directory: name it with --run-dir.")
        if settings.no_ledger or all(map(is_stand_in, self._tasks)):  # nothing is paid for
            return None
        return CommandFolder(fresh_path(self._recipe.name), typed, fresh=True)

    def _run(self, folder: CommandFolder | None) -> ExitCode:
        failures = Failures(self._recipe.environment.hidden)
        budget = self._settings.money().get("budget")
        progress = Progress(self._pipeline, budget=budget)
        early = folder is not None and sys.stderr.isatty() and not self._options.quiet
        if folder is not None and early:
            self._tell_of(folder)
        code, error = self._streamed(folder, progress, failures, budget)
        if code is not ExitCode.BROKEN_PIPE:
            summary = Summary(self._pipeline, progress, failures)
            error = None if error is None else _shown(error, self._recipe)
            summary.tell(code, error, quiet=self._options.quiet, failed=folder.failed if folder is not None else None)
        if folder is not None:
            folder.used = code is not ExitCode.ERROR or not folder.fresh
            if folder.used and (code is not ExitCode.GOOD or not (early or self._options.quiet)):
                self._tell_of(folder)
        return code

    def _streamed(
        self, folder: CommandFolder | None, progress: Progress, failures: Failures, budget: Budget | None
    ) -> tuple[ExitCode, BaseException | None]:
        """Run and write everything; gives the exit status, and what ended the run early."""
        retry = self._options.retry
        with ExitStack() as stack:
            running = start(
                self._pipeline,
                run_dir=folder.path if folder is not None else None,
                settings=self._settings,
                overwrite=self._options.overwrite,
                observers=(progress, failures),
                ask=not self._options.reparse,
                rerun=None if retry is None else retry.rerun(self._pipeline),
                budget=budget,
            )
            stream = stack.enter_context(running)
            interrupt = stack.enter_context(Interrupt(stream.stop))
            stack.enter_context(shown(progress, quiet=self._options.quiet, rows_on_screen=self._rows_on_screen()))
            try:
                stream.wait()
            except BaseException as exc:  # noqa: BLE001 - what ended the run is told in the summary
                error: BaseException | None = exc
            else:
                error = None
        if isinstance(error, BrokenPipeError) or isinstance(getattr(error, "__cause__", None), BrokenPipeError):
            forget_stdout()
            return ExitCode.BROKEN_PIPE, error
        return _code(progress, error, interrupt.happened), error

    def _rows_on_screen(self) -> bool:
        to_stdout = (isinstance(step, Sink) and not step.targets() for step in self._pipeline.steps.values())
        return any(to_stdout) and sys.stdout.isatty()

    def _tell_of(self, folder: CommandFolder) -> None:
        """Say where the answers are, and how to go on."""
        if folder.command is not None:
            from_stdin = any(getattr(step, "paths", None) == "-" for step in sources_of(self._pipeline))
            rows = ", with the same rows on stdin" if from_stdin else ""
            say(f"Every answer is kept in {folder.path}. To go on from there{rows}: {folder.command}")


def _code(progress: Progress, error: BaseException | None, interrupted: signal.Signals | None) -> ExitCode:
    if interrupted is not None:
        return ExitCode.TERMINATED if interrupted is signal.SIGTERM else ExitCode.INTERRUPTED
    stats = progress.stats
    if isinstance(error, BudgetError):
        return ExitCode.BUDGET
    if error is not None:
        asked = any(each.requests or each.reused for each in stats)
        stopped = asked or isinstance(error, RunStoppedError | AuthenticationError | LedgerError)
        return ExitCode.STOPPED if stopped else ExitCode.ERROR
    return ExitCode.FAILED_ROWS if any(each.rows_failed for each in stats) else ExitCode.GOOD
