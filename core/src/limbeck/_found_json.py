"""JSON in what a model says: behind its thinking, in fences, in the midst of prose."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of JSON: its text, unaltered, and what it says."""

    text: str
    value: Any


def found_json(answer: str) -> list[Found]:
    """The JSON in a text, in order: the whole of it; else each fenced block, and each object and list in prose.

    Thinking is passed over, also such as was never closed. Where nothing is left but for marks that seem to be
    spoken of, they are taken for thinking too.

    Raises:
        RecursionError: something in it is nested without end.
    """
    refuse_deep(answer)
    whole = _decoded(answer.strip())
    return [whole] if whole is not None else _outside(answer, _marks(answer)) or _outside(answer, _unquoted(answer))


def _outside(answer: str, marks: Iterable[re.Match[str]]) -> list[Found]:
    """The JSON outside of the thinking that begins and ends with `marks`."""
    text = _without(answer, marks).strip()
    whole = _decoded(text)
    if whole is not None:
        return [whole]
    return [found for part, fenced in _parts(text) for found in _in_part(part, fenced=fenced)]


_DEEPEST = 500
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def refuse_deep(text: str) -> None:
    """Raise where JSON is nested beyond reason, as a model caught in a loop nests it.

    The decoder would go down to the interpreter's limit. Garbage that is collected down there has
    no room for its finalizers, of whatever part of the program: they fail and never run again.

    Raises:
        RecursionError: it is.
    """
    if text.count("[") + text.count("{") <= _DEEPEST:
        return
    depth = 0
    for found in _NESTING.finditer(text):
        depth += 1 if found[0] in "[{" else -1 if found[0] in "]}" else 0
        if depth > _DEEPEST:
            raise RecursionError(f"it is nested more than {_DEEPEST} levels deep")


class KeyTwiceError(ValueError):
    """An object of JSON gives a key twice."""


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which each key is given once: of two, a dict would hold only the last.

    Raises:
        KeyTwiceError: one is given twice.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise KeyTwiceError(f"the key {twice!r} is given twice")
    return made


def why_none(answer: str) -> str:
    """The reason why a text holds no JSON, as the end of a sentence; empty where there is none to give."""
    text = without_thinking(answer).strip()
    if not text:
        return " (it ends in the model's thinking)"
    try:
        _DECODER.decode(text)
    except ValueError as exc:
        return f" ({exc})" if _MEANT.match(text) else ""
    return " (half a surrogate pair is no text)"


# Thinking

# A mark behind one backtick is spoken of. `[THINK]` is Mistral's, ◁think▷ Kimi's.
_MARK = re.compile(r"(?<!(?<!`)`)(?:<(/?)(?i:(?:\w+:)?think(?:ing)?|thought|reasoning)>|\[(/?)THINK\]|◁(/?)think▷)")


# What is quoted, or in a span of code, is spoken of. A quote that closes one text and a mark may stand before the next.
_SPOKEN = re.compile(
    r"""(?<![^\s(\[{,:=*])(?:"[^"\n]{0,300}"|'[^'\n]{0,300}'|“[^”\n]{0,300}”|‘[^’\n]{0,300}’|«[^»\n]{0,300}»)(?![\w<])"""
    r"|(?<!`)(`+)(?!`)[^\n]{0,300}?(?<!`)\1(?!`)"
)


def without_thinking(answer: str) -> str:
    """`answer` without its thinking, which may be nested, begin in the prompt, or never end."""
    return _without(answer, _marks(answer))


def _without(answer: str, marks: Iterable[re.Match[str]]) -> str:
    kept: list[str] = []
    open_marks: list[str] = []
    place = 0
    for mark in marks:
        name = _name(mark)
        if not open_marks:
            kept.append(answer[place : mark.start()])
        if not any(mark.groups()):
            open_marks.append(name)
        elif name in open_marks:
            while open_marks.pop() != name:
                pass
        elif not open_marks:
            kept.clear()  # its beginning was in the prompt
        place = mark.end()
    if not open_marks:
        kept.append(answer[place:])
    return "".join(kept)


def _name(mark: re.Match[str]) -> str:
    return mark[0].lower().replace("/", "")


def _marks(answer: str) -> Iterator[re.Match[str]]:
    """The marks of thinking, without those that are spoken of: in quotes, in code, or alone in a fenced block."""
    marks = list(_unquoted(answer))
    if not marks:
        return
    spoken, fences = _Spans(_SPOKEN, answer), _Spans(_FENCE, answer)
    for mark in marks:
        if spoken.around(mark) is None and not _is_alone(mark, fences.around(mark)):
            yield mark


