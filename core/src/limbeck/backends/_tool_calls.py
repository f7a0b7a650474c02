"""What a provider wants back with the results of the tools that its answer called.

Models that think want their thinking back, word for word, and some refuse the results without it. A chat in OpenAI's
form has no place for it, so the first of an answer's tool calls carries it, under `extra_content` and the name of
whoever put it there. (Gemini's compatible API keeps its own there, which stays.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACE = "extra_content"
_ANSWER = "answer"  # of a chat-completions API
_OURS = (_ANSWER, "anthropic")
# vLLM and DeepSeek, newer vLLM, OpenRouter.
_THINKING = ("reasoning_content", "reasoning", "reasoning_details")


def with_extra(calls: Any, owner: str, extra: Mapping[str, Any]) -> Any:
    """The calls of an answer, the first of which carries `extra`."""
    if not isinstance(calls, list | tuple) or not calls or not isinstance(calls[0], Mapping):
        return calls
    first, *others = calls
    given = first.get(_PLACE)
    before = given if isinstance(given, Mapping) else {}
    return [{**first, _PLACE: {**before, owner: dict(extra)}}, *others]


def extra_in(message: Mapping[str, Any], owner: str) -> Mapping[str, Any] | None:
    """What the tool calls of a message carry for `owner`."""
    calls = message.get("tool_calls")
    carried = (call.get(_PLACE) for call in calls or () if isinstance(call, Mapping))
    found = (extra.get(owner) for extra in carried if isinstance(extra, Mapping))
    return next((extra for extra in found if isinstance(extra, Mapping)), None)


def chat_calls(message: Mapping[str, Any], *, model: str) -> Any:
    """The tool calls in an answer of a chat-completions API, with the thinking that led to them."""
    calls = message.get("tool_calls")
    thinking = {name: message[name] for name in _THINKING if message.get(name)}
    return with_extra(calls, _ANSWER, {"model": model, **thinking}) if thinking else calls


def chat_messages(messages: Sequence[Any], *, model: str) -> Sequence[Any]:
    """A chat for a chat-completions API: thinking goes back to the model whose it is, and to no other."""
    if not isinstance(messages, list | tuple) or not any(map(_has_calls, messages)):
        return messages
    return [_chat_message(each, model) if _has_calls(each) else each for each in messages]


def _has_calls(message: Any) -> bool:
    return isinstance(message, Mapping) and isinstance(message.get("tool_calls"), list | tuple)


def _chat_message(message: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    extra = extra_in(message, _ANSWER) or {}
    thinking = {name: extra[name] for name in _THINKING if name in extra} if extra.get("model") == model else {}
    return {**message, "tool_calls": [_without_ours(call) for call in message["tool_calls"]], **thinking}


def _without_ours(call: Any) -> Any:
    extra = call.get(_PLACE) if isinstance(call, Mapping) else None
    if not isinstance(extra, Mapping):
        return call
    kept = {name: value for name, value in extra.items() if name not in _OURS}
    return {**{name: value for name, value in call.items() if name != _PLACE}, **({_PLACE: kept} if kept else {})}
