"""Tasks: steps that ask a model about every row."""

from __future__ import annotations

import threading
from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias, TypeVar, Unpack

from pydantic import BeforeValidator, Field, NonNegativeInt, PlainSerializer, PositiveInt, PrivateAttr

from .._keywords import check_keywords, spelt_out
from .._step import Step, required_columns
from ..errors import ConfigurationError, MissingColumnError
from ..types import ModelKind
from .forms import check_complete, check_form, is_llm_field, noted_config
from .run_options import DEFAULTS, RunOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .._engine.answers.condition import Where
    from .._engine.answers.explain import Explanation
    from .._engine.calls.policy import Policy
    from .._engine.money.budget import Budget
    from .._engine.money.estimate import Estimate
    from .._engine.money.prices import PriceSource
    from .._engine.run import AsyncRowStream, RowStream, TaskRun
    from .._engine.stream.parts import Asking
    from ..protocols import LedgerProtocol
    from ..types import ChatType, Example, Generation, GenerationRequest, Row

M = TypeVar("M")

# A required column may first be seen this late in a stream.
_LOOK_AHEAD_ROWS = 256

# Threads that use a task for the first time load it once, and find one backend for its LLM.
_loading = threading.RLock()


def _resolve(value: Any) -> Any:
    from .._llm.llm import resolve_llm

    return resolve_llm(value)


def _config(value: Any) -> Any:
    from .._llm.llm import config_of

    return config_of(value)


if TYPE_CHECKING:  # of the two forms a class needs one, which a type checker cannot know

    def _needed(method: M) -> M:
        return method
else:
    _needed = abstractmethod

LLMField: TypeAlias = Annotated[Any, BeforeValidator(_resolve), PlainSerializer(_config)]
"""The type of a field that holds an LLM: an object with the methods of a backend, `"provider/model"`, or a mapping.

A task's further LLMs are fields of this type; they are resolved, loaded, limited and priced as `llm` is.
"""


