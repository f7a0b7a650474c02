"""From the Messages API's answer, whole or as server-sent events, to Limbeck's types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, cast

from limbeck.backends import (
    decoded,
    events_in,
    is_unreadable,
    reasoning_in,
    text_in,
    tokens_in,
    unreadable_events,
    with_extra,
)
from limbeck.errors import ContentFilteredError, TransientError
from limbeck.types import Generation, GenerationResponse, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    content, usage, model = _blocks(message.get("content")), usage_in(message), model_in(message)
    if content is None:
        fault = "The server's answer has no blocks as its `content`, so it is no message."
        raise TransientError(fault, usage=usage, model=model)
    reason = message.get("stop_reason")
    if not content and reason is None:
        fault = "The server's answer is empty and says no `stop_reason`, so it was cut short."
        raise TransientError(fault, usage=usage, model=model)
    generation = _generation(content, reason)
    if reason == "refusal" and not generation.text and not generation.tool_calls:
        raise ContentFilteredError(_refusal(message), usage=usage, model=model)
    return GenerationResponse(generations=(generation,), usage=usage, model=model, quota=quota)


def _blocks(content: Any) -> list[dict[str, Any]] | None:
    """The blocks of an answer; None for what has none. A gateway may give a text, or texts."""
    if isinstance(content, str | dict):
        content = [content]
    if not isinstance(content, list):
        return None
    blocks = [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]
    kept = [block for block in blocks if isinstance(block, dict)]
    texts = [block for block in kept if _is_text(block)]
    if (blocks and not kept) or (texts and all(block.get("text") is None for block in texts)):
        return None
    return kept


def model_in(message: Mapping[str, Any]) -> str | None:
    """The name that the server gives for its model."""
    model = message.get("model")
    return model if isinstance(model, str) else None


def _generation(content: list[dict[str, Any]], reason: Any) -> Generation:
    texts = [text_in(block.get("text")) or "" for block in content if _is_text(block)]
    thoughts = [reasoning_in(block.get("thinking")) for block in content if block.get("type") == "thinking"]
    calls = [_tool_call(block) for block in content if block.get("type") == "tool_use"]
    if any(block.get("type") in _THINKING for block in content):  # which goes back, as it is, with the tools' results
        calls = with_extra(calls, "anthropic", {"content": content})
    shown = [thought for thought in thoughts if thought]  # a block whose thinking the model keeps to itself is empty
    odd = [thought for thought in shown if not isinstance(thought, str)]
    return Generation(
        text="".join(texts) if texts or not calls else None,
        finish_reason=FINISH_REASONS.get(reason, reason) if isinstance(reason, str) else reason,
        reasoning=odd[0] if odd else "\n\n".join(shown) or None,  # the engine leaves out what is odd, and says so
        tool_calls=tuple(calls) or None,
    )


_THINKING = ("thinking", "redacted_thinking")


def _is_text(block: Mapping[str, Any]) -> bool:
    """Tell whether a block is one of text, or has a text though it says to be of an unknown kind."""
    kind = block.get("type")
    return kind == "text" or ("text" in block and kind not in _THINKING)


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    given = block.get("input")
    arguments = given if isinstance(given, str) else json.dumps({} if given is None else given, ensure_ascii=False)
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}


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
        return cast("Usage | None", usage)  # what is no count is told by the engine
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=_sum(usage, "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        output_tokens=_given(usage.get("output_tokens")),
        cached_tokens=_given(usage.get("cache_read_input_tokens")),
        reasoning_tokens=_given(details.get("thinking_tokens") if isinstance(details, dict) else details),
    )


def _given(value: Any) -> Any:
    return 0 if value is None else value


def _sum(usage: Mapping[str, Any], *names: str) -> Any:
    """The sum of counts; the first that is none, where one is: the engine leaves it out, and says so."""
    values = [_given(usage.get(name)) for name in names]
    counts = [tokens_in(value) for value in values]
    odd = [value for value, count in zip(values, counts, strict=True) if count is None]
    return odd[0] if odd else sum(count or 0 for count in counts)


def message_of_events(content: bytes, *, left_out: list[str] | None = None) -> dict[str, Any]:
    """The message that a whole stream of server-sent events builds; the error, where it ends in one.

    An error has `usage` and `model` of the message that it broke off, beside its own fields. An event that cannot be
    read, or belongs to a block whose beginning could not, costs no answer that goes on to its end.

    Args:
        content: the body. left_out: is given a word for events that cannot be read.

    Raises:
        TransientError: the stream ended before the message did; it has the tokens counted by then.
    """
    stream = _Stream()
    lost = []
    for number, event in enumerate(events_in(content), 1):
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == "error":
            return {**{name: stream.message[name] for name in ("usage", "model") if name in stream.message}, **event}
        if kind == "message_stop" or event == "[DONE]":
            break
        read = stream.takes(kind, event) if isinstance(event, dict) else not is_unreadable(event)
        if not read:
            lost.append(number)
    else:
        if stream.message.get("stop_reason") is None:
            fault = "The server's stream ended before the answer did."
            raise TransientError(fault, usage=usage_in(stream.message), model=model_in(stream.message))
    unreadable_events(lost, left_out)
    return stream.whole()


class _Stream:
    """The message that events build."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}

    def takes(self, kind: Any, event: Mapping[str, Any]) -> bool:
        """Take an event in. Whether all of it could be read; one of another kind has nothing to read."""
        if kind == "message_start":
            return self._start(event.get("message"))
        if kind == "content_block_start":
            return self._start_block(event.get("index"), event.get("content_block"))
        if kind == "content_block_delta":
            return self._add(event.get("index"), event.get("delta"))
        return kind != "message_delta" or self._finish(event.get("delta"), event.get("usage"))

    def whole(self) -> dict[str, Any]:
        """The message so far."""
        return {**self.message, "content": [self._blocks[index].whole() for index in sorted(self._blocks)]}

    def _start(self, message: Any) -> bool:
        if not isinstance(message, dict):
            return False
        self.message = {**message, **self.message}  # should some of it have come before
        return True

    def _start_block(self, index: Any, start: Any) -> bool:
        if not isinstance(start, dict):
            return False
        self._blocks[index if _is_index(index) else len(self._blocks)] = _Block(start)
        return True

    def _add(self, index: Any, delta: Any) -> bool:
        if not isinstance(delta, dict):
            return False
        if not _is_index(index):
            index = max(self._blocks, default=0)
        if index in self._blocks:
            return self._blocks[index].add(delta)
        # Its beginning was lost: a text is one all the same; a tool's input without the tool's name is of no use.
        kind = {"text_delta": "text", "thinking_delta": "thinking"}.get(str(delta.get("type")))
        if kind is not None:
            self._blocks[index] = _Block({"type": kind})
            self._blocks[index].add(delta)
        return False

    def _finish(self, delta: Any, usage: Any) -> bool:
        """Take in the last facts; counts in a `message_delta` are totals, not increments."""
        if isinstance(delta, dict):
            self.message.update(delta)
        before = self.message.get("usage")
        if isinstance(usage, dict) and isinstance(before, dict | None):
            counts = {name: count for name, count in usage.items() if count is not None}
            if before is not None or "input_tokens" in counts:  # else a part would pass for the whole
                self.message["usage"] = {**(before or {}), **counts}
        elif usage is not None:
            self.message["usage"] = usage
        return isinstance(delta, dict)


