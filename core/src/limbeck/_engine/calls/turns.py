"""The turns of a conversation: what a task's `converse` yields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...errors import ConfigurationError, RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...types import ChatType

OnTurnError: TypeAlias = Literal["raise", "return"]
"""What becomes of a turn that failed: its error is raised in the conversation, or given in place of the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call of a model in a conversation, made by `ask`.

    Attributes:
        messages: the chat. prompt: a raw prompt in its place, or None.
        llm: who is asked, one of the task's own LLMs; None for its `llm`.
        parameters: of sampling, over those of the LLM. schema: what the answer must satisfy, or None.
        on_error: whether a failure is raised, or returned.
    """

    messages: ChatType
    prompt: str | None = None
    llm: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schema: Any = None
    on_error: OnTurnError = "raise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Do:
    """One effect in a conversation, made by `do`.

    Attributes:
        function: plain or a coroutine function. arguments, named: what it is called with.
        timeout: seconds. max_concurrency: calls of the function at once, in one run.
        on_error: as of `Ask`.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 60.0
    max_concurrency: int = 8
    on_error: OnTurnError = "raise"

    @property
    def name(self) -> str:
        """The function's name, as it stands in the ledger and in messages."""
        function: Any = self.function
        while hasattr(function, "func"):  # `functools.partial`
            function = function.func
        return str(getattr(function, "__qualname__", type(function).__qualname__))


def ask(
    messages: ChatType | str = (),  # type: ignore[assignment]  # none, beside a raw prompt
    *,
    prompt: str | None = None,
    llm: Any = None,
    parameters: Mapping[str, Any] | None = None,
    schema: Any = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    tool_choice: Any = None,
    on_error: OnTurnError = "raise",
) -> Ask:
    """A call of a model, to be yielded from `converse`; the yield gives its `Generation`.

    With a schema, `parsed` of the generation is the value: a pydantic model's instance, or plain JSON.

    Args:
        messages: the chat; a string is the user's only message.
        prompt: a raw prompt in place of a chat, for backends with the capability `completions`.
        llm: one of the task's LLM fields (`self.critic`); None for the task's own `llm`.
        parameters: of sampling, over the LLM's `generation_kwargs`.
        schema: a pydantic model or a JSON Schema that the answer must satisfy.
        tools, tool_choice: in the form of OpenAI's chat API.
        on_error: "return" gives the error of a failed call in place of a generation, instead of raising it.

    Raises:
        ConfigurationError: there are messages and a prompt.
        RowError: there are neither, or something else: what comes of a row may be anything.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if prompt is not None and messages:
        raise ConfigurationError("`ask` takes messages, or a raw `prompt=`: one of the two.")
    if not isinstance(messages, list | tuple):
        raise RowError(f"`ask` takes a list of messages, not {type(messages).__name__}.")
    if prompt is None and not messages:
        raise RowError("`ask` takes messages, or a raw `prompt=`: it was given an empty list.")
    given = dict(parameters or {})
    if tools:
        given["tools"] = [dict(tool) for tool in tools]
    if tool_choice is not None:
        given["tool_choice"] = tool_choice
    return Ask(
        messages=list(messages), prompt=prompt, llm=llm, parameters=given, schema=schema, on_error=_policy(on_error)
    )


def do(
    function: Callable[..., Any],
    *arguments: Any,
    timeout: float = 60.0,
    max_concurrency: int = 8,
    on_error: OnTurnError = "raise",
    **named: Any,
) -> Do:
    """An effect, to be yielded from `converse`; the yield gives what the function returned, as JSON holds it.

    The result is on disk before the conversation goes on; a resumed run does not do it again. It is known by
    the function's name and its arguments: a row that has moved takes it along. Where these do not say all of it (a
    lambda, a closure, a bound method of other than the task, arguments that JSON cannot hold), its place counts too.

    Args:
        function: plain (it runs in a thread), or a coroutine function (it runs on the engine's event loop).
        arguments, named: what it is called with.
        timeout: seconds until it counts as failed. max_concurrency: calls of it at once, in one run.
        on_error: as of `ask`; the error is an `EffectError`.

    Raises:
        ConfigurationError: it cannot be called, or a limit is not above zero.
    """
    if not callable(function):
        raise ConfigurationError(f"`do` takes a function and its arguments, not {type(function).__name__}.")
    if not (timeout > 0 and max_concurrency > 0):
        raise ConfigurationError("`timeout` and `max_concurrency` of `do` must be above 0.")
    return Do(
        function=function,
        arguments=arguments,
        named=named,
        timeout=timeout,
        max_concurrency=max_concurrency,
        on_error=_policy(on_error),
    )


def _policy(on_error: OnTurnError) -> OnTurnError:
    if on_error not in ("raise", "return"):
        raise ConfigurationError(f'`on_error` of a turn is "raise" or "return", not {on_error!r}.')
    return on_error
