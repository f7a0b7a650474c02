"""A task as the engine sees it: a row in, a request out; outcomes in, rows out."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._engine.rows.copies import plain_row, row_fault
from .._step import required_columns
from ..errors import (
    GenerationError,
    LimbeckWarning,
    OutputError,
    RowError,
    RowFailedError,
    RunStoppedError,
    described,
    has_message,
)
from ..structured import conform, json_schema_of
from ..types import Image
from .grouping import MODEL_NAME, Sample, Shape
from .kind_forms import FORMS

if TYPE_CHECKING:
    from .._engine.calls.jobs import Job, Outcome
    from ..types import Generation, Request, Row
    from .task import ModelTask


class TaskWork:
    """One run's view of a task: everything that is the same for all rows is computed once here."""

    def __init__(self, task: ModelTask, default_schema_for: Any) -> None:
        self._task = task
        self._form = FORMS[task.model_kind]
        self.name = task.name
        self.num_generations = task.num_generations
        json_schema_of(getattr(task, "output_schema", None))  # a schema that is none is the author's, not the rows'
        # Most tasks have no schema: their rows need not be asked for one.
        self._structured = hasattr(task, "output_schema") or type(task).schema_for is not default_schema_for
        self._parameters: dict[str, Any] = dict(getattr(task.llm, "generation_kwargs", None) or {})
        self._required = [(name, task.input_mappings.get(name, name)) for name in required_columns(task.inputs)]
        self.reads = frozenset(task.input_mappings.get(name, name) for name in task.inputs)
        self._renamed = [(name, source) for name, source in task.input_mappings.items() if name != source]
        self._columns = tuple(name for name in task.outputs if name != MODEL_NAME)
        self._column_set = frozenset(self._columns)
        self._optional = self._column_set - frozenset(required_columns(task.outputs))
        self._nulls = (None,) * len(self._columns)
        self._shape = Shape(
            outputs=tuple(task.output_mappings.get(name, name) for name in self._columns),
            model_name=task.llm.model_name,
            model_column=task.output_mappings.get(MODEL_NAME, MODEL_NAME),
            grouped=task.group_generations,
            drop_failed=task.on_error == "drop",
        )
        self._raises = task.on_error == "raise"
        self._raw_output = f"raw_output_{task.name}" if task.add_raw_output else None
        self._raw_input = f"raw_input_{task.name}" if task.add_raw_input else None
        self._statistics = f"statistics_{task.name}" if task.add_statistics else None
        self._error = f"error_{task.name}"
        self._lineage = f"lineage_{task.name}"
        self._warned = False

    # A row to a request

    def prepare(self, row: Row) -> Request:
        """The request for `row`.

        Raises:
            RowError: the row lacks a required column, or the task cannot make a request of it.
        """
        input = self._input(row)
        method = "format_input"
        try:
            asked: Any = self._task.format_input(input)  # whatever an author returns
            method = "schema_for"
            schema = json_schema_of(self._task.schema_for(input)) if self._structured else None
        except BaseException as exc:  # an author's `sys.exit` too: on the engine's thread it would end every run
            raise RowError(f"`{method}` of task {self.name!r} raised {described(exc)}") from exc
        request: Any = self._form.requested(asked, self._parameters, self.name)
        return request if schema is None else replace(request, output_schema=schema)  # type: ignore[no-any-return]

    def _input(self, row: Any) -> Row:
        """The row with the task's own names for its columns: a plain copy, which the task's methods may change."""
        if not isinstance(row, dict):  # a column of another name than a text is no fault here: nothing is written
            raise RowError(row_fault(row) or "A row must be a dict of columns.")
        for name, source in self._required:
            if source not in row:
                raise RowError(f"The row lacks the column `{source}`, which task {self.name!r} needs as `{name}`.")
        own = plain_row(row)
        for name, value in [(name, own[source]) for name, source in self._renamed if source in own]:
            own[name] = value
        return own

    # Outcomes to rows

    def unreadable(self, job: Job) -> list[int]:
        """The samples of a row whose answer is there already and cannot be read; what can be is kept for `finish`."""
        samples = []
        for sample, outcome in enumerate(job.outcomes):
            if outcome.generation is not None:
                try:
                    outcome.columns = self._values(outcome.generation, job.row)
                except GenerationError:
                    samples.append(sample)
        return samples

    def finish(self, job: Job) -> list[Row]:
        """The rows that come of a row; an outcome whose text cannot be read becomes a failed one, in place.

        Raises:
            RowFailedError: a generation failed, and the task says to raise.
        """
        row: Any = job.row
        if not isinstance(row, dict):
            row = {}
        if not self._warned:
            self._warn_of_overwriting(row)
        samples = []
        for outcome in job.outcomes:
            values = outcome.columns or self._nulls
            if outcome.generation is not None and outcome.columns is None:
                try:
                    values = self._values(outcome.generation, row)
                except GenerationError as exc:
                    exc.attempts = outcome.attempts
                    outcome.error = exc
            if outcome.error is not None and self._raises:
                raise RowFailedError(task=self.name, index=job.index, error=outcome.error) from outcome.error
            model_name = None if outcome.lineage is None else outcome.lineage.model_name
            samples.append(Sample(values, self._metadata(job, outcome), outcome.error is not None, model_name))
        return self._shape.rows(row, samples)

    def columns(self, generation: Generation, row: Row) -> Row:
        """`row` with the output columns that an answer makes.

        Raises:
            GenerationError: the answer cannot be read.
        """
        return {**row, **dict(zip(self._shape.outputs, self._values(generation, row), strict=True))}

    def _values(self, generation: Generation, row: Row) -> tuple[Any, ...]:
        input = self._input(row)
        answer = self._form.answer(generation)
        method = "schema_for"
        try:
            schema = self._task.schema_for(input) if self._structured else None
            if schema is not None:
                answer = conform(answer, schema)
            method = "format_output"
            columns = self._task.format_output(answer, input)
        except GenerationError as exc:
            if not has_message(exc):
                raise OutputError(
                    f"`{method}` of task {self.name!r} raised {described(exc)}", raw=generation.text
                ) from exc
            exc.raw = generation.text
            raise
        except BaseException as exc:  # as in `prepare`
            message = f"`{method}` of task {self.name!r} raised {described(exc)}"
            raise OutputError(message, raw=generation.text) from exc
        return self._in_order(columns, generation)

    def _in_order(self, columns: Any, generation: Generation) -> tuple[Any, ...]:
        try:
            if len(columns) == len(self._columns):
                return tuple([columns[name] for name in self._columns])
        except (KeyError, TypeError):
            pass
        return self._in_order_checked(columns, generation)

    def _in_order_checked(self, columns: Any, generation: Generation) -> tuple[Any, ...]:
        if not isinstance(columns, dict):
            message = f"`format_output` of task {self.name!r} returned {type(columns).__name__}, not a dict of columns."
            raise OutputError(message, raw=generation.text)
        absent = [name for name in self._columns if name not in columns and name not in self._optional]
        undeclared = [name for name in columns if name not in self._column_set and name != MODEL_NAME]
        if absent or undeclared:
            faults = [f"did not return `{name}`, which is among its outputs" for name in absent]
            faults += [f"returned `{name}`, which is not among its outputs" for name in undeclared]
            raise OutputError(f"`format_output` of task {self.name!r} {'; '.join(faults)}.", raw=generation.text)
        return tuple([columns.get(name) for name in self._columns])

    # What stands beside the columns

    def _metadata(self, job: Job, outcome: Outcome) -> Row:
        metadata: Row = {}
        generation = outcome.generation
        if self._raw_output is not None:
            metadata[self._raw_output] = _raw_text(outcome.error) if generation is None else self._raw(generation)
        if self._raw_input is not None:
            metadata[self._raw_input] = None if job.request is None else job.request.asked
        if self._statistics is not None:
            metadata[self._statistics] = _statistics(outcome)
        lineage = outcome.lineage
        if lineage is not None:
            metadata[self._lineage] = {
                "model_name": lineage.model_name,
                "parameters": dict(lineage.parameters),
                "new": lineage.new,
            }
        if outcome.error is not None:
            metadata[self._error] = {
                "type": type(outcome.error).__name__,
                "message": str(outcome.error),
                "attempts": outcome.attempts,
            }
        return metadata

    def _raw(self, generation: Generation) -> Any:
        answer = generation.text if generation.value is None else self._form.answer(generation)
        return None if isinstance(answer, Image) else answer

    def _warn_of_overwriting(self, row: Row) -> None:
        overwritten = self._shape.overwritten(row)
        if overwritten:
            self._warned = True
            message = (
                f"Task {self.name!r} overwrites the input column {', '.join(f'`{name}`' for name in overwritten)}. "
                f"Keep both with `output_mappings={{{self._own_name(overwritten[0])!r}: '<another name>'}}`."
            )
            try:
                warnings.warn(message, LimbeckWarning, stacklevel=2)
            except LimbeckWarning as exc:  # the user has made warnings errors
                raise RunStoppedError(message) from exc

    def _own_name(self, column: str) -> str:
        """The task's own name for an output column of its rows."""
        return self._columns[self._shape.outputs.index(column)]


def _raw_text(error: GenerationError | None) -> str | None:
    return getattr(error, "raw", None)  # a backend's own error type may not have called our constructor


def _statistics(outcome: Outcome) -> Row:
    usage, generation = outcome.usage, outcome.generation
    statistics: Row = {
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "latency": outcome.latency,
        "finish_reason": generation.finish_reason if generation else None,
    }
    for name in ("reasoning", "tool_calls", "logprobs"):
        value = getattr(generation, name, None)
        if value is not None:
            statistics[name] = value
    return statistics
