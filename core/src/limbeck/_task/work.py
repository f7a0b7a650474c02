"""A task as the engine sees it: a row in, a request out; outcomes in, rows out."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .._engine.money.budget import prompt_size
from .._engine.rows.copies import plain_row, row_fault
from .._engine.stream.mending import Fallback, Mending
from .._media.parts import noted
from .._step import required_columns
from ..errors import (
    GenerationError,
    LimbeckWarning,
    MediaError,
    OutputError,
    RowError,
    RowFailedError,
    RunStoppedError,
    described,
    has_message,
)
from ..structured import conform, json_schema_of, parsed
from ..types import Generation, Image
from .conversing import TaskTalk, checked_parameters, parameters_of
from .grouping import MODEL_NAME, Sample, Shape
from .kind_forms import FORMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._engine.calls.jobs import Job, Outcome
    from ..types import Request, Row
    from .task import ModelTask


class TaskWork:
    """One run's view of a task: everything that is the same for all rows is computed once here."""

    def __init__(self, task: ModelTask) -> None:
        self._task = task
        self._form = FORMS[task.model_kind]
        self.name = task.name
        self.num_generations = task.num_generations
        json_schema_of(getattr(task, "output_schema", None))  # a schema that is none is the author's, not the rows'
        # Most tasks have no schema: their rows need not be asked for one.
        self._structured = hasattr(task, "output_schema") or overrides(task, "schema_for")
        self._whole = overrides(task, "format_generation")
        self._returns = "format_generation" if self._whole else "format_output" if task.converse is None else "converse"
        self._varies = overrides(task, "parameters_for")
        self._parameters = parameters_of(task.llm)
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
        except MediaError as exc:
            raise self._placed(exc, row) from exc
        except BaseException as exc:  # an author's `sys.exit` too: on the engine's thread it would end every run
            raise RowError(f"`{method}` of task {self.name!r} raised {described(exc)}") from exc
        parameters = self._parameters
        if self._varies:
            parameters = {**parameters, **checked_parameters(self._task, input)}
        request: Any = self._form.requested(asked, parameters, self.name)
        return request if schema is None else replace(request, output_schema=schema)  # type: ignore[no-any-return]

    def size(self, row: Row) -> float:
        """The size of what a row is asked about with, as far as that is known before; raises `RowError`."""
        if self._task.converse is None:
            return prompt_size(self.prepare(row))
        return len(repr(self._input(row)))

    def _input(self, row: Any) -> Row:
        """The row with the task's own names for its columns: a plain copy, which the task's methods may change."""
        fault = row_fault(row)
        if fault is not None or not isinstance(row, dict):
            raise RowError(fault or "A row must be a dict of columns.")
        for name, source in self._required:
            if source not in row:
                raise RowError(f"The row lacks the column `{source}`, which task {self.name!r} needs as `{name}`.")
        return self._own(row)

    def _own(self, row: Row) -> Row:
        """The same of a row that a request was made of."""
        own = plain_row(row)
        for name, value in [(name, own[source]) for name, source in self._renamed if source in own]:
            own[name] = value
        return own

    # How it asks more than once

    def talk(self, llms: Sequence[Any]) -> TaskTalk | None:
        """The task's conversations; None where a row is asked about once.

        Args:
            llms: all that it may ask, its own first, and those that it falls back to last.
        """
        task: Any = self._task
        if task.converse is None:
            return None
        in_order = partial(self._in_order, generation=Generation(text=None))
        return TaskTalk(task, llms, input_of=self._input, in_order=in_order)

    def mending(self, llms: Sequence[Any]) -> Mending | None:
        """The ways in which the task's answers may be mended."""
        repair, fallback = getattr(self._task, "repair", 0), getattr(self._task, "fallback", ())
        if not repair and not fallback:
            return None
        first = len(llms) - len(fallback)
        fallbacks = [Fallback(first + number, llm.model_name) for number, llm in enumerate(fallback)]
        return Mending(repair, self.read, fallbacks, [*map(parameters_of, llms)])

    def _placed(self, error: MediaError, row: Row) -> MediaError:
        """The error, with the column that has its value, where only one has it."""
        value = error.value
        columns = [name for name in self.reads if row.get(name) is value or _has_part(row.get(name), value)]
        return error.in_column(columns[0]) if len(columns) == 1 else error

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
            self.read(outcome, row)
            values = outcome.columns or self._nulls
            if outcome.error is not None and self._raises:
                raise RowFailedError(task=self.name, index=job.index, error=outcome.error) from outcome.error
            model_name = None if outcome.lineage is None else outcome.lineage.model_name
            model_name = outcome.maker or model_name
            samples.append(Sample(values, self._metadata(job, outcome), outcome.error is not None, model_name))
        return self._shape.rows(row, samples)

    def read(self, outcome: Outcome, row: Row) -> None:
        """Read the columns of an answer, or put the error in its place."""
        if outcome.generation is None or outcome.columns is not None or outcome.error is not None:
            return
        try:
            outcome.columns = self._values(outcome.generation, row)
        except GenerationError as exc:
            exc.attempts = outcome.attempts
            outcome.error = exc

    def merged(self, row: Row, columns: Sequence[Any]) -> Row:
        """`row` with the output columns that were read of an answer."""
        return {**row, **dict(zip(self._shape.outputs, columns, strict=True))}

    def _values(self, generation: Generation, row: Row) -> tuple[Any, ...]:
        input = self._own(row)
        answer = self._form.answer(generation)
        method = "schema_for"
        try:
            schema = self._task.schema_for(input) if self._structured else None
            if schema is not None:
                answer = conform(answer, schema)
            if self._whole:
                method = "format_generation"
                return self._in_order(
                    self._task.format_generation(_conforming(generation, answer, schema), input), generation
                )
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
            message = (
                f"`{self._returns}` of task {self.name!r} returned {type(columns).__name__}, not a dict of columns."
            )
            raise OutputError(message, raw=generation.text)
        absent = [name for name in self._columns if name not in columns and name not in self._optional]
        undeclared = [name for name in columns if name not in self._column_set and name != MODEL_NAME]
        if absent or undeclared:
            faults = [f"did not return `{name}`, which is among its outputs" for name in absent]
            faults += [f"returned `{name}`, which is not among its outputs" for name in undeclared]
            raise OutputError(f"`{self._returns}` of task {self.name!r} {'; '.join(faults)}.", raw=generation.text)
        return tuple([columns.get(name) for name in self._columns])

    # What stands beside the columns

    def _metadata(self, job: Job, outcome: Outcome) -> Row:
        metadata: Row = {}
        if self._raw_output is not None:
            metadata[self._raw_output] = self._raw(outcome)
        if self._raw_input is not None:
            metadata[self._raw_input] = None if job.request is None else noted(job.request.asked)
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

    def _raw(self, outcome: Outcome) -> Any:
        """The answer as it came, or those of all the turns of a conversation; None of a picture."""
        if outcome.turns is not None:
            return [self._raw(turn) for turn in outcome.turns]
        generation = outcome.generation
        if generation is None:
            return _raw_text(outcome.error)
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


def _conforming(generation: Generation, text: str | None, schema: Any) -> Generation:
    return generation if schema is None else replace(generation, text=text, parsed=parsed(text, schema))


def overrides(task: ModelTask, method: str) -> bool:
    """Tell whether a task's class has its own form of an optional method."""
    from .task import ModelTask

    return getattr(type(task), method) is not getattr(ModelTask, method)


def _has_part(whole: Any, value: Any) -> bool:
    parts = whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list | tuple) else ()
    return any(each is value for each in parts)


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
