"""Stored requests, as messages to show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any

MOST_CHARACTERS = 200_000
"""Of one stored text that is read at all; a request is read whole up to ten times that."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt."""

    role: str
    text: str


def parameters_of(request: str | None) -> str | None:
    """The sampling parameters of a stored request, as JSON."""
    try:
        found = json.loads(request or "null")["parameters"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return json.dumps(found) if isinstance(found, dict) else None


def stored_request(request: str) -> list[Any] | None:
    """The messages of a stored request as they are; None where it has another form."""
    try:
        found = json.loads(request)
        messages = found["messages"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(messages, list):
        return None
    return messages or _raw_prompt(found.get("parameters"))


def _raw_prompt(parameters: Any) -> list[Any]:
    prompt = parameters.get("prompt") if isinstance(parameters, dict) else None
    return [{"role": "prompt", "content": prompt}] if isinstance(prompt, str) else []


def messages_of(request: str) -> list[Message]:
    """The messages of a stored request; what is no message is shown as it stands."""
    messages = stored_request(request)
    return [Message("request", request)] if messages is None else [shown_message(each) for each in messages]


def shown_message(message: Any) -> Message:
    """A message to show, of one as it is stored."""
    if not isinstance(message, dict):
        return Message("message", json.dumps(message))
    role = message.get("role")
    parts = [_content(message.get("content"))]
    if message.get("tool_calls"):
        parts.append(json.dumps(message["tool_calls"], indent=2, ensure_ascii=False))
    return Message(role if isinstance(role, str) else "message", "\n".join(part for part in parts if part))


def _content(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    return "\n".join(chain.from_iterable(_part(each) for each in content))


def _part(part: Any) -> list[str]:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return [part["text"]]
    text = json.dumps(part, ensure_ascii=False)
    kind = part.get("type", "part") if isinstance(part, dict) else "part"
    return [text if len(text) <= 200 else f"[{kind}, {len(text):,} characters: {text[:120]}…]"]
