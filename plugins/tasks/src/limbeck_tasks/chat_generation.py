"""`chat-generation`: the next message of a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck import Task
from limbeck.types import Example

from .nulls import without_nulls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, Row

_ROLES = ("system", "developer", "user", "assistant", "tool")


class ChatGeneration(Task):
    """Ask the model for the next message of a conversation, and keep its text.

    Input column: `messages`, a list in the form of OpenAI's chat completions
    (https://platform.openai.com/docs/api-reference/chat/create); the last message is a
    user's or a tool's, or the beginning of the answer where the LLM goes on with that (the
    capability `prefill`). Output columns: `generation`, the model's text as it came; `model_name`.

    Conversations that are malformed fail their row before anything is sent. Keys that are
    null, which Arrow tables put in where messages differ, are left out at any depth.
    """

    @property
    def inputs(self) -> list[str]:
        return ["messages"]

    @property
    def outputs(self) -> list[str]:
        return ["generation", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        messages = input["messages"]
        if not isinstance(messages, list):
            raise TypeError(f"The column `messages` must hold a list of messages, not {_kind(messages)}.")
        if not messages:
            raise ValueError("The column `messages` holds no message.")
        chat = [_checked(message, f"`messages[{place}]`") for place, message in enumerate(messages)]
        begun = chat[-1]["role"] == "assistant" and self._takes_prefill
        if chat[-1]["role"] not in ("user", "tool") and not begun:
            raise ValueError(f"The last message must be from the user or a tool, not {chat[-1]['role']!r}.")
        return chat  # type: ignore[return-value]  # checked above: each is a ChatMessage

    @property
    def _takes_prefill(self) -> bool:
        return bool(getattr(getattr(self.llm, "capabilities", None), "prefill", False))

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the text is the answer
        return {"generation": output}

    def examples(self) -> Sequence[Example]:
        answer = "It has about 3.4 million inhabitants."
        messages = [
            {"role": "user", "content": "What's the capital of Spain?"},
            {"role": "assistant", "content": "The capital of Spain is Madrid."},
            {"role": "user", "content": "How many people live there?"},
        ]
        return [Example({"messages": messages}, answer, {"generation": answer})]


def _checked(message: Any, place: str) -> dict[str, Any]:
    """The message without its null keys, at any depth."""
    if not isinstance(message, dict):
        raise TypeError(f"{place} must be a dict with `role` and `content`, not {_kind(message)}.")
    role = message.get("role")
    if role not in _ROLES:
        raise ValueError(f"{place} has the role {role!r}; the roles are {', '.join(_ROLES)}.")
    content = message.get("content")
    calls_tools = role == "assistant" and message.get("tool_calls")
    if not isinstance(content, str | list) and not (content is None and calls_tools):
        raise ValueError(f"The `content` of {place} must be text or a list of parts, not {_kind(content)}.")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise ValueError(f"{place} is a tool's, so it needs a `tool_call_id`.")
    return _sendable(message, place)


def _sendable(message: dict[str, Any], place: str) -> dict[str, Any]:
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise TypeError(f"Each part of the `content` of {place} must be a dict with a `type`, not {part!r:.80}.")
    sendable = without_nulls(message)
    return {key: sendable.get(key) for key in message if key in sendable or key == "content"}


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
