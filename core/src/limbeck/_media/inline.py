"""Contents that an author has written into messages as base64: taken out before they are stored, and put back.

What is put back is the same text, to the letter: the key of such a request is of the text as it stood.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from .kinds import media_type_of

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST = 1000  # characters; below it a reference would save nothing
_DATA_URL = re.compile(r"data:([\w.+/-]+)(?:;[\w.=+-]+)*;base64,", re.IGNORECASE)


def taken_out(messages: Any) -> tuple[Any, list[tuple[bytes, str]]]:
    """Messages in which references stand for such contents, and the contents, each with its media type.

    The same messages where there are none. A reference is a dict: `sha256`, `media_type`, `size`, and what stands
    `before` the base64.
    """
    if not isinstance(messages, list) or not any(_has_parts(message) for message in messages):
        return messages, []
    contents: list[tuple[bytes, str]] = []
    return [_message(message, lambda text: _referred(text, contents)) for message in messages], contents


def put_back(messages: Any, read: Callable[[dict[str, Any]], bytes]) -> Any:
    """Messages as they were; a reference whose content is not there stays.

    Args:
        read: gives the content of a reference; raises `LookupError` where it is not there.
    """
    if not isinstance(messages, list):
        return messages
    return [_message(message, lambda value: _restored(value, read)) for message in messages]


def reference_in(part: Any) -> dict[str, Any] | None:
    """The reference that stands in a stored part, or None."""
    if not isinstance(part, dict):
        return None
    if "sha256" in part and "before" in part:
        return part
    return next((found for value in part.values() if (found := reference_in(value)) is not None), None)


def _has_parts(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("content"), list)


def _message(message: Any, change: Callable[[Any], Any]) -> Any:
    if not _has_parts(message):
        return message
    return {**message, "content": [_changed(part, change, 0) for part in message["content"]]}


def _changed(value: Any, change: Callable[[Any], Any], depth: int) -> Any:
    """A part, or a dict in one, whose texts and references are changed; a part of ours has neither."""
    changed = change(value)
    if changed is not value:
        return changed
    if type(value) is not dict or depth > 2:
        return value
    return {name: _changed(each, change, depth + 1) for name, each in value.items()}


def _referred(value: Any, contents: list[tuple[bytes, str]]) -> Any:
    """The reference for a text that is a content in base64, whose content is noted; any other value as it is."""
    if not isinstance(value, str) or len(value) < _SHORTEST:
        return value
    match = _DATA_URL.match(value)
    before = match[0] if match else ""
    try:
        content = b64decode(value[len(before) :], validate=True)
    except ValueError:  # a text like any other
        return value
    media_type = media_type_of(content) or (match[1] if match else None)
    if media_type is None or before + b64encode(content).decode() != value:
        return value
    from hashlib import sha256

    contents.append((content, media_type))
    digest = sha256(content).hexdigest()
    return {"sha256": digest, "media_type": media_type, "size": len(content), "before": before}


def _restored(value: Any, read: Callable[[dict[str, Any]], bytes]) -> Any:
    if type(value) is not dict or reference_in(value) is not value:
        return value
    try:
        return value["before"] + b64encode(read(value)).decode()
    except LookupError:
        return value
