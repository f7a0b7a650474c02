"""A chat in OpenAI's form, as Anthropic's Messages API takes it.

System and developer messages become the top-level `system`; consecutive messages of one role
become one turn (a result of a tool is the user's); tool calls, their results, images and documents
become blocks. A text of nothing but white space says nothing, and the API refuses it: it is left out.
Parts that are Anthropic blocks already (`document`, `thinking`, an `image` with a `source`, ...)
pass unchanged.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from limbeck.backends import Media, extra_in, media_of
from limbeck.errors import BadRequestError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Block: TypeAlias = dict[str, Any]
Content: TypeAlias = "str | list[Block]"

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_ROLES = ("system", "developer", "user", "assistant", "tool")


def wire_chat(messages: Sequence[Mapping[str, Any]]) -> tuple[Content | None, list[dict[str, Any]]]:
    """The `system` and the `messages` that say what `messages` say.

    Raises:
        BadRequestError: a message cannot be expressed; nothing was sent.
    """
    system: list[Content] = []
    turns: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        role = message.get("role")
        if role in ("system", "developer"):
            system.append(_content(message.get("content"), place))
        else:
            _add_turn(turns, *_turn(message, place))
    if not turns:
        raise BadRequestError(
            "Anthropic needs at least one user message, and the chat has none besides its system messages and what is "
            "empty."
        )
    return _joined(system), turns


def batch_entry(custom_id: str, body: Mapping[str, Any]) -> bytes:
    """A request's body as an entry of a Message Batch.

    Raises:
        BadRequestError: JSON cannot hold it.
    """
    try:
        entry = {"custom_id": custom_id, "params": body}
        return json.dumps(entry, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadRequestError(f"The request could not be written: {exc}.") from exc


def _joined(system: list[Content]) -> Content | None:
    texts = [content for content in system if isinstance(content, str)]
    if len(texts) == len(system):
        return "\n\n".join(text for text in texts if text) or None
    return [block for content in system for block in _blocks(content)] or None


def _turn(message: Mapping[str, Any], place: int) -> tuple[str, Content]:
    role = message.get("role")
    if role == "user":
        return "user", _content(message.get("content"), place)
    if role == "assistant":
        return "assistant", _assistant_content(message, place)
    if role == "tool":
        return "user", [_tool_result(message, place)]
    raise BadRequestError(
        f"Message {place} has the role {role!r}.{did_you_mean(str(role), _ROLES)} Roles are {', '.join(_ROLES)}."
    )


def _add_turn(turns: list[dict[str, Any]], role: str, content: Content) -> None:
    if not content:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] = [*_blocks(turns[-1]["content"]), *_blocks(content)]
    else:
        turns.append({"role": role, "content": content})


def _blocks(content: Content) -> list[Block]:
    """`content` as blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _content(content: Any, place: int) -> Content:
    if content is None:
        return ""
    if isinstance(content, str):
        return content if content.strip() else ""
    if not isinstance(content, list):
        raise BadRequestError(
            f"Message {place}: `content` must be text or a list of parts, not {type(content).__name__}."
        )
    return [block for part in content if not _is_empty(block := _part(part, place))]


def _is_empty(block: Block) -> bool:
    text = block.get("text", "")
    return block.get("type") == "text" and (text is None or (isinstance(text, str) and not text.strip()))


def _part(part: Any, place: int) -> Block:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind is None:
        raise BadRequestError(
            f"Message {place}: a part of `content` must be a dict with a `type`; one is {part!r:.80}."
        )
    try:
        media = media_of(part)
    except BadRequestError as exc:
        raise BadRequestError(f"Message {place}: {exc}") from None
    if media is not None:
        return _media_block(media, place)
    if kind == "file":
        raise BadRequestError(
            f"Message {place}: a `file` part must have `file_data`. For a file that was uploaded to Anthropic, give "
            "its own `document` block."
        )
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal", "")}
    if kind == "tool_result" and isinstance(part.get("content"), list):
        return {**part, "content": _content(part["content"], place)}
    return dict(part)


