"""The result of a tool as text, which is what every model takes."""

from __future__ import annotations

import json
from typing import Any

from limbeck.errors import ToolError


def text_of(result: Any, *, tool: str) -> str:
    """The text of a result; parts of another kind beside it are named in its place.

    Args:
        result: a `mcp.types.CallToolResult`. tool: its name, for messages.

    Raises:
        ToolError: the tool failed, or gave no text at all.
    """
    parts = [_part(part) for part in result.content]
    texts = [text for text, _ in parts if text is not None]
    joined = "\n".join(text if text is not None else f"[{kind}: left out]" for text, kind in parts)
    if result.is_error:
        raise ToolError(joined or "The tool failed, and did not say why.", tool=tool)
    if texts:
        return joined
    if result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    if not parts:
        return ""
    kinds = ", ".join(dict.fromkeys(kind for _, kind in parts))
    raise ToolError(f"The tool `{tool}` gave no text, but {kinds}, which a model cannot be given here.", tool=tool)


def _part(part: Any) -> tuple[str | None, str]:
    """The text of a part, where it has one, and its kind."""
    if part.type == "text":
        return part.text, "text"
    if part.type == "resource_link":
        return f"{part.name}: {part.uri}", "a link"
    if part.type == "resource":
        text = getattr(part.resource, "text", None)
        return text, f"a file ({part.resource.mime_type or 'of an unknown type'})"
    return (
        None,
        f"{'an image' if part.type == 'image' else part.type} ({getattr(part, 'mime_type', 'of its own kind')})",
    )
