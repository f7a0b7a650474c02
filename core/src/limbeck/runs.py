"""Run directories: for programs that list, read, resume, explain, cancel and begin runs.

    from limbeck.runs import find_run, list_runs

    for summary in list_runs():
        print(summary.run, summary.state, summary.rows)
    run = find_run("capitals-20260101-120000-abc123")  # a path, or a name in `runs/`
    print(run.explain("17"))
    run.resume()

`limbeck runs`, `report`, `resume`, `retry`, `explain` and `cancel` are made of it. What a directory holds, and how its
ledger is read with SQL, is said in the reference of the run directory.

- `list_runs`, `find_run`: `RunSummary`s, and one `Run`. `fresh_path`: where a new one may be.
- `Run`: what is there (`state`, `note`, `report`, `ledger`, `failed_rows`), and what can be done with it.
- `start`: a pipeline's run as a handle that can be stopped. `Rerun`, `task_of`: which answers it asks for again.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._engine.calls.options import check_options
from ._engine.ledger.blobs import Blobs, blob_name
from ._engine.ledger.file import FAILED_FILE, FILE
from ._engine.rows.copies import taken_row
from ._lazy import lazy_names
from ._pipeline.directory.listing import RunSummary, list_runs, summary_of
from ._pipeline.directory.run_folder import PARENT, RunFolder, fresh_path
from ._pipeline.directory.run_state import NOTE, REPORT, RunState, State, document_in, state_of
from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from . import Budget, ModelTask, Pipeline, Step
    from ._engine.answers.condition import Where
    from ._engine.answers.explain import Explanation
    from ._engine.batch.cancelling import BatchEnd
    from ._pipeline.run.result import PipelineResult
    from ._pipeline.run.streaming import PipelineStream
    from .recipes import Recipe, RunSettings
    from .types import Durability, Row, StoredRequests

__all__ = [
    "BatchEnd",
    "Explanation",
    "PipelineStream",
    "Rerun",
    "Run",
    "RunState",
    "RunSummary",
    "State",
    "find_run",
    "fresh_path",
    "list_runs",
    "start",
    "task_of",
]

if not TYPE_CHECKING:  # what only some of the methods give is imported when it is asked for
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "BatchEnd": "._engine.batch.cancelling",
            "Explanation": "._engine.answers.explain",
            "PipelineStream": "._pipeline.run.streaming",
        },
    )


def find_run(named: str | Path) -> Run:
    """The run that a path names, or a name in `runs/`.

    Raises:
        ConfigurationError: there is no such directory, or no run in it.
    """
    run = Run.named(named)
    if not run.path.is_dir():
        raise ConfigurationError(f"There is no run directory {str(named)!r}, and none of that name in {PARENT!r}.")
    if not any((run.path / name).is_file() for name in (FILE, REPORT, FAILED_FILE, NOTE)):
        raise ConfigurationError(
            f"There is no run in {str(named)!r}: it has neither {FILE!r} nor {REPORT!r}. Name the directory that a run "
            "was given with --run-dir, or that it printed."
        )
    return run


class Run:
    """A run directory, which need not be there yet. Each method reads it anew, also while a run goes on in it.

    Args:
        path: the directory.

    Attributes:
        path: the same.

    Raises:
        ConfigurationError: it is the name of nothing, or a URL.
    """

    def __init__(self, path: str | Path) -> None:
        check_options(run_dir=path)
        self._folder = RunFolder(path)
        self.path = self._folder.path

    @classmethod
    def named(cls, named: str | Path) -> Run:
        """The run of a path, or, where no such directory is there, of a name in `runs/`."""
        below = Path(PARENT) / named
        return cls(below if not Path(named).is_dir() and below.is_dir() else named)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    # What is there

    @property
    def ledger(self) -> Path:
        """The ledger, an SQLite database with documented tables; it may not be there."""
        return self.path / FILE

    @property
    def failed_rows(self) -> Path:
        """The JSONL file of the rows that failed in the last run; it is not there where none did."""
        return self.path / FAILED_FILE

    def state(self) -> RunState:
        """The run's state; "unfinished" too where nothing of it can be read."""
        return state_of(self.path)

    def summary(self) -> RunSummary:
        """The run's summary, for one line of a listing."""
        return summary_of(self.path)

    def note(self) -> dict[str, Any]:
        """The facts noted at the run's beginning (`name`, `command`, `started`, …); empty where nothing can be read."""
        return document_in(self.path / NOTE)

    def report(self) -> dict[str, Any]:
        """The run's report, which a `RunReport` writes now and then; empty where nothing can be read."""
        return document_in(self.path / REPORT)

    def made(self, target: str) -> bool:
        """Tell whether an output was made from the answers here, and so can be made again.

        Raises:
            ConfigurationError: what was noted of the run cannot be read.
        """
        return self._folder.made(target)

    def content_of(self, part: Mapping[str, Any]) -> bytes:
        """The content of an image, audio or a document in a stored request, which holds its digest.

        Args:
            part: of the request's messages; it has `sha256` and `media_type`.

        Raises:
            LedgerError: it was not kept, or is damaged.
        """
        return Blobs(self.path).get(self._blob(part))

    def path_of(self, part: Mapping[str, Any]) -> Path:
        """The file of that content, which may not be there.

        Raises:
            LedgerError: there is no digest in the part.
        """
        return Blobs(self.path).path(self._blob(part))

    @staticmethod
    def _blob(part: Mapping[str, Any]) -> str:
        return blob_name(str(part.get("sha256")), str(part.get("media_type")))

    # The pipeline that was run

    def config(self) -> dict[str, Any]:
        """The configuration of the pipeline, in the form of its file.

        Raises:
            ConfigurationError: there is none, or it cannot be read; it says how else to go on.
        """
        noted = self._noted()
        config = noted.get("config")
        if isinstance(config, dict):
            return config
        command, shown = noted.get("command"), str(self.path)
        how = (
            f"run its command again: {command}"
            if command
            else f"it was started from Python, so go on there: run the same pipeline with `run_dir={shown!r}`"
        )
        raise ConfigurationError(f"{shown}/{NOTE} has no configuration to go on from; {how}.")

    def _noted(self) -> dict[str, Any]:
        path = self.path / NOTE
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(
                f"{str(self.path)!r} is no run directory: it has no {NOTE}. `limbeck runs` lists those that there are."
            ) from None
        except (OSError, ValueError, RecursionError) as exc:
            raise ConfigurationError(f"{str(path)!r} cannot be read: {exc}.") from exc
        return noted if isinstance(noted, dict) else {}

    def recipe(self, settings: Sequence[str] = ()) -> Recipe:
        """The recipe that was run, to be run here again.

        Args:
            settings: `--set` arguments on top, such as `"steps.judge.llm.temperature=0"`.

        Raises:
            ConfigurationError: as `config`; or a setting is wrong.
        """
        from .recipes import RunSettings, recipe_of_dict

        recipe = recipe_of_dict(self.config(), settings)
        recipe.override(RunSettings(run_dir=str(self.path)))
        return recipe

    def pipeline(self, settings: Sequence[str] = ()) -> Pipeline:
        """The pipeline of `recipe`, checked.

        Raises:
            ConfigurationError: as `recipe`; or its rows are not there any more, or something of it is not installed.
        """
        from .recipes import build_pipeline, check_pipeline

        recipe = self.recipe(settings)
        pipeline = build_pipeline(recipe)
        check_pipeline(pipeline, recipe)
        return pipeline

    # What can be done with it

    def resume(self, settings: Sequence[str] = (), *, observers: Sequence[object] = ()) -> PipelineResult:
        """Go on with it, to its end: only what is missing is asked.

        Args:
            settings: as of `recipe`. observers: as of `Pipeline.run`.

        Raises:
            LimbeckError: as `pipeline`, and as `Pipeline.run`.
        """
        return self.pipeline(settings).run(run_dir=self.path, observers=observers)

    def explain(self, row: str, *, step: str | None = None, settings: Sequence[str] = ()) -> Explanation:
        """Explain why a row's answer is found here, or not.

        The row is read anew where a source leads to the task, and is else as it was asked about.

        Args:
            row: its id (`17`, `17.2`). step: the task's name; it may be left out where there is but one.
            settings: as of `recipe`, to see what they change.

        Raises:
            LimbeckError: as `pipeline`; or there is no such task or row, or no ledger.
        """
        pipeline = self.pipeline(settings)
        task = task_of(pipeline, step)
        source = _source_before(pipeline, task.name)
        return task.explain(None if source is None else _row_of(source, row), run_dir=self.path, id=row)

    def cancel(self, settings: Sequence[str] = ()) -> Iterator[BatchEnd]:
        """Ask providers to end the batches that are open here, one after another; each is told at once.

        Args:
            settings: as of `recipe`, for what the run's own configuration lacks.

        Raises:
            LimbeckError: there is no ledger, or what the run says of itself cannot be read. A batch whose end is
                refused is no error: its `BatchEnd` says why.
        """
        from ._engine.batch.cancelling import cancel_batches

        return cancel_batches(self.path, self._llm_of(settings))

    def _llm_of(self, settings: Sequence[str]) -> Callable[[str], Any]:
        """Find the LLM of each step: in the run's configuration, else (a run from Python) in its ledger."""
        if (self.path / NOTE).is_file() and isinstance(self._noted().get("config"), dict):
            from .recipes import build_pipeline

            steps: Mapping[str, Step] = build_pipeline(self.recipe(settings)).steps
            return lambda step: getattr(steps.get(step), "llm", None)
        if settings:
            raise ConfigurationError(
                f"`--set` changes a run's configuration, and {str(self.path)!r} has none. Leave it out: the LLM is as "
                "the ledger has it, with the key from the environment."
            )
        return self._noted_llm

    def _noted_llm(self, step: str) -> Any:
        from ._engine.batch.cancelling import configured_llm
        from ._llm.llm import resolve_llm

        config = configured_llm(self.path, step)
        return None if config is None else resolve_llm(config)

    # For who runs something in it

    @contextmanager
    def hold(self, *, durability: Durability = "normal", ledger_requests: StoredRequests = "full") -> Iterator[None]:
        """Keep every other process out for the block. It is made where it is not there, with its ledger.

        Args:
            durability, ledger_requests: as of the run that this process has in it meanwhile.

        Raises:
            LedgerError: it cannot be used, or another process uses it.
        """
        from ._engine.ledger.ledger import release_ledger, shared_ledger

        ledger = shared_ledger(self.path, durability=durability, requests=ledger_requests)
        try:
            yield
        finally:
            release_ledger(ledger)

    def note_command(self, command: str) -> None:
        """Note what to type to go on here; to be called while it is held.

        Raises:
            LedgerError: it cannot be written.
        """
        self._folder.note_command(command)

    def discard(self) -> None:
        """Delete what a run made that did nothing, and the directory where it holds nothing else."""
        self._folder.discard()