class _Loaded(tuple[Any, ...]):
    """The backends of a task that was loaded; one that is copied or pickled is loaded anew."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        return _Loaded, ()


class ModelTask(Step):
    """A step that holds a model, and asks it about every row; `Task` holds an LLM, others a model of another kind.

    A subclass defines `inputs`, `outputs`, `format_input` and `format_output` (or `format_generation`); `examples`
    and `parameters_for` are optional. Its class variable `needs` names the capabilities without which no model can
    answer it, such as "vision".

    Attributes:
        model_kind: (of the class) the kind of its model, and the name of the field that holds it.
        num_generations: answers for each row.
        group_generations: one row with lists instead of one row an answer.
        on_error: "keep" a failed generation as nulls with its error, "drop" it, or "raise".
        add_raw_output: keep the model's answer in the metadata. add_raw_input: what was asked too.
        add_statistics: tokens, latency and finish reason too, with reasoning, tool calls and
            logprobs where the model gave them.
    """

    _kind_of_class: ClassVar[str] = "task"
    model_kind: ClassVar[ModelKind] = "llm"

    needs: ClassVar[tuple[str, ...]] = ()
    converse: ClassVar[Any] = None

    num_generations: PositiveInt = 1
    group_generations: bool = False
    add_raw_output: bool = True
    add_raw_input: bool = False
    add_statistics: bool = False

    _backends: tuple[Any, ...] = PrivateAttr(default=_Loaded())

    if TYPE_CHECKING:
        output_schema: ClassVar[Any]

        @property
        def llm(self) -> Any:
            """The model, whatever its kind."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        check_form(cls, ModelTask)

    def __new__(cls, *_args: Any, **_fields: Any) -> Self:
        """Refuse a class that asks in no form."""
        check_complete(cls)
        return super().__new__(cls)

    def _kind(self) -> Any:
        return "task"

    def _written_columns(self) -> list[str]:
        from ..types import METADATA
        from .grouping import MODEL_NAME

        return [*dict.fromkeys([*self.outputs, METADATA, MODEL_NAME])]

    @_needed
    def format_input(self, input: Row) -> Any:
        """What the model is asked about `input`, whose columns have the task's own names."""
        raise NotImplementedError

    @_needed
    def format_output(self, output: Any, input: Row) -> Row:
        """The output columns, from the model's answer."""
        raise NotImplementedError

    def format_generation(self, generation: Generation, input: Row) -> Row:
        """The output columns, from the whole answer; in place of `format_output`, for more than its text or value."""
        from .kind_forms import FORMS

        return self.format_output(FORMS[self.model_kind].answer(generation), input)

    def parameters_for(self, input: Row) -> Mapping[str, Any]:  # noqa: ARG002 - most rows have none
        """The parameters for a row, over those of the model. They are a part of what its answer is of."""
        return {}

    def examples(self) -> Sequence[Example]:
        """Worked examples: for the docs, the contract suite and the offline model."""
        return ()

    def schema_for(self, input: Row) -> Any:  # noqa: ARG002 - a task whose schema is in a column overrides this
        """The pydantic model or JSON Schema the answer must satisfy, or None. By default `output_schema`."""
        return getattr(self, "output_schema", None)

    # Running

    def load(self) -> None:
        """Check the LLM, its SDK and its credentials. Idempotent; `process` does it when it was not done.

        Raises:
            ConfigurationError: what is missing, and the remedy. No row has been read.
        """
        if self._is_loaded():
            return
        with _loading:
            if not self._is_loaded():
                self._load()

    def _load(self) -> None:
        from ..backends import check_capabilities
        from .examples import example_turns

        check_capabilities(self.llm, self.needs, needed_by=f"Task {self.name!r}")
        for held in [*self._llms(), *self._tool_sets()]:
            load = getattr(held, "load", None)
            if load is not None:
                load()
        prime = getattr(self.llm, "prime", None)
        if prime is not None:
            prime([turn for example in self.examples() for turn in example_turns(self, example)])
        self._backends = _Loaded(map(self._backend_of, self._llms()))

    def _backend_of(self, model: Any) -> Any:
        from .._engine.online.backend import backend_of

        return backend_of(model, self.model_kind)

    def _llms(self) -> list[Any]:
        """All that it may ask, its own first."""
        return [self.llm]

    def _tool_sets(self) -> list[Any]:
        """The sets of tools in its fields."""
        values = [getattr(self, name) for name in type(self).model_fields]
        held = [each for value in values for each in (value if isinstance(value, list | tuple) else [value])]
        return [each for each in held if hasattr(each, "list_tools")]

    def _is_loaded(self) -> bool:
        """Tell whether what `load` made still holds: not after a fork, nor once the task has another LLM."""
        backends, llms = self._backends, self._llms()
        return len(backends) == len(llms) and all(
            backend.llm is llm and backend.home.usable for backend, llm in zip(backends, llms, strict=True)
        )

    def unload(self) -> None:
        """Let go of the LLM; its client is closed when no other task holds it."""
        self._backends = ()

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        """Yield one list with all that comes of `inputs`, in input order.

        Works in any thread, also inside a running event loop, which waits meanwhile
        (`aprocess` does not make it wait). Answers are kept in memory only.

        Raises:
            MissingColumnError: no row has a required column; nothing was sent.
            AuthenticationError: the provider refuses the key.
            RowFailedError: a row failed, and `on_error` is "raise".
        """
        from .._engine.gather import gather_rows
        from .._engine.threads.portal import portal

        rows = _plain_rows(inputs)
        asking = self._asking()
        self._columns_seen(rows, True)
        yield portal().wait(gather_rows(asking, rows))

    async def aprocess(self, inputs: list[Row]) -> list[Row]:
        """Process in an event loop; see `process`. Gives all that comes of `inputs`, in input order."""
        import asyncio

        from .._engine.gather import gather_rows
        from .._engine.threads.portal import portal

        rows = _plain_rows(inputs)
        asking = self._asking()
        self._columns_seen(rows, True)
        return await asyncio.wrap_future(portal().submit(gather_rows(asking, rows)))

    @spelt_out(RunOptions, DEFAULTS)
    def run(self, rows: Iterable[Row], **options: Unpack[RunOptions]) -> RowStream:
        """Stream `rows` through the task; iterate over the result for the rows that come of them.

        Memory does not grow with the number of rows. A long run of failures stops it
        (`breaker_threshold` on the LLM). With a run directory every answer is on disk before
        anything is made of it: the same call again takes what is there, and asks only for the
        rest. Rows that failed are written to `failed.jsonl` there, with their errors.

        Args:
            rows: any iterable of rows, or a table of pyarrow, pandas or polars; it is read in a thread of its own.
            run_dir: where the ledger is kept: a directory, or `scheme://…` for a store that a plugin
                brings. Without one, answers are in memory only.
            ledger: a store of your own in its place, which you close.
            ordered: give rows in input order; otherwise as they are done.
            max_failed: failed rows that stop the run: a count, or a fraction below 1 of the rows
                done (judged as if at least 100 were).
            durability: "full" survives a power cut too; "normal" may lose the last group of
                answers to one. A kill costs neither more than the requests in flight.
            ledger_requests: "hash" keeps only the digest of each prompt.
            prices: your own, before those that plugins know: model to `{"input": …, "output": …}`, or
                the path of such a table.
            budget: caps that several runs share. max_cost, max_tokens, max_requests: caps of this
                run's own, which count what was spent in the directory before.
            allow_unknown_price: with `max_cost`, run an LLM that has no price too, uncounted.
            cache: run directories, or folders of them, whose answers to the same requests are taken,
                each once; they cost nothing, and are copied into this run's directory.

        Raises:
            ConfigurationError: an option has a value that it cannot have; nothing was read, made or sent.
            MissingColumnError: none of the first rows has a required column; nothing was sent.
            LedgerError: the run directory cannot be used, or not be written any more.
            UnknownPriceError: there is a cap on the cost and no price; nothing was sent.
            AuthenticationError: the provider refuses the key. The rows done before are given first.
            BudgetError: the next request might have passed a cap.
            BreakerError, FailureLimitError: as above, for too many failures.
        """
        from .._engine.run import RowStream

        return RowStream(self._run_of(ModelTask.run, rows, options))

    @spelt_out(RunOptions, DEFAULTS)
    def arun(self, rows: Iterable[Row] | AsyncIterable[Row], **options: Unpack[RunOptions]) -> AsyncRowStream:
        """Run in an event loop; see `run`. Iterate over the result with `async for`."""
        from .._engine.run import AsyncRowStream

        return AsyncRowStream(self._run_of(ModelTask.arun, rows, options))

    def reparse(
        self, rows: Iterable[Row], *, run_dir: str | Path | None = None, ledger: LedgerProtocol | None = None
    ) -> RowStream:
        """Make the output columns anew from the answers that `run` kept; no model is asked.

        For a `format_output` that has changed. A row whose answer is not there fails, as data.

        Args:
            rows: as in the run. run_dir, ledger: where it kept its answers.
        """
        from .._engine.calls.policy import Policy
        from .._engine.run import RowStream

        if run_dir is None and ledger is None:
            raise ConfigurationError("Answers are read anew from where a run kept them: give `run_dir` or `ledger`.")
        return RowStream(self._task_run(rows, Policy(ask=False), run_dir, ledger))

    def explain(self, row: Row | None, *, run_dir: str | Path, id: str | int) -> Explanation:
        """Say whether a run directory has an answer for a row, and if not, what differs from the nearest call.

        Nothing is asked, and the directory is only read. Print the result, or look at its `found`,
        `differs` and `parts`. A conversation is gone through as far as it is stored, and the first `turn` that
        is not stored is explained.

        Args:
            row: as in the run; None for the prompt that is stored, whatever made it. run_dir: the run's directory.
            id: the row's: its position in the source, from 0, and behind a chained task its sample (`17.2`).

        Raises:
            RowError: no request can be made of the row.
            ConfigurationError: the task has `converse`, and there is no row.
            LedgerError: there is no ledger in the directory.
        """
        from .explaining import explain

        return explain(self, row, run_dir=run_dir, id=str(id))

    def estimate(
        self,
        rows: Iterable[Row],
        n: int = 50,
        *,
        run_dir: str | Path | None = None,
        seed: int = 0,
        prices: PriceSource = None,
        budget: Budget | None = None,
        confidence: float = 0.95,
    ) -> Estimate:
        """Run `n` rows, and say what all of them are going to take: tokens, cost and time, with intervals.

        The rows are drawn at random; the prompts of all are made, for their lengths. With a run
        directory the answers are kept there, and `run` does not buy them again.

        Args:
            rows: as for `run`; they are read to their end.
            n: rows to run, 2 or more. seed: of the draw. confidence: of the intervals.
            run_dir, prices, budget: as in `run`.

        Raises:
            ConfigurationError: `n` is below 2.
            LimbeckError: as `run`; what stops the sample stops the estimate.
        """
        from .estimating import estimate

        return estimate(
            self, _several(rows), n, run_dir=run_dir, seed=seed, prices=prices, budget=budget, confidence=confidence
        )

    def rerun(
        self,
        rows: Iterable[Row],
        *,
        run_dir: str | Path,
        where: Where,
        llm: Any = None,
        parameters: Mapping[str, Any] | None = None,
        from_turn: int | None = None,
        ordered: bool = True,
        max_failed: float | None = None,
        prices: PriceSource = None,
        budget: Budget | None = None,
    ) -> RowStream:
        """Ask about some rows of a run again, with changed parameters or another LLM; all rows come out, in order.

        Only what `where` means is asked for; the rest is taken from the run directory as it is. The
        earlier answers stay there. The metadata of each row say what made it, under
        `lineage_<task name>`: `model_name`, `parameters`, and whether it is `new`. The same call again
        asks for nothing that it has bought.

        Args:
            rows: as in the run; columns that were added since (a judge's, say) may stand in `where`.
            run_dir: the run's directory. The task is as it was then.
            where: a condition in SQL on each row's columns as they came out and on the call's
                `finish_reason`, `failed`, `parse_failed`, `error`, `model`, `input_tokens`,
                `output_tokens`, `latency` and `attempts`; or a function of a dict of them.
            llm: who is asked instead. parameters: what changes in its `generation_kwargs`; None as a
                value takes one out. Where neither is given, the same request is made once more.
            from_turn: of a task with `converse`: the turns before it stay as they are stored, and it is asked
                anew from there. None asks the whole conversation anew.
            ordered, max_failed, prices, budget: as in `run`.

        Raises:
            ConfigurationError: the condition cannot be read, there is no run of this task, or it has no turns.
            LimbeckError: as `run`.
        """
        from .._engine.calls.options import check_options
        from .._engine.calls.policy import Policy
        from .._engine.money.prices import price_table
        from .._engine.run import RowStream
        from .rerunning import plan_of

        check_options(ordered=ordered, max_failed=max_failed)
        asking, plan = plan_of(self, where=where, llm=llm, parameters=parameters or {}, from_turn=from_turn)
        policy = Policy(ordered=ordered, max_failed=max_failed)
        how = {"rerun": plan, "prices": price_table(prices), "budget": budget}
        return RowStream(asking._task_run(rows, policy, run_dir, None, **how))  # noqa: SLF001 - a copy of itself

    def _run_of(self, method: Callable[..., Any], rows: Any, options: RunOptions) -> TaskRun:
        """The run that `run` or `arun` is called for."""
        from .._engine.calls.options import check_options
        from .._engine.calls.policy import Policy
        from .._engine.money.budget import budget_of
        from .._engine.money.prices import price_table

        check_keywords(method, options)
        given: RunOptions = {**DEFAULTS, **options}
        check_options(
            ordered=given["ordered"],
            max_failed=given.get("max_failed"),
            durability=given["durability"],
            ledger_requests=given["ledger_requests"],
        )
        budget = budget_of(
            given.get("budget"),
            max_cost=given.get("max_cost"),
            max_tokens=given.get("max_tokens"),
            max_requests=given.get("max_requests"),
            allow_unknown_price=given["allow_unknown_price"],
        )
        return self._task_run(
            rows,
            Policy(ordered=given["ordered"], max_failed=given.get("max_failed")),
            given.get("run_dir"),
            given.get("ledger"),
            durability=given["durability"],
            requests=given["ledger_requests"],
            prices=price_table(given.get("prices")),
            budget=budget,
            cache=given.get("cache"),
        )

    def _task_run(
        self,
        rows: Any,
        policy: Policy,
        run_dir: str | Path | None,
        ledger: LedgerProtocol | None,
        **how: Any,
    ) -> TaskRun:
        """A run that is about to begin; `how` are further fields of `StreamOptions`."""
        from .._engine.calls.options import check_options
        from .._engine.rows.plain import check_first_rows
        from .._engine.run import StreamOptions, TaskRun

        check_options(run_dir=run_dir)
        asking = self._asking(load=policy.ask)
        reads = asking.work.reads
        policy.breaker = asking.backend.breaker_threshold
        kept = run_dir is not None or ledger is not None
        config = noted_config(self) if kept else {}
        look = self._columns_seen
        if kept and policy.ask:
            if isinstance(rows, list | tuple):
                check_first_rows(rows, reads)
            look = partial(self._rows_looked_at, reads)
        options = StreamOptions(look, config, policy, run_dir=run_dir, ledger=ledger, **how)
        return TaskRun(asking, _several(rows), options)

    def _asking(self, *, load: bool = True) -> Asking:
        """The task with what it asks with; `load` unless nothing will be asked."""
        from .._engine.replay import replaying
        from .._engine.stream.parts import Asking
        from .._registry.registry import default_registry
        from .work import TaskWork

        registry = default_registry()
        _ = registry.hooks  # hook plugins are imported here, not on the engine's thread
        llms, replayed = self._llms(), replaying()
        if replayed is not None:
            backends = [replayed.backend(llm, self.model_kind) for llm in llms]
        elif load:
            self.load()
            backends = [*self._backends]
        else:  # nothing will be asked: no SDK and no key are needed
            backends = [*self._backends] if self._is_loaded() else [*map(self._backend_of, llms)]
        work = TaskWork(self)
        return Asking(
            *(work, backends[0], registry),
            further=backends[1:],
            talk=work.talk(llms),
            mending=work.mending(llms),
            recorded=replayed,
        )

    def _rows_looked_at(self, reads: Collection[str], rows: Sequence[Any], complete: bool) -> bool:
        """Look at rows as `_columns_seen` does, whose prompts must be written down too; the last of them is new."""
        from .._engine.rows.plain import check_first_rows

        check_first_rows(rows[-1:], reads, first=len(rows) - 1)
        return self._columns_seen(rows, complete)

    def _columns_seen(self, rows: Sequence[Any], complete: bool) -> bool:
        """Tell whether every required column is in some row; raises once it is clear that one is in none."""
        missing = [
            source
            for source in (self.input_mappings.get(name, name) for name in required_columns(self.inputs))
            if not any(source in row for row in rows if isinstance(row, dict))
        ]
        if missing and rows and (complete or len(rows) >= _LOOK_AHEAD_ROWS):
            if not any(isinstance(row, dict) for row in rows):
                from .._engine.rows.copies import row_fault

                raise ConfigurationError(f"No row can be read: {row_fault(rows[0])} No model was asked.")
            present = dict.fromkeys(column for row in rows if isinstance(row, dict) for column in row)
            own_name = next((name for name, source in self.input_mappings.items() if source == missing[0]), None)
            raise MissingColumnError(missing, task=self.name, present=list(present), own_name=own_name)
        return not missing or complete


