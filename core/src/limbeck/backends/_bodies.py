"""The body of an answer, whichever came: JSON, or server-sent events that nobody asked for."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ..errors import TransientError
from ._parts import chat_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DONE = "[DONE]"
_KEEP_ALIVES = ("", "ping", None)
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
# One JSON object behind another: lines of JSON, or what a record separator divides.
_NEXT_OBJECT = re.compile(rb"[}\n][\s\x1e]*\{")
_BETWEEN = re.compile(r"[\s\x1e]*")
_MOST_NAMED = 5
_MOST_DIGITS = 4000  # Python refuses to read a longer number
# What a delta brings in pieces; anything else in it stands for itself.
_IN_PIECES = frozenset({"content", "reasoning_content", "reasoning", "refusal"})


def decoded(content: bytes) -> Any:
    """The JSON value in a body, else its text.

    What JSON does not allow costs no answer where it can be read all the same: bytes that are no UTF-8, line ends
    inside of texts, numbers of thousands of digits, something behind the object.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        text = content.decode("utf-8-sig", "replace").strip()
    try:
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return text
    return value if end == len(text) or isinstance(value, dict) else text


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _MOST_DIGITS else float("inf")


_DECODER = json.JSONDecoder(strict=False, parse_int=_whole)


def is_event_stream(content: bytes) -> bool:
    """Tell whether a body is server-sent events, or JSON objects one after another, whatever its content type says."""
    start = content.lstrip(b"\xef\xbb\xbf \r\n\x1e")
    return start.startswith(_FIELDS) or (start.startswith(b"{") and _is_sequence(start))


def _is_sequence(content: bytes) -> bool:
    if not _NEXT_OBJECT.search(content):  # as in nearly every answer: the rest would read it a second time
        return False
    values = _values_in(content)
    return isinstance(next(values), dict) and any(isinstance(value, dict) for value in values)


def _values_in(content: bytes) -> Iterator[Any]:
    """The JSON values that follow one another; a line that is none is its text."""
    text = content.decode("utf-8-sig", "replace")
    place = _after(text, 0)
    while place < len(text):
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            line = text[place:].partition("\n")[0]
            value, place = line, place + len(line)
        yield value
        place = _after(text, place)


def _after(text: str, place: int) -> int:
    between = _BETWEEN.match(text, place)
    return between.end() if between else place