def _is_index(index: Any) -> bool:
    return isinstance(index, int) and not isinstance(index, bool)


class _Block:
    """A content block whose fields come in pieces."""

    # The pieces of a delta, and the field of the block that they make up.
    _FIELDS: ClassVar = {
        "text_delta": ("text", "text"),
        "thinking_delta": ("thinking", "thinking"),
        "signature_delta": ("signature", "signature"),
        "input_json_delta": ("partial_json", "input"),
    }

    def __init__(self, start: dict[str, Any]) -> None:
        self._start = start
        self._pieces: dict[str, list[str]] = {}

    def add(self, delta: Mapping[str, Any]) -> bool:
        """Add a piece. Whether it could be read."""
        names = self._FIELDS.get(str(delta.get("type")))
        if names is None:  # citations
            return True
        piece = delta.get(names[0])
        if isinstance(piece, str):
            self._pieces.setdefault(names[1], []).append(piece)
        return isinstance(piece, str)

    def whole(self) -> dict[str, Any]:
        """The block so far."""
        fields = {name: self._field(name, "".join(pieces)) for name, pieces in self._pieces.items() if any(pieces)}
        return {**self._start, **fields}

    def _field(self, name: str, joined: str) -> Any:
        if name == "input":
            return decoded(joined.encode())
        start = self._start.get(name) or ""
        return joined if name == "signature" or not isinstance(start, str) else start + joined