def _several(rows: Any) -> Any:
    """`rows`, or those of a table; unless it is one row, a text or a column, whose own parts would pass for rows."""
    from .._engine.rows.copies import is_row
    from .._engine.rows.tables import chunks_of_table, columns_of_table, is_table, refuse_series

    refuse_series(rows)
    if is_table(rows):
        columns_of_table(rows)  # before anything is asked
        return (row for chunk in chunks_of_table(rows) for row in chunk)
    if isinstance(rows, str | bytes) or is_row(rows):
        raise ConfigurationError(f"A task takes rows, not one {type(rows).__name__}. For a single row, write `[row]`.")
    return rows


def _plain_rows(rows: Any) -> list[Any]:
    """The rows, each a plain dict of its own."""
    from .._engine.rows.copies import taken_row

    return [taken_row(row) for row in _several(rows)]


class Task(ModelTask):
    """A step that holds an LLM: it turns a row into a chat, and the model's text into columns.

    A subclass defines `inputs`, `outputs`, and how it asks: `format_input` and `format_output` (or
    `format_generation`) for one call a row, or `converse` for several. `examples`, `output_schema`,
    `schema_for` and `parameters_for` are optional. Its class variable `needs` names the capabilities without
    which no LLM can answer it, such as "vision".

    Attributes:
        llm: an object with the methods of a backend, `"provider/model"`, or the mapping
            `{"provider": …, **fields}`.
        repair: how often an answer that cannot be read is asked for again, with the reason in the chat.
        fallback: other LLMs, asked one after another when one has failed for good, refused or run over
            its length.
        max_turns: of one conversation.
        add_raw_output: keep the model's text in the metadata. add_raw_input: the messages too.
    """

    llm: LLMField
    repair: NonNegativeInt = 0
    fallback: list[LLMField] = Field(default_factory=list)
    max_turns: PositiveInt = 100

    converse: ClassVar[Any] = None
    """In place of `format_input` and `format_output`, for a task that asks more than once about a row: a generator

        def converse(self, input: Row, rng: random.Random): ...

    that yields `ask(…)`, `do(…)` or a list of them, is sent what comes of them, and returns the output columns.
    Both arguments may be left out; `rng` is seeded from the row's id, the sample, and the task's field `seed` where it
    has one. It does no input or output of its own, and for the same row does the same:
    a run that is resumed sends in what is stored."""

    @_needed
    def format_input(self, input: Row) -> ChatType | GenerationRequest:
        """The chat that asks the model about `input`, whose columns have the task's own names.

        A `GenerationRequest(prompt=…)` in its place is a raw prompt; parameters in it go before those of the LLM.
        """
        raise NotImplementedError

    @_needed
    def format_output(self, output: str | None, input: Row) -> Row:
        """The output columns, from the model's text (None or "" where it gave none)."""
        raise NotImplementedError

    def _llms(self) -> list[Any]:
        """All that it may ask: its own, its further ones, and those that it falls back to, at the end."""
        further = [
            value
            for name, field in type(self).model_fields.items()
            if name != "llm" and is_llm_field(field) and (value := getattr(self, name)) is not None
        ]
        others = [value for value in dict.fromkeys(map(id, further)) if value != id(self.llm)]
        by_id = {id(value): value for value in further}
        return [self.llm, *(by_id[each] for each in others), *self.fallback]


# A subclass may write `output_schema = Verdict` (pydantic then takes it for what it is, not
# for a field without an annotation), make it a property, or declare it as a field.
ModelTask.__class_vars__.add("output_schema")
Task.__class_vars__.add("output_schema")


class GeneratorTask(Task):
    """A task that needs no input rows: each of its seeds asks the model once.

    Attributes:
        num_rows: how many seeds `seeds` makes by default.
    """

    num_rows: PositiveInt = Field(default=1)

    def seeds(self) -> Iterable[Row]:
        """The rows to start from; by default `num_rows` empty ones."""
        return ({} for _ in range(self.num_rows))

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:
        """Process rows as `Task.process`, or the seeds where no rows are given."""
        return super().process(self.seeds() if inputs is None else inputs)  # type: ignore[arg-type]  # copied as they come