def events_in(content: bytes) -> Iterator[Any]:
    """The data of each server-sent event, or each JSON object of several: its JSON value, else its text (`[DONE]`)."""
    if not content.lstrip(b"\xef\xbb\xbf \r\n\x1e").startswith(_FIELDS):
        yield from _values_in(content)
        return
    data: list[bytes] = []
    for line in [*content.removeprefix(b"\xef\xbb\xbf").splitlines(), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield decoded(b"\n".join(data))
            data = []


def completion_in(content: bytes, *, left_out: list[str] | None = None) -> Any:
    """The chat completion in a body: its JSON value, what a stream of chunks builds, or else the body's text.

    Args:
        content: the body. left_out: is given a word for what could not be read of a stream; for the response's
            `left_out`.

    Raises:
        TransientError: a stream ended before its answer did; it has the tokens counted by then.
    """
    if is_event_stream(content):
        return completion_of_events(events_in(content), left_out=left_out)
    return decoded(content)


def is_unreadable(event: Any) -> bool:
    """Tell whether an event may have been a piece of the answer, and cannot be read as one."""
    return not isinstance(event, dict) and event not in (*_KEEP_ALIVES, _DONE)


def unreadable_events(numbers: Sequence[int], left_out: list[str] | None) -> None:
    """Add the word for events that could not be read, counted from 1, if there are any."""
    if numbers and left_out is not None:
        more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
        left_out.append(f"an event of its stream, number {', '.join(map(str, numbers[:_MOST_NAMED]))}{more}")


def completion_of_events(events: Iterable[Any], *, left_out: list[str] | None = None) -> dict[str, Any]:
    """The completion that the chunks of OpenAI's chat-completions API build; the error, where they end in one.

    An event that cannot be read costs no answer that goes on to its end.

    Args:
        events: their data. left_out: is given a word for those that cannot be read.

    Raises:
        TransientError: the events end before the answer has ended.
    """
    whole: dict[str, Any] = {}
    choices: dict[Any, dict[str, Any]] = {}
    ended = False
    lost: list[int] = []
    for number, event in enumerate(events, 1):
        if event == _DONE:
            ended = True
            break
        if not isinstance(event, dict):
            if not ended and is_unreadable(event):  # behind the end no text is missed
                lost.append(number)
            continue
        whole.update({name: value for name, value in event.items() if name != "choices" and value is not None})
        for choice in _dicts(event.get("choices")):
            _add_choice(choices, choice)
        ended = bool(whole.get("error")) or any(choice.get("finish_reason") for choice in choices.values())
    if not ended:
        message = "The server's stream ended before the answer did."
        model = whole.get("model")
        raise TransientError(
            message, usage=chat_usage(whole.get("usage")), model=model if isinstance(model, str) else None
        )
    unreadable_events(lost, left_out)
    return {**whole, "choices": [choices[index] for index in sorted(choices, key=str)]}


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _add_choice(choices: dict[Any, dict[str, Any]], choice: dict[str, Any]) -> None:
    whole = choices.setdefault(str(choice.get("index", 0)), {"finish_reason": None, "message": {}})
    if isinstance(choice.get("message"), dict):
        whole["message"] = choice["message"]
    delta = choice.get("delta")
    for name, piece in delta.items() if isinstance(delta, dict) else ():
        _add_piece(whole["message"], name, piece)
    if choice.get("finish_reason") is not None:
        whole["finish_reason"] = choice["finish_reason"]
    if choice.get("logprobs") is not None:
        whole["logprobs"] = _merged(whole.get("logprobs"), choice["logprobs"])


def _add_piece(message: dict[str, Any], name: str, piece: Any) -> None:
    if piece is None:
        return
    if name == "tool_calls":
        _add_tool_calls(message.setdefault(name, []), _dicts(piece))
    elif name == "function_call" and isinstance(piece, dict):
        _add_function(message.setdefault(name, {}), piece)
    elif name in _IN_PIECES:
        message[name] = _joined(message.get(name), piece)
    else:
        message[name] = piece


def _joined(before: Any, piece: Any) -> Any:
    """Two texts as one; else the parts of both, in order."""
    if before is None:
        return piece
    if isinstance(before, str) and isinstance(piece, str):
        return before + piece
    parts = before if isinstance(before, list) else [before]
    return [*parts, *(piece if isinstance(piece, list) else [piece])]


def _add_tool_calls(calls: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    for piece in pieces:
        index = piece.get("index")
        if not isinstance(index, int) or not 0 <= index <= len(calls):  # not said: a new id begins a new call
            index = len(calls) if piece.get("id") or not calls else len(calls) - 1
        if index == len(calls):
            calls.append({"type": "function", "function": {}})
        call = calls[index]
        call.update({name: value for name, value in piece.items() if name not in ("index", "function") and value})
        if isinstance(piece.get("function"), dict):
            _add_function(call["function"], piece["function"])


def _add_function(function: dict[str, Any], piece: dict[str, Any]) -> None:
    if piece.get("name"):
        function.setdefault("name", piece["name"])
    if piece.get("arguments") is not None:
        function["arguments"] = _joined(function.get("arguments"), piece["arguments"])


def _merged(before: Any, more: Any) -> Any:
    """Log-probabilities of two chunks: the lists under each name, one after the other."""
    if not isinstance(before, dict) or not isinstance(more, dict):
        return more
    return {
        name: before[name] + value if isinstance(value, list) and isinstance(before.get(name), list) else value
        for name, value in {**before, **{name: value for name, value in more.items() if value is not None}}.items()
    }
