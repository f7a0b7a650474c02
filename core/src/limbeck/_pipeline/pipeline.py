"""The face of a pipeline: it is built, read and written, drawn, run, run again and estimated through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from .._keywords import check_keywords, spelt_out
from .._step import open_pipeline
from .graph.graph import Graph
from .run.options import DEFAULTS, PipelineKeywords, PipelineOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Token
    from pathlib import Path

    from .._engine.answers.condition import Where
    from .._engine.money.budget import Budget
    from .._engine.money.estimate import Estimate
    from .._engine.money.prices import PriceSource
    from .config.recipe import Recipe
    from .config.run_settings import RunSettings
    from .config.text.document import Document
    from .config.text.interpolation import Environment
    from .config.written import WrittenFile
    from .run.result import PipelineResult
    from .run.streaming import PipelineStream


class Pipeline(Graph):
    """Sources, steps, tasks, routers and sinks, through which rows stream.

        with Pipeline("capitals") as p:
            load >> [small, large] >> join(group=["generation"]) >> judge
        p = Pipeline(rows, answer, save, name="capitals")

    Args:
        steps: a chain: each one's rows go to the next. A first one that is no step is taken as
            rows: a list of dicts, a table, any iterable. A text alone is the name.
        name: what messages, run directories and reports call it.
    """

    file: WrittenFile | None

    def __init__(self, *steps: Any, name: str | None = None) -> None:
        if steps and isinstance(steps[0], str):
            steps, name = steps[1:], steps[0]
        super().__init__(name=name or "pipeline")
        self._tokens: list[Token[Any]] = []
        before = None
        for step in steps:
            before = self.add(step) if before is None else self.connect(before, step)

    def __enter__(self) -> Self:
        self._tokens.append(open_pipeline.set(self))
        return self

    def __exit__(self, *_exc: object) -> None:
        open_pipeline.reset(self._tokens.pop())

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
        from .config.load import of_dict

        return _read(of_dict(data), settings)

    @classmethod
    def from_yaml(cls, source: str | Path, *, settings: Sequence[str] = ()) -> Pipeline:
        """The pipeline of a YAML file, or of a text of several lines; see `from_dict`.

        Paths are meant from the file's folder.
        """
        from .config.load import of_yaml

        return _read(of_yaml(source), settings)

    @classmethod
    def from_toml(cls, source: str | Path, *, settings: Sequence[str] = ()) -> Pipeline:
        """The pipeline of a TOML file; see `from_yaml`."""
        from .config.load import of_toml

        return _read(of_toml(source), settings)

    def to_dict(self) -> dict[str, Any]:
        """The pipeline as `from_dict` takes it: names and plain data.

        Paths are absolute. Secrets are left out; what came from the environment stays a reference to it.

        Raises:
            ConfigurationError: a step is, or holds, code that no name stands for.
        """
        from .config.written import to_dict

        return to_dict(self, self.file)

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The pipeline as the text of a YAML file, as `to_dict` has it; it is written to `path` where that is given."""
        from .config.load import write_file

        return write_file(self.to_dict(), path)

    @property
    def run_settings(self) -> RunSettings | None:
        """The settings of the file that it was read from."""
        return self.file.run if self.file is not None else None

    @property
    def environment(self) -> Environment | None:
        """The environment that this file took values from, which are not shown."""
        return self.file.environment if self.file is not None else None

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

    @spelt_out(PipelineKeywords, DEFAULTS)
    def run(
        self, rows: Any = None, *, run_dir: str | Path | None = None, **options: Unpack[PipelineKeywords]
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

    @spelt_out(PipelineKeywords, DEFAULTS)
    def rerun(
        self,
        rows: Any = None,
        *,
        run_dir: str | Path,
        where: Where,
        step: str | None = None,
        llm: Any = None,
        parameters: Mapping[str, Any] | None = None,
        from_turn: int | None = None,
        **options: Unpack[PipelineKeywords],
    ) -> PipelineResult:
        """Ask about some rows of one task of a run again; see `Task.rerun`.

        The steps before it take their answers from the run directory. Those behind it ask again
        for what has changed, and the outputs are made anew.

        Args:
            rows, run_dir: as in the run. step: the task's name; it may be left out where there is but one.
            where, llm, parameters, from_turn: which of its answers are asked for again, and how. The condition may name
                the columns of the tasks behind it too: a judge's, say.
            options: as for `run`.

        Raises:
            ConfigurationError: the condition cannot be read, or there is no such task or run.
            LimbeckError: as `run`.
        """
        from .run.rerunning import plan_for
        from .run.streaming import PipelineStream

        reruns = plan_for(self, step, where=where, llm=llm, parameters=parameters or {}, from_turn=from_turn)
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

    @spelt_out(PipelineKeywords, DEFAULTS)
    async def arun(
        self, rows: Any = None, *, run_dir: str | Path | None = None, **options: Unpack[PipelineKeywords]
    ) -> PipelineResult:
        """Run it to the end from an event loop; see `run`. `rows` may be an async iterable."""
        from .run.streaming import PipelineStream

        asked = self._options(Pipeline.arun, run_dir, options, keep=True)
        async with PipelineStream(self, rows, asked, whole=True) as stream:
            return await stream.await_end()

    @spelt_out(PipelineKeywords, DEFAULTS)
    def stream(
        self, rows: Any = None, *, run_dir: str | Path | None = None, **options: Unpack[PipelineKeywords]
    ) -> PipelineStream:
        """Start it; iterate, with `for` or `async for`, over the rows of its one leaf as they are done.

        As `run`, but without a run directory no ledger is kept.
        """
        from .run.streaming import PipelineStream

        asked = self._options(Pipeline.stream, run_dir, options, keep=False)
        return PipelineStream(self, rows, asked)

    def _options(
        self,
        method: Callable[..., Any],
        run_dir: str | Path | None,
        given: PipelineKeywords,
        *,
        keep: bool,
        **more: Any,
    ) -> PipelineOptions:
        """Join what was given and what the file says otherwise; `keep` makes a run directory if none is named."""
        from .._engine.money.prices import price_table
        from .directory.run_folder import fresh_path

        check_keywords(method, given)
        from_file: dict[str, Any] = {}
        if self.run_settings is not None:
            from_file = {**self.run_settings.arguments(), "run_dir": self.run_settings.run_dir}
        from_call = {"run_dir": run_dir, **given, "prices": price_table(given.get("prices")), **more}
        options = from_file | {name: value for name, value in from_call.items() if value is not None}
        if keep and options.get("run_dir") is None:
            options["run_dir"] = fresh_path(self.name)
        return PipelineOptions(**options)


def build_pipeline(recipe: Recipe) -> Pipeline:
    """The pipeline that a recipe describes.

    Raises:
        ConfigurationError: what is wrong, where it was written, and what is close to it.
    """
    from .config.build import build

    pipeline = Pipeline(name=recipe.name)
    pipeline.file = build(recipe, pipeline)
    return pipeline


def _read(document: Document, settings: Sequence[str]) -> Pipeline:
    from .config.recipe import read_recipe

    return build_pipeline(read_recipe(document, settings))
