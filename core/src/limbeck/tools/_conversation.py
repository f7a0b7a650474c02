"""`run_tools`: a conversation in which the model may call tools, as a part of a task's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from .._engine.calls.turns import ask
from ..errors import ConfigurationError, GenerationError, ToolError, TurnLimitError, did_you_mean
from ._calls import calls_of
from ._effects import UNFIT
from ._offered import offered_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from ..types import ChatMessage, ChatType, Generation
    from ._calls import Call
    from ._offered import Offered

OnToolError = Literal["tell", "raise"]
_WORDS = ("auto", "none", "required")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """The end of a conversation with tools.

    Attributes:
        generation: the answer that called none. messages: the whole chat, that answer included.
        turns: how often the model was asked.
    """

    generation: Generation
    messages: ChatType
    turns: int

    @property
    def text(self) -> str | None:
        """The text of the answer."""
        return self.generation.text

    @property
    def parsed(self) -> Any:
        """The answer as the schema says it, where one was asked for."""
        return getattr(self.generation, "parsed", None)


def run_tools(
    messages: Sequence[ChatMessage] | str,
    tools: Any,
    *,
    max_turns: int = 8,
    llm: Any = None,
    parameters: Mapping[str, Any] | None = None,
    schema: Any = None,
    tool_choice: Any = "auto",
    parallel: bool = True,
    on_error: OnToolError = "tell",
) -> Generator[Any, Any, ToolAnswer]:
    """Ask, run the tools that the model calls, and ask again, until it answers without a call.

    For `converse`: `answer = yield from run_tools(…)`. Each request is a turn and each call an effect of the
    conversation, so a run that was stopped asks and calls nothing twice.

    A call that cannot be run (arguments that are no JSON or do not fit, an unknown name) is told to the model as its
    result; a second answer with such a call, right after the first, is an error.

    Args:
        messages: the chat so far; a text is the user's only message.
        tools: typed functions, tools, sets of tools, registered names; a list, or one.
        max_turns: requests at most. llm, parameters, schema: as of `ask`; the schema is for the last answer.
        tool_choice: "auto", "none", "required", or the name of a tool; the latter two hold for the first request.
        parallel: whether an answer may hold several calls, which are run side by side.
        on_error: "tell" the model what a tool raised, as its result, or "raise" it.

    Raises:
        ConfigurationError: an argument is wrong; nothing was asked.
        TurnLimitError: the last request allowed brought calls too; it has the conversation so far.
        ToolError: two answers in a row had calls that cannot be run; a tool gave what JSON cannot hold.
        EffectError: a tool failed, and `on_error` is "raise"; a set of tools cannot say what it has.
        GenerationError: as `ask`.
    """
    _check(max_turns, on_error)
    offered = yield from offered_of(tools)
    chat: ChatType = [{"role": "user", "content": messages}] if isinstance(messages, str) else [*messages]
    choice = _choice(tool_choice, offered)
    options = {**(parameters or {}), **({} if parallel or not offered else {"parallel_tool_calls": False})}
    specifications = [each.specification for each in offered.values()] or None
    taken, malformed = _ids_in(chat), False
    for turn in range(1, max_turns + 1):
        generation = yield ask(
            chat, llm=llm, parameters=options or None, schema=schema, tools=specifications, tool_choice=choice
        )
        calls = calls_of(generation, offered, taken, turn=turn)
        chat = [*chat, _answer(generation, calls)]
        if not calls:
            return ToolAnswer(generation=generation, messages=chat, turns=turn)
        malformed = _check_calls(calls, generation, malformed_before=malformed)
        if turn < max_turns:
            chat += yield from _results(calls, parallel=parallel, on_error=on_error)
        choice = choice if choice == "none" else None
    times = "once" if max_turns == 1 else f"{max_turns} times"
    raise TurnLimitError(
        f"The model was asked {times} and still calls tools. Allow it more turns with `max_turns` of `run_tools`, or "
        "say in the prompt when it is to answer.",
        turns=max_turns,
        messages=chat,
        raw=generation.text,
    )


def _check(max_turns: Any, on_error: Any) -> None:
    if not isinstance(max_turns, int) or isinstance(max_turns, bool) or max_turns < 1:
        raise ConfigurationError(f"`max_turns` must be a whole number from 1 on, not {max_turns!r}.")
    if on_error not in get_args(OnToolError):
        raise ConfigurationError(f"`on_error` of `run_tools` is 'tell' or 'raise', not {on_error!r}.")


def _choice(given: Any, offered: Mapping[str, Offered]) -> Any:
    """`tool_choice` as it is sent: None for what every provider does by itself."""
    if isinstance(given, str) and given not in _WORDS and given in offered:
        given = {"type": "function", "function": {"name": given}}
    named = given.get("function") if isinstance(given, dict) else None
    name = named.get("name") if isinstance(named, dict) else given
    if given not in _WORDS and name not in offered:
        raise ConfigurationError(
            f"`tool_choice` is {given!r}.{did_you_mean(str(name), [*_WORDS, *offered])} It is 'auto', 'none', "
            f"'required', or the name of a tool: {', '.join(map(repr, offered)) or 'there are none'}."
        )
    return None if given == "auto" or not offered else given


def _ids_in(chat: Sequence[Any]) -> set[str]:
    return {
        call["id"] for message in chat for call in message.get("tool_calls") or () if isinstance(call.get("id"), str)
    }


def _answer(generation: Generation, calls: Sequence[Call]) -> ChatMessage:
    """An answer as a message of the chat."""
    message: ChatMessage = {"role": "assistant", "content": generation.text}
    if calls:
        message["tool_calls"] = [call.message_part for call in calls]
    return message


def _check_calls(calls: Sequence[Call], generation: Generation, *, malformed_before: bool) -> bool:
    """Tell whether an answer has calls that cannot be run; raises where the one before had such, too."""
    faults = [call for call in calls if call.fault is not None]
    if faults and malformed_before:
        said = " ".join(f"`{call.name}`: {call.fault}" for call in faults)
        raise ToolError(
            f"The model has called tools wrongly twice in a row, though it was told why. {said}",
            tool=faults[0].name,
            raw=generation.text,
        )
    return bool(faults)


def _results(calls: Sequence[Call], *, parallel: bool, on_error: OnToolError) -> Generator[Any, Any, ChatType]:
    """The results of calls, as messages in their order."""
    effects = [
        call.tool.call(call.arguments, tell=on_error == "tell")
        for call in calls
        if call.tool is not None and call.fault is None
    ]
    given: list[Any] = []
    if parallel:
        given = (yield effects) if effects else []
    else:
        for effect in effects:
            given.append((yield effect))
    results = iter(given)
    return [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": _content(next(results)) if call.fault is None else f"Error: {call.fault}",
        }
        for call in calls
    ]


def _content(result: Any) -> str:
    """The result of an effect, in words for the model; its failure too, unless that is the tool's own fault."""
    if isinstance(result, GenerationError):
        if UNFIT in str(result):
            raise ToolError(str(result))
        return f"Error: {result}"
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
