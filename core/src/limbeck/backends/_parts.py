"""The parts of an answer in OpenAI's form, in the many shapes that servers give them."""

from __future__ import annotations

import json
from typing import Any, cast

from ..types import Usage

_THOUGHTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
_THOUGHT_KEYS = ("thinking", "reasoning", "text", "summary", "content", "reasoning_content")


def messages_in(body: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The choices of a chat completion that hold a message, each with it.

    A single choice may stand without a list, a message may be a text, and a choice may have `text` in place of one.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    given = choices if isinstance(choices, list) else [choices]
    found = ((choice, _message_of(choice)) for choice in given if isinstance(choice, dict))
    return [(choice, message) for choice, message in found if message is not None]


def _message_of(choice: dict[str, Any]) -> dict[str, Any] | None:
    message = choice.get("message")
    if isinstance(message, dict):
        return message
    content = choice.get("text") if message is None else message
    return None if content is None else {"content": content}


def text_in(content: Any) -> str | None:
    """The text of a message's `content`: a text, parts of which some are text, texts; None where there is none.

    A content that is another JSON value (a gateway may have read the answer's JSON) is written as JSON.
    """
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list | tuple):
        return "".join(_part_text(part) for part in content)
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        return _part_text(content)
    return _as_json(content)


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") in _THOUGHTS:
        return ""
    text = part.get("text")
    if isinstance(text, dict):
        text = text.get("value")
    return text if isinstance(text, str) else ""


def _as_json(value: Any) -> str | None:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None


def reasoning_in(*places: Any, content: Any = None) -> Any:
    """The thinking in the first of `places` that holds any, else in the parts of `content`; None where there is none.

    A text, parts, texts, or an object with a text or a summary. What has another shape comes back as it is: the
    engine leaves it out, and says so.
    """
    given = [place for place in places if place]
    for place in given:
        if thoughts := _thoughts(place):
            return thoughts
    parts = content if isinstance(content, list) else ()
    thoughts = "".join(_thoughts(part) for part in parts if isinstance(part, dict) and _is_thought(part))
    return thoughts or (given[0] if given else None)


def _is_thought(part: dict[str, Any]) -> bool:
    return part.get("type") in _THOUGHTS or "thinking" in part


def _thoughts(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if depth > 4:
        return ""
    if isinstance(value, list | tuple):
        return "".join(_thoughts(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return next((text for key in _THOUGHT_KEYS if (text := _thoughts(value.get(key), depth + 1))), "")
    return ""


def chat_usage(usage: Any) -> Usage | None:
    """The tokens that a chat completion's `usage` counts; None where it counts none.

    Odd counts stand in it as they came: the engine leaves out what it cannot read, and says so.
    """
    if not isinstance(usage, dict):
        return cast("Usage | None", usage)  # what is no count is told by the engine
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_detail(prompt, "cached_tokens") or _count(usage.get("prompt_cache_hit_tokens")),
        reasoning_tokens=_detail(completion, "reasoning_tokens") or _count(usage.get("reasoning_tokens")),
    )


def _count(value: Any) -> Any:
    return 0 if value is None else value


def _detail(details: Any, name: str) -> Any:
    return details.get(name) if isinstance(details, dict) else details
