"""A task's conversations as the engine sees them: a row to a generator, what that returns to columns."""

from __future__ import annotations

import inspect
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, GenerationError, OutputError, RowError, described
from ..structured import json_schema_of, parsed
from ..types import GenerationRequest
from .forms import arguments_of_converse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from .._engine.calls.jobs import Outcome
    from .._engine.calls.turns import Ask
    from ..types import Row
    from .task import ModelTask, Task


class TaskTalk:
    """One run's view of the conversations of a task.

    Args:
        llms: all that the task may ask, its own first. input_of: a row with the task's own names; raises `RowError`.
        in_order: the columns of a dict, in order; raises `OutputError`.
    """

    def __init__(
        self,
        task: Task,
        llms: Sequence[Any],
        *,
        input_of: Callable[[Any], Row],
        in_order: Callable[[Any], tuple[Any, ...]],
    ) -> None:
        self.max_turns = task.max_turns
        self._task = task
        self.owner: object = task
        self._llms = llms
        self._parameters = [parameters_of(llm) for llm in llms]
        self._takes = arguments_of_converse(type(task))
        self._varies = type(task).parameters_for is not _default_parameters_for()
        self._input = input_of
        self._in_order = in_order

    def begin(self, row: Row, id: str, sample: int) -> Generator[Any, Any, Any]:
        """The conversation about a sample of a row.

        Raises:
            RowError: the row lacks a required column, or `converse` is no generator.
        """
        given: dict[str, Any] = {}
        input = self._input(row)
        if "input" in self._takes:
            given["input"] = input
        if "rng" in self._takes:
            given["rng"] = random.Random(f"{getattr(self._task, 'seed', 0)}/{id}/{sample}")  # noqa: S311 - chance, not a secret
        name = self._task.name
        try:
            begun = self._task.converse(**given)
        except BaseException as exc:  # an author's `sys.exit` too: on the engine's thread it would end every run
            raise RowError(f"`converse` of task {name!r} raised {described(exc)}") from exc
        if not inspect.isgenerator(begun):
            what = type(begun).__name__
            raise RowError(f"`converse` of task {name!r} returned {what}, not a generator: it has no `yield`.")
        return begun

    def request(self, asked: Ask, row: Row) -> tuple[int, GenerationRequest]:
        """Who is asked, by its place among the task's LLMs, and what.

        Raises:
            ConfigurationError: the LLM is none of the task's, the schema is none, or the LLM takes no tools.
        """
        who = 0 if asked.llm is None else self._place_of(asked.llm)
        parameters = self._parameters[who]
        if self._varies:
            parameters = {**parameters, **checked_parameters(self._task, self._input(row))}
        if asked.parameters:
            parameters = {**parameters, **asked.parameters}
            self._check_tools(who, asked)
        raw: dict[str, Any] = {} if asked.prompt is None else {"prompt": asked.prompt}
        schema = None if asked.schema is None else json_schema_of(asked.schema)
        return who, GenerationRequest(messages=asked.messages, parameters=parameters, output_schema=schema, **raw)

    def _place_of(self, llm: Any) -> int:
        for place, own in enumerate(self._llms):
            if own is llm:
                return place
        named = getattr(llm, "model_name", None) or repr(llm)
        raise ConfigurationError(
            f"`converse` of task {self._task.name!r} asks {named!s:.80}, which is none of the task's own LLMs, so it "
            "was not loaded. Declare it as a field, `critic: LLMField | None = None`, and ask with `llm=self.critic`."
        )

    def _check_tools(self, who: int, asked: Ask) -> None:
        llm = self._llms[who]
        if "tools" in asked.parameters and not getattr(getattr(llm, "capabilities", None), "tools", True):
            raise ConfigurationError(
                f"Task {self._task.name!r} gives tools to `{type(llm).__name__}`, which takes none "
                "(`capabilities.tools`). Use another LLM."
            )

    def read(self, asked: Ask, outcome: Outcome) -> None:
        """Give an answer the value that its schema asks for, or put the error in its place."""
        generation = outcome.generation
        if generation is None or asked.schema is None or outcome.error is not None or generation.tool_calls:
            return
        try:
            outcome.generation = replace(generation, parsed=parsed(generation.text, asked.schema))
        except GenerationError as exc:
            exc.raw = generation.text
            outcome.error = exc

    def columns(self, returned: Any) -> tuple[Any, ...]:
        """The output columns out of what a conversation returned.

        Raises:
            OutputError: it is no dict of them.
        """
        if not isinstance(returned, dict):
            what = "nothing" if returned is None else type(returned).__name__
            raise OutputError(
                f"`converse` of task {self._task.name!r} returned {what}, not a dict of columns: "
                f"`return {{{', '.join(f'{name!r}: …' for name in self._task.outputs)}}}`."
            )
        return self._in_order(returned)


def parameters_of(llm: Any) -> Mapping[str, Any]:
    """The sampling parameters of an LLM."""
    return dict(getattr(llm, "generation_kwargs", None) or {})


def checked_parameters(task: ModelTask, input: Row) -> Mapping[str, Any]:
    """The parameters that a task has for a row.

    Raises:
        RowError: `parameters_for` raised, or returned no mapping.
    """
    try:
        given: Any = task.parameters_for(input)
        return {} if given is None else dict(given)
    except BaseException as exc:  # as in `begin`
        raise RowError(f"`parameters_for` of task {task.name!r} raised {described(exc)}") from exc


def _default_parameters_for() -> Any:
    from .task import ModelTask

    return ModelTask.parameters_for