# Beginning one


@dataclass(frozen=True, slots=True)
class Rerun:
    """The answers of a run to ask for again, and the LLM and parameters to ask with; as in `Pipeline.rerun`.

    Attributes:
        where: which. step: the task's name; None for the only one.
        llm: another LLM, or None. parameters: of sampling, on top of those that there were.
        from_turn: the first turn of a conversation that is asked anew; None for the whole.
    """

    where: Where
    step: str | None = None
    llm: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    from_turn: int | None = None


def start(
    pipeline: Pipeline,
    *,
    run_dir: str | Path | None = None,
    settings: RunSettings | None = None,
    overwrite: bool = False,
    observers: Sequence[object] = (),
    ask: bool = True,
    rerun: Rerun | None = None,
    budget: Budget | None = None,
) -> PipelineStream:
    """Begin a pipeline's run, and give the handle by which it is stopped (`stop`), waited for (`wait`) and closed.

    Use it as a context manager. `Pipeline.run` does the same, and waits.

    Args:
        settings: how it is run; by default as the pipeline's file says.
        run_dir: by default that of the settings; without one no ledger is kept, and every leaf is to be a sink.
        overwrite, observers: as of `Pipeline.run`.
        ask: False to take stored answers only; nothing is loaded that would ask.
        rerun: which answers are asked for again. budget: in place of the caps of the settings.

    Raises:
        LimbeckError: as `Pipeline.run`; what stops the run is raised by `wait`.
    """
    from ._pipeline.run.options import PipelineOptions
    from ._pipeline.run.rerunning import plan_for
    from ._pipeline.run.streaming import PipelineStream
    from .recipes import RunSettings

    settings = settings or pipeline.run_settings or RunSettings()
    folder = settings.run_dir if run_dir is None else run_dir
    if folder is None:
        _require_sinks(pipeline)
    reruns = {}
    if rerun is not None:
        how = {"where": rerun.where, "llm": rerun.llm, "parameters": rerun.parameters, "from_turn": rerun.from_turn}
        reruns = plan_for(pipeline, rerun.step, **how)
    arguments = settings.arguments()
    if budget is not None:
        arguments["budget"] = budget
    options = PipelineOptions(
        run_dir=folder, overwrite=overwrite, observers=observers, ask=ask, reruns=reruns, **arguments
    )
    return PipelineStream(pipeline, None, options, whole=True)


