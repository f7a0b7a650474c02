"""Stored requests, as messages to show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from .media import Shown, shown_of

if TYPE_CHECKING:
    from limbeck.runs import Run

MOST_CHARACTERS = 200_000
"""Of one stored text that is read at all; a request is read whole up to ten times that."""

_MOST_MEDIA = 8  # of one message that are shown; the others stand in its text


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt; `media` are the images, audio and documents in it."""

    role: str
    text: str
    media: tuple[Shown, ...] = ()


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


def messages_of(request: str, run: Run | None = None) -> list[Message]:
    """The messages of a stored request; what is no message is shown as it stands.

    Args:
        run: that kept the images in them.
    """
    messages = stored_request(request)
    return [Message("request", request)] if messages is None else [shown_message(each, run) for each in messages]


def shown_message(message: Any, run: Run | None) -> Message:
    """A message to show, of one as it is stored in a run."""
    if not isinstance(message, dict):
        return Message("message", json.dumps(message))
    role = message.get("role")
    content = message.get("content")
    media: list[Shown] = []
    if isinstance(content, list):
        media, content = _parted(content, run)
    parts = [_content(content)]
    if message.get("tool_calls"):
        parts.append(json.dumps(message["tool_calls"], indent=2, ensure_ascii=False))
    text = "\n".join(part for part in parts if part)
    return Message(role if isinstance(role, str) else "message", text, tuple(media))


def _parted(parts: list[Any], run: Run | None) -> tuple[list[Shown], list[Any]]:
    """The first media among the parts of a message, and all its other parts."""
    media: list[Shown] = []
    others = []
    for part in parts:
        shown = shown_of(part, run) if len(media) < _MOST_MEDIA else None
        if shown is None:
            others.append(part)
        else:
            media.append(shown)
    return media, others


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