def _media_block(media: Media, place: int) -> Block:
    if media.kind == "audio":
        raise BadRequestError(f"Message {place}: Anthropic takes no audio.")
    if media.kind == "image":
        return {"type": "image", "source": _image_source(media, place)}
    title = {} if media.name is None else {"title": media.name}
    return {"type": "document", "source": _document_source(media, place), **title}


def _image_source(media: Media, place: int) -> Block:
    if media.url is not None:
        return {"type": "url", "url": media.url}
    if media.media_type not in _IMAGES:
        raise BadRequestError(
            f"Message {place}: Anthropic takes images as {', '.join(_IMAGES)}, not as {media.media_type}."
        )
    return {"type": "base64", "media_type": media.media_type, "data": media.data}


def _document_source(media: Media, place: int) -> Block:
    """A PDF as it is, and a text as text: the API takes no other documents."""
    if media.url is not None:
        return {"type": "url", "url": media.url}
    if media.media_type == "application/pdf":
        return {"type": "base64", "media_type": media.media_type, "data": media.data}
    try:
        if (media.media_type or "").startswith("text/"):
            return {"type": "text", "media_type": "text/plain", "data": base64.b64decode(media.data).decode()}
    except ValueError as exc:
        raise BadRequestError(f"Message {place}: a document of type {media.media_type} is not UTF-8: {exc}.") from exc
    raise BadRequestError(
        f"Message {place}: Anthropic takes documents as application/pdf and as text, not as {media.media_type}."
    )


def _assistant_content(message: Mapping[str, Any], place: int) -> Content:
    content = _content(message.get("content"), place)
    calls = message.get("tool_calls")
    if not calls:
        return content
    blocks = [*_blocks(content), *(_tool_use(call, place) for call in calls)]
    return _with_thinking(blocks, extra_in(message, "anthropic") or {})


def _with_thinking(blocks: list[Block], extra: Mapping[str, Any]) -> list[Block]:
    """The blocks as the model wrote them, its thinking included, which the API wants back unmodified and in place.

    Where the message is not what the model wrote any more, it goes without.
    """
    given = extra.get("content")
    if not isinstance(given, list) or not all(isinstance(block, dict) for block in given):
        return blocks
    inputs = {block.get("id"): block["input"] for block in blocks if block.get("type") == "tool_use"}
    written = [
        {**block, "input": inputs.get(block.get("id"), {})} if block.get("type") == "tool_use" else dict(block)
        for block in given
        if not _is_empty(block)
    ]
    return written if _said(written) == _said(blocks) else blocks


def _said(blocks: list[Block]) -> tuple[str, list[Any]]:
    texts = [str(block.get("text")) for block in blocks if block.get("type") == "text"]
    calls = [(block.get("id"), block.get("name")) for block in blocks if block.get("type") == "tool_use"]
    return "".join(texts), calls


def _tool_use(call: Mapping[str, Any], place: int) -> Block:
    function = call.get("function") or {}
    arguments = function.get("arguments") or "{}"
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError as exc:
        raise BadRequestError(
            f"Message {place}: the arguments of the tool call {call.get('id')!r} are not JSON: {exc}."
        ) from exc
    if not isinstance(value, dict):
        raise BadRequestError(
            f"Message {place}: the arguments of the tool call {call.get('id')!r} must be a JSON object."
        )
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": value}


def _tool_result(message: Mapping[str, Any], place: int) -> Block:
    identifier = message.get("tool_call_id")
    if not identifier:
        raise BadRequestError(f"Message {place} has the role 'tool' but no `tool_call_id`.")
    return {"type": "tool_result", "tool_use_id": identifier, "content": _content(message.get("content"), place)}


def with_instruction(system: Content | None, instruction: str) -> Content:
    """`system` with one more instruction at its end."""
    if isinstance(system, list):
        return [*system, {"type": "text", "text": instruction}]
    return f"{system}\n\n{instruction}" if system else instruction