def task_of(pipeline: Pipeline, step: str | None = None) -> ModelTask:
    """The task of that name, or the only one.

    Raises:
        ConfigurationError: there is no such task, or there are several and none is named.
    """
    from ._pipeline.run.rerunning import task_of

    return task_of(pipeline, step)


def _require_sinks(pipeline: Pipeline) -> None:
    from ._step import Sink

    for name in pipeline.leaves:
        if not isinstance(pipeline.steps[name], Sink):
            raise ConfigurationError(
                f"Nothing takes the rows of {name!r}, and there is no run directory to keep them in. Give one with "
                "`run_dir`, lead them to a sink, or take them from `pipeline.stream()`."
            )


def _source_before(pipeline: Pipeline, name: str) -> Any:
    """The one source whose rows go to the task as they are, or None."""
    from ._step import GeneratorStep

    before = [pipeline.steps[each] for each in pipeline.before(name)]
    return before[0] if len(before) == 1 and isinstance(before[0], GeneratorStep) else None


def _row_of(source: Any, row: str) -> Row:
    from itertools import islice

    rows = (each for chunk in source.process() for each in chunk)
    found = taken_row(next(islice(rows, int(row), None), None)) if row.isdecimal() else None
    if not isinstance(found, dict):
        raise ConfigurationError(f"The source {source.name!r} has no row {row!r}; its rows are numbered from 0.")
    return found
