"""From the Messages API's answer, whole or as server-sent events, to Limbeck's types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from limbeck.errors import ContentFilteredError, TransientError
from limbeck.types import Generation, GenerationResponse, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from limbeck.types import Quota

# Anthropic's word for why an answer ended, in the words of OpenAI's API; any other stands as it is.
FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}


def response_of(message: Mapping[str, Any], *, quota: Quota | None = None) -> GenerationResponse:
    """Read a whole message.

    Raises:
        TransientError: it is not a message: no content, or none that says why it ended.
        ContentFilteredError: the model refused and said nothing.
            Both have the tokens that the server counted all the same.
    """
    content, usage, model = message.get("content"), usage_in(message), model_in(message)
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        said = "The server's answer has no list of blocks as its `content`, so it is no message."
        raise TransientError(said, usage=usage, model=model)
    reason = message.get("stop_reason")
    if not content and reason is None:
        said = "The server's answer is empty and says no `stop_reason`, so it was cut short."
        raise TransientError(said, usage=usage, model=model)
    generation = _generation(content, reason)
    if reason == "refusal" and not generation.text and not generation.tool_calls:
        raise ContentFilteredError(_refusal(message), usage=usage, model=model)
    return GenerationResponse(generations=(generation,), usage=usage, model=model, quota=quota)


def model_in(message: Mapping[str, Any]) -> str | None:
    """What the server calls itself."""
    model = message.get("model")
    return model if isinstance(model, str) else None


def _generation(content: list[dict[str, Any]], reason: Any) -> Generation:
    texts = [block["text"] for block in content if block.get("type") == "text"]
    thoughts = [block.get("thinking") for block in content if block.get("type") == "thinking"]
    calls = tuple(_tool_call(block) for block in content if block.get("type") == "tool_use")
    return Generation(
        text="".join(texts) if texts or not calls else None,
        finish_reason=FINISH_REASONS.get(reason, reason),
        # A block whose thinking the model keeps to itself is empty.
        reasoning="\n\n".join(thought for thought in thoughts if thought) or None,
        tool_calls=calls or None,
    )


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(block["input"], ensure_ascii=False)
    return {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}


def _refusal(message: Mapping[str, Any]) -> str:
    details = message.get("stop_details")
    facts = details if isinstance(details, dict) else {}
    category = f" (category {facts['category']!r})" if facts.get("category") else ""
    explanation = f": {facts['explanation']}" if facts.get("explanation") else "."
    return f"The model refused to answer{category}{explanation}"


def usage_in(message: Mapping[str, Any]) -> Usage | None:
    """The tokens that a message counts, or None where it does not.

    Anthropic counts the prompt in three parts that do not overlap; Limbeck's `input_tokens` is their sum.
    """
    usage = message.get("usage")
    if not isinstance(usage, dict):
        return None
    cached = usage.get("cache_read_input_tokens") or 0
    details = usage.get("output_tokens_details") or {}
    return Usage(
        input_tokens=(usage.get("input_tokens") or 0) + cached + (usage.get("cache_creation_input_tokens") or 0),
        output_tokens=usage.get("output_tokens") or 0,
        cached_tokens=cached,
        reasoning_tokens=details.get("thinking_tokens") or 0,
    )


def message_of_events(content: bytes) -> dict[str, Any]:
    """The message that a whole stream of server-sent events builds; the error, where it ends in one.

    An error has `usage` and `model` of the message that it broke off, beside its own fields.

    Raises:
        TransientError: the stream ended before the message did; it has the tokens counted by then.
        ValueError, LookupError: it is not a stream of the Messages API.
    """
    message: dict[str, Any] = {}
    blocks: dict[int, _Block] = {}
    for event in _events(content):
        kind = event.get("type")
        if kind == "message_start":
            message = event["message"]
        elif kind == "content_block_start":
            blocks[event["index"]] = _Block(event["content_block"])
        elif kind == "content_block_delta":
            blocks[event["index"]].add(event["delta"])
        elif kind == "message_delta":
            _finish(message, event)
        elif kind == "message_stop":
            return {**message, "content": [blocks[index].whole() for index in sorted(blocks)]}
        elif kind == "error":
            return {**{name: message[name] for name in ("usage", "model") if name in message}, **event}
    said = "The server's stream ended before the answer did."
    raise TransientError(said, usage=usage_in(message), model=model_in(message))


class _Block:
    """A content block whose text comes in pieces."""

    # The pieces of a delta, and the field of the block that they make up.
    _FIELDS: ClassVar = {
        "text_delta": ("text", "text"),
        "thinking_delta": ("thinking", "thinking"),
        "input_json_delta": ("partial_json", "input"),
    }

    def __init__(self, start: dict[str, Any]) -> None:
        self._start = start
        self._field = ""
        self._pieces: list[str] = []

    def add(self, delta: Mapping[str, Any]) -> None:
        names = self._FIELDS.get(delta["type"])
        if names is not None:
            piece, self._field = names
            self._pieces.append(delta[piece])

    def whole(self) -> dict[str, Any]:
        joined = "".join(self._pieces)
        if not joined:
            return self._start
        return {
            **self._start,
            self._field: json.loads(joined) if self._field == "input" else self._start[self._field] + joined,
        }


def _finish(message: dict[str, Any], event: Mapping[str, Any]) -> None:
    """Take in the last facts; counts in a `message_delta` are totals, not increments."""
    message.update(event["delta"])
    counts = {name: count for name, count in event.get("usage", {}).items() if count is not None}
    message["usage"] = {**message.get("usage", {}), **counts}


def _events(content: bytes) -> Iterator[dict[str, Any]]:
    data: list[bytes] = []
    for line in [*content.splitlines(), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:])
        elif not line and data:
            event = json.loads(b"\n".join(data))
            data = []
            if isinstance(event, dict):
                yield event
