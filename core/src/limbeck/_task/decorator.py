"""`@task`: a task from a function."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from .._function_class import check_function, class_of
from ..errors import PluginContractError
from .task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..types import ChatType, Row


def task(
    *,
    inputs: Sequence[str] | Mapping[str, bool],
    outputs: Sequence[str] | Mapping[str, bool],
    parse: Callable[..., Row] | None = None,
    output_schema: Any = None,
    needs: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], type[Task]]:
    """Make a task class of a function that turns a row into a chat, or that converses about it.

    The function returns the messages, or a string, which becomes the user's only message. A generator
    function is the task's `converse`: it takes the row, and `rng` where it wants chance, yields `ask(…)` and
    `do(…)`, and returns the output columns.

        @task(inputs=["text"], outputs=["summary"])
        def summarise(row):
            return f"Summarise: {row['text']}"

        summarise(llm="openai/gpt-5-mini").process([{"text": "…"}])

    Args:
        inputs: the columns it reads. outputs: the columns it adds.
        parse: `parse(text)` or `parse(text, row)`, the output columns; without it the text
            goes into the only output, or JSON is read when there is an `output_schema`.
        output_schema: a pydantic model or JSON Schema that the answer must satisfy.
        needs: capabilities without which no LLM can answer it, such as "vision".

    Raises:
        PluginContractError: several outputs, and nothing says how to fill them; or the function
            does not take one row, or is a coroutine; or it is a generator, and there is a `parse` or a schema.
    """

    def decorate(function: Callable[..., Any]) -> type[Task]:
        if inspect.isgeneratorfunction(function):
            _check_generator(function, parse, output_schema)
            return class_of(function, Task, inputs=inputs, outputs=outputs, converse=_converse(function))
        check_function(function, "@task")
        if parse is None and output_schema is None and len([name for name in outputs if name != "model_name"]) != 1:
            raise PluginContractError(
                f"`@task` on `{function.__name__}`",
                ["it has several outputs, so give it `parse=` (text to columns) or `output_schema=`"],
            )
        schema = {} if output_schema is None else {"output_schema": output_schema}
        return class_of(
            function,
            Task,
            inputs=inputs,
            outputs=outputs,
            format_input=lambda _self, input: _messages(function(input)),
            format_output=_parser(parse, outputs, structured=output_schema is not None),
            needs=(needs,) if isinstance(needs, str) else tuple(needs),
            **schema,
        )

    return decorate


def _check_generator(function: Callable[..., Any], parse: Any, output_schema: Any) -> None:
    what = f"`@task` on `{function.__name__}`"
    first, *others = [*inspect.signature(function).parameters] or [""]
    if not first or others not in ([], ["rng"]):
        raise PluginContractError(what, ["a generator takes the row, and `rng` or nothing else"])
    if parse is not None or output_schema is not None:
        raise PluginContractError(
            what, ["a generator returns the output columns: it takes no `parse=`, and a schema goes to `ask(schema=…)`"]
        )


def _converse(function: Callable[..., Any]) -> Callable[..., Any]:
    """A `converse` that takes no more than the function does: chance that nobody asks for is not made."""
    if "rng" in inspect.signature(function).parameters:
        return lambda self, input, rng: function(input, rng)  # noqa: ARG005 - a method
    return lambda self, input: function(input)  # noqa: ARG005 - as above


def _messages(asked: Any) -> ChatType:
    return [{"role": "user", "content": asked}] if isinstance(asked, str) else asked


def _parser(parse: Callable[..., Row] | None, outputs: Any, *, structured: bool) -> Callable[..., Row]:
    if parse is None:
        (only, *_) = [name for name in outputs if name != "model_name"]
        return _from_json(outputs) if structured else lambda _self, output, input: {only: output}  # noqa: ARG005
    if _takes_row(parse):
        return lambda _self, output, input: parse(output, input)
    return lambda _self, output, input: parse(output)  # noqa: ARG005 - the engine gives both


def _takes_row(parse: Callable[..., Row]) -> bool:
    """Tell whether it is `parse(text, row)`: what has a default (`json.loads(text, *, cls=None)`) is not the row."""
    try:
        parameters = inspect.signature(parse).parameters.values()
    except ValueError:  # a built-in without a readable signature
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is each.empty for each in parameters) > 1


def _from_json(outputs: Any) -> Callable[..., Row]:
    import json

    def read(_self: Any, output: str | None, input: Row) -> Row:  # noqa: ARG001 - the engine gives both
        value = json.loads(output or "null")
        return {name: value.get(name) for name in outputs if name != "model_name"}

    return read