def _is_alone(mark: re.Match[str], fence: re.Match[str] | None) -> bool:
    """Tell whether a mark stands in a fenced block without the other one of its pair."""
    if fence is None or (fence["end"] is None and fence["line"] is None):
        return False  # no block, or one that was cut off
    others = _MARK.finditer(fence[0])
    return not any(_name(other) == _name(mark) and other[0] != mark[0] for other in others)


class _Spans:
    """The places that a pattern matches, asked for in order."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self._found = pattern.finditer(text)
        self._next = next(self._found, None)

    def around(self, mark: re.Match[str]) -> re.Match[str] | None:
        """The match that a mark stands in, or None."""
        while self._next is not None and self._next.end() <= mark.start():
            self._next = next(self._found, None)
        return self._next if self._next is not None and self._next.start() < mark.start() else None


def _unquoted(answer: str) -> Iterator[re.Match[str]]:
    """The marks of thinking, without those in the texts of an object or list, which it says and does not mean."""
    place, patience = 0, _PATIENCE
    for mark in _MARK.finditer(answer):
        while patience > 0 and (opened := _BRACKET.search(answer, place, mark.start())):
            try:
                _, place = _DECODER.raw_decode(answer, opened.start())
            except ValueError:
                place = opened.end()
                patience -= 1
        if place <= mark.start():
            yield mark
            place = mark.end()


# Fences

# It ends with its own sign at a line's beginning, or where the text does; or it is a line between two of its signs.
_FENCE = re.compile(
    r"^[ \t]*(?:(```+|~~~+)[^\n`]*\n(?P<block>.*?)(?:(?P<end>^[ \t]*\1)|\Z)"
    r"|(`+(?!`)|~~~+(?!~))(?:json\b)?(?P<line>[^\n]+?)\4[ \t]*$)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text's parts in order, each with whether it is a fenced block's."""
    place = 0
    for fence in _FENCE.finditer(text):
        yield text[place : fence.start()], False
        yield fence["block"] or fence["line"] or "", True
        place = fence.end()
    yield text[place:], False


def _in_part(part: str, *, fenced: bool) -> Iterator[Found]:
    whole = _decoded(part) if fenced else None  # which may be a number or a text, too
    if whole is not None:
        yield whole
    else:
        yield from _in_prose(part)


# Objects and lists in prose

_BRACKET = re.compile(r"[{\[]")
# What is meant as an object or a list, if perhaps not written as JSON: not a set, a citation or a placeholder.
_MEANT = re.compile(r"""\{\s*(?:["']|[\w$-]+\s*:)|\[\s*[\[{"']""")
_BRACKET_OR_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"|[{}\[\]]')


_PATIENCE = 10_000  # with brackets that begin no JSON; a text with more of them is of a model caught in a loop


def _in_prose(text: str) -> Iterator[Found]:
    place, patience = 0, _PATIENCE
    while patience > 0 and (opened := _BRACKET.search(text, place)):
        start = opened.start()
        try:
            value, place = _DECODER.raw_decode(text, start)
            yield Found(_utf8(text[start:place], value), value)
        except ValueError as exc:
            end = _closed_at(text, start) if _MEANT.match(text, start) else start + 1
            patience -= 1 if end else 1000  # it was looked for to the end of the text
            place = max(place, end or _torn_at(text, start, exc))


def _torn_at(text: str, start: int, fault: ValueError) -> int:
    """The place to search on from, after an object or list that is never closed: nothing inside of it is the answer."""
    if isinstance(fault, json.JSONDecodeError) and not fault.msg.startswith("Unterminated string"):
        return max(fault.pos, start + 1)
    return len(text)  # it was cut off


def _closed_at(text: str, start: int) -> int | None:
    """The end of what is opened at `start`, or None where it is never closed."""
    depth = 0
    for token in _BRACKET_OR_TEXT.finditer(text, start):
        if token[0] in "{[":
            depth += 1
        elif token[0] in "}]":
            depth -= 1
            if not depth:
                return token.end()
    return None


# What counts as JSON


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is too large for a number")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _decoded(text: str) -> Found | None:
    """The text as JSON, or None where it is none."""
    try:
        value = _DECODER.decode(text)
        return Found(_utf8(text.strip(), value), value)
    except ValueError:
        return None


def _utf8(text: str, value: Any) -> str:
    """`text`, unless there is half a surrogate pair in it, which is in no text that can be sent or stored.

    Raises:
        UnicodeEncodeError: a `ValueError`.
    """
    text.encode()
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return text
