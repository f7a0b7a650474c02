"""A pipeline: steps by name, and the edges along which rows go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from .._keywords import check_keywords, spelt_out
from .._step import GeneratorStep, Sink, Step, open_pipeline
from ..errors import ConfigurationError
from .graph.columns import check_columns
from .graph.kinds import declared_columns, is_source
from .graph.layout import regions_of
from .run.options import DEFAULTS, Options, RunOptions
from .steps.rows import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Token
    from pathlib import Path

    from .._engine.answers.condition import Where
    from .._engine.money.budget import Budget
    from .._engine.money.estimate import Estimate
    from .._engine.money.prices import PriceSource
    from .config.run_settings import RunSettings
    from .config.text.interpolation import Environment
    from .config.written import Written
    from .run.result import PipelineResult
    from .run.streaming import PipelineStream


class Pipeline:
    """Sources, steps, tasks, routers and sinks, through which rows stream.

        with Pipeline("capitals") as p:
            load >> [small, large] >> join(group=["generation"]) >> judge
        p = Pipeline(rows, answer, save, name="capitals")

    Args:
        steps: a chain: each one's rows go to the next. A first one that is no step is taken as
            rows: a list of dicts, a table, any iterable. A text alone is the name.
        name: what messages, run directories and reports call it.
    """

    def __init__(self, *steps: Any, name: str | None = None) -> None:
        if steps and isinstance(steps[0], str):
            steps, name = steps[1:], steps[0]
        self.name = name or "pipeline"
        self._steps: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []
        self._tokens: list[Token[Any]] = []
        self.written: dict[str, Written] = {}  # how steps were written in the file it was read from
        self.run_settings: RunSettings | None = None  # what that file says of how it is run
        self.environment: Environment | None = None  # what was taken from there, and so is not shown
        before = None
        for step in steps:
            before = self.add(step) if before is None else self.connect(before, step)

    def __enter__(self) -> Self:
        self._tokens.append(open_pipeline.set(self))
        return self

    def __exit__(self, *_exc: object) -> None:
        open_pipeline.reset(self._tokens.pop())

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, steps={list(self._steps)})"

    # Building

    def add(self, step: Any) -> Any:
        """Take a step in; gives it back, or the source made of rows.

        Raises:
            ConfigurationError: another step has its name, or it is no step.
        """
        if _is_step(step):
            known = self._steps.get(step.name)
            if known is step:
                return step
            if known is not None:
                self._rename(step)
        elif isinstance(step, list | tuple) and any(map(_is_step, step)):
            raise ConfigurationError(
                "A list of steps is no step. Branches are made inside `with Pipeline(…):`, by `>>`: "
                "`source >> [first, second] >> join()`."
            )
        else:
            step = source_of(step, self._free("rows"))
        self._steps[step.name] = step
        return step

    def _rename(self, step: Any) -> None:
        """Give an unnamed repeat a name of its own."""
        if not isinstance(step, Step) or "name" in step.model_fields_set:
            raise ConfigurationError(
                f"The pipeline {self.name!r} has a step named {step.name!r} already. Names are unique in a "
                "pipeline: give one of them another `name`."
            )
        step.__dict__["name"] = self._free(step.name)  # still not counted as set by the user

    def _free(self, name: str) -> str:
        count, free = 1, name
        while free in self._steps:
            count += 1
            free = f"{name}-{count}"
        return free

    def connect(self, before: Any, after: Any) -> Any:
        """Have the rows of `before` (or of each step in a list of them) go to `after`; gives `after` back.

        Raises:
            ConfigurationError: as `add`; or the edge is there already, or leads into a source or out of a sink.
        """
        after = self.add(after)
        several = isinstance(before, list | tuple) and bool(before) and all(map(_is_step, before))
        for each in before if several else [before]:
            self._connect(self.add(each), after)
        return after

    def _connect(self, before: Any, after: Any) -> None:
        edge = (before.name, after.name)
        if edge in self._edges:
            raise ConfigurationError(f"{before.name!r} leads to {after.name!r} already.")
        if isinstance(after, GeneratorStep):
            raise ConfigurationError(
                f"{after.name!r} is a source: it takes no rows, so {before.name!r} cannot lead to it."
            )
        if isinstance(before, Sink):
            raise ConfigurationError(
                f"{before.name!r} is a sink: it gives no rows on, so it cannot lead to {after.name!r}."
            )
        self._edges.append(edge)

    # Looking

    @property
    def steps(self) -> dict[str, Any]:
        """The steps by name, each after all those that lead to it.

        Raises:
            ConfigurationError: the edges make a circle.
        """
        waiting = {name: {before for before, after in self._edges if after == name} for name in self._steps}
        ordered: dict[str, Any] = {}
        while waiting:
            ready = [name for name, before in waiting.items() if before <= ordered.keys()]
            if not ready:
                raise ConfigurationError(f"The pipeline {self.name!r} goes in a circle: {self._circle(waiting)}.")
            for name in ready:
                ordered[name] = self._steps[name]
                del waiting[name]
        return ordered

    def _circle(self, waiting: Mapping[str, set[str]]) -> str:
        path = [next(iter(waiting))]
        while path[-1] not in path[:-1]:
            path.append(next(before for before in sorted(waiting[path[-1]]) if before in waiting))
        return " -> ".join(reversed(path[path.index(path[-1]) :]))

    @property
    def edges(self) -> list[tuple[str, str]]:
        """The edges, as pairs of names, in the order they were made."""
        return list(self._edges)

    def before(self, name: str) -> list[str]:
        """The names of the steps that lead to `name`, in the order of their edges."""
        return [before for before, after in self._edges if after == name]

    def after(self, name: str) -> list[str]:
        """The names of the steps that `name` leads to, in the order of their edges."""
        return [after for before, after in self._edges if before == name]

    @property
    def leaves(self) -> list[str]:
        """The names of the steps that lead nowhere."""
        return [name for name in self.steps if not self.after(name)]

    def check(self, *, rows_given: bool = False) -> None:
        """Raise for all that is wrong with the graph and can be seen before a row has moved.

        Args:
            rows_given: whether steps that nothing leads to get rows from elsewhere.

        Raises:
            MissingColumnError: a step needs a column that the rows on an edge to it do not have.
            ConfigurationError: a circle, a step connected to nothing or without a source, a
                route that leads nowhere.
        """
        steps = self.steps
        if not steps:
            raise ConfigurationError(f"The pipeline {self.name!r} has no steps.")
        for name, step in steps.items():
            self._check_place(name, step, rows_given=rows_given)
        regions_of(self)
        self.check_columns({name: declared_columns(step) for name, step in steps.items() if not self.before(name)})

    def check_columns(self, declared: Mapping[str, Sequence[str] | None]) -> None:
        """Raise unless the columns of the sources, and what is made of them, are what every step needs."""
        check_columns(self.steps, {name: self.before(name) for name in self._steps}, declared)

    def _check_place(self, name: str, step: Any, *, rows_given: bool) -> None:
        before, after = self.before(name), self.after(name)
        if len(self._steps) > 1 and not before and not after:
            raise ConfigurationError(f"The step {name!r} of the pipeline {self.name!r} is connected to nothing.")
        if not before and not is_source(step) and not rows_given:
            raise ConfigurationError(
                f"Nothing leads to the step {name!r}, and it is no source. Put a source before it, or give rows: "
                "`pipeline.run(rows)`."
            )
        if hasattr(step, "check_followers"):
            step.check_followers(after)
        if hasattr(step, "joined") and len(before) < 2:
            raise ConfigurationError(f"The join {name!r} has {len(before)} branch to join; it needs two or more.")

    # As data

    @classmethod
    def from_dict(cls, data: dict[str, Any], *, settings: Sequence[str] = ()) -> Pipeline:
        """The pipeline that `data` describes, in the form of a pipeline's file.

        Args:
            data: names and plain data. Paths in it are meant from the working directory.
            settings: what is set on top, such as `"steps.judge.num_generations=3"`.

        Raises:
            ConfigurationError: each mistake, with its place, what was expected there and what is close.
        """
        from .config.load import of_dict, pipeline_of

        return pipeline_of(of_dict(data), settings)

    @classmethod
    def from_yaml(cls, source: str | Path, *, settings: Sequence[str] = ()) -> Pipeline:
        """As `from_dict`, of a YAML file, or of a text of several lines. Paths are meant from the file's folder."""
        from .config.load import of_yaml, pipeline_of

        return pipeline_of(of_yaml(source), settings)

    @classmethod
    def from_toml(cls, source: str | Path, *, settings: Sequence[str] = ()) -> Pipeline:
        """As `from_yaml`, of TOML."""
        from .config.load import of_toml, pipeline_of

        return pipeline_of(of_toml(source), settings)

    def to_dict(self) -> dict[str, Any]:
        """The pipeline as `from_dict` takes it: names and plain data.

        Paths are absolute. Secrets are left out; what came from the environment stays a reference to it.

        Raises:
            ConfigurationError: a step is, or holds, code that no name stands for.
        """
        from .config.written import to_dict

        return to_dict(self)

    def to_yaml(self, path: str | Path | None = None) -> str:
        """As `to_dict`, the text of a YAML file; it is written to `path` where that is given."""
        from .config.load import write_file

        return write_file(self, path)

    # Drawing

    def draw(self, format: str = "mermaid") -> str:
        """The graph as a picture's text.

        Args:
            format: "mermaid" (a flowchart that Markdown viewers show) or "svg".

        Raises:
            ConfigurationError: there is no such format.
            MissingDependencyError: the drawing library is not installed.
        """
        from .graph.drawing import draw

        return draw(self, format)

    # Running

    @spelt_out(RunOptions, DEFAULTS)
    def run(
        self, rows: Any = None, *, run_dir: str | Path | None = None, **options: Unpack[RunOptions]
    ) -> PipelineResult:
        """Run it to the end.

        Every answer is on disk, in the run directory, before anything is made of it: the same
        call with the same directory goes on where a run was stopped or killed. What is not given
        here is as the pipeline's file says, where it was read from one.

        Args:
            rows: for the steps that nothing leads to, where they are no sources.
            run_dir: by default a new `runs/<name>-<time>-<hex>` below the working directory.
            ordered: rows leave in the order of their sources (the default); otherwise as they are done.
            max_failed: failed rows that stop a step, and with it the run: a count, or a fraction below 1.
            durability, ledger_requests: as for `task.run`.
            overwrite: let sinks replace what is there. What was made from the same run directory
                is replaced without it.
            observers: objects or modules with hooks (`@hookimpl`), for this run.
            prices: your own, before those that plugins know. budget: caps that its tasks share.
            cache: run directories, or folders of them, whose answers to the same requests are taken.

        Raises:
            ConfigurationError: as `check`; or an output exists. Nothing has been asked.
            LedgerError: the run directory cannot be used, or not be written any more.
            RunStoppedError, AuthenticationError: what stopped it. What is done is in the run directory.
        """
        from .run.streaming import PipelineStream

        asked = self._options(Pipeline.run, run_dir, options, keep=True)
        with PipelineStream(self, rows, asked, whole=True) as stream:
            return stream.wait()

    @spelt_out(RunOptions, DEFAULTS)
    def rerun(
        self,
        rows: Any = None,
        *,
        run_dir: str | Path,
        where: Where,
        step: str | None = None,
        llm: Any = None,
        parameters: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> PipelineResult:
        """Ask about some rows of one task of a run again; see `Task.rerun`.

        The steps before it take their answers from the run directory. Those behind it ask again
        for what has changed, and the outputs are made anew.

        Args:
            rows, run_dir: as in the run. step: the task's name; it may be left out where there is but one.
            where, llm, parameters: which of its answers are asked for again, and how. The condition may name
                the columns of the tasks behind it too: a judge's, say.
            options: as for `run`.

        Raises:
            ConfigurationError: the condition cannot be read, or there is no such task or run.
            LimbeckError: as `run`.
        """
        from .run.rerunning import plan_for
        from .run.streaming import PipelineStream

        reruns = plan_for(self, step, where=where, llm=llm, parameters=parameters or {})
        asked = self._options(Pipeline.rerun, run_dir, options, keep=True, reruns=reruns)
        with PipelineStream(self, rows, asked, whole=True) as stream:
            return stream.wait()

    def estimate(
        self,
        rows: Any = None,
        n: int = 50,
        *,
        run_dir: str | Path | None = None,
        seed: int = 0,
        prices: PriceSource = None,
        budget: Budget | None = None,
        confidence: float = 0.95,
    ) -> Estimate:
        """Run `n` rows of its source through it, and say what all of them are going to take, with intervals.

        The rows are drawn at random, and nothing is written but the run directory, where the
        answers are kept: `run` does not buy them again. Steps over all rows see the sample only.

        Args:
            rows: as for `run`. n: rows to run, 2 or more. seed: of the draw. confidence: of the intervals.
            run_dir, prices, budget: as for `run`; without a directory the answers are not kept.

        Raises:
            ConfigurationError: `n` is below 2, or there are several sources.
            LimbeckError: as `run`.
        """
        from .run.estimating import estimate

        how: dict[str, Any] = {"run_dir": run_dir, "seed": seed, "prices": prices, "budget": budget}
        outside = open_pipeline.set(None)  # as of a run: what is made for it is no part of the pipeline
        try:
            return estimate(self, rows, n, **how, confidence=confidence)
        finally:
            open_pipeline.reset(outside)

    @spelt_out(RunOptions, DEFAULTS)
    async def arun(
        self, rows: Any = None, *, run_dir: str | Path | None = None, **options: Unpack[RunOptions]
    ) -> PipelineResult:
        """As `run`, for an event loop; `rows` may be an async iterable."""
        from .run.streaming import PipelineStream

        asked = self._options(Pipeline.arun, run_dir, options, keep=True)
        async with PipelineStream(self, rows, asked, whole=True) as stream:
            return await stream.await_end()

    @spelt_out(RunOptions, DEFAULTS)
    def stream(
        self, rows: Any = None, *, run_dir: str | Path | None = None, **options: Unpack[RunOptions]
    ) -> PipelineStream:
        """Start it; iterate, with `for` or `async for`, over the rows of its one leaf as they are done.

        As `run`, but without a run directory no ledger is kept.
        """
        from .run.streaming import PipelineStream

        asked = self._options(Pipeline.stream, run_dir, options, keep=False)
        return PipelineStream(self, rows, asked)

    def _options(
        self, method: Callable[..., Any], run_dir: str | Path | None, given: RunOptions, *, keep: bool, **more: Any
    ) -> Options:
        """What was given, and where nothing was, what the file says; `keep` makes a run directory if none is named."""
        from .._engine.money.prices import price_table
        from .directory.run_folder import fresh_path

        check_keywords(method, given)
        said: dict[str, Any] = {}
        if self.run_settings is not None:
            said = {**self.run_settings.arguments(), "run_dir": self.run_settings.run_dir}
        here = {"run_dir": run_dir, **given, "prices": price_table(given.get("prices")), **more}
        options = said | {name: value for name, value in here.items() if value is not None}
        if keep and options.get("run_dir") is None:
            options["run_dir"] = fresh_path(self.name)
        return Options(**options)


def _is_step(step: Any) -> bool:
    return isinstance(step, Step) or (hasattr(step, "process") and isinstance(getattr(step, "name", None), str))
