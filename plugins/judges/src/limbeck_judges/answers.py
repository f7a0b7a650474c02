"""What judges write in words: fields such as `Rating: 4`, under headings or numbers.

A value that is missing, given twice or out of its range is an `OutputError`, never a guess.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from limbeck.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_THINKING = re.compile(r"\s*(?:<think>|<thinking>|\[THINK\])")
_THOUGHT = re.compile(r"</think>|</thinking>|\[/THINK\]")
_NONE = re.compile(r"[\s*_<\[(\"']*(?:none|n/?a|null)\b", re.IGNORECASE)
_DIGITS = r"[0-9]{1,3}(?:\.[0-9]{1,3})?"
_NUMBER = re.compile(rf"[\s*_<\[(]*({_DIGITS})(?![0-9%A-Za-z]|[.,][0-9])(?!\s*(?:-|–|to\b|or\b)\s*[0-9])")
MARKS = r"[ \t>*#_-]*"
"""A pattern for the marks of Markdown at the start of a line."""
_SCORE = re.compile(
    rf"^{MARKS}[\[(]?([0-9]{{1,3}})[\]).]?[ \t*_:.-]*score[ \t*_]*[:：=][ \t*_]*(.*)$", re.IGNORECASE | re.MULTILINE
)


_FENCED = re.compile(r"```[a-z]*\n(.*)\n[ \t]*```", re.DOTALL)
# What may stand between two texts: a heading, a rule, the end of a fence, a bare number.
_BETWEEN = re.compile(r"#.*|[-*_=`]{2,}|\*\*.*\*\*|[\[(]?[0-9]{1,3}[\]).:]{0,3}|")


def answer_text(output: str | None) -> str:
    """The answer without the thinking that some servers leave in front of it, and without a fence around it.

    Raises:
        OutputError: nothing else is there.
    """
    text = (output or "").replace("\r\n", "\n")
    end = _THOUGHT.search(text)
    if _THINKING.match(text):
        text = text[end.end() :] if end else ""
    elif end and not re.search(r"<think|\[THINK\]", text):  # the prompt ended with the opening mark
        text = text[end.end() :]
    if not text.strip():
        raise OutputError("The answer is empty.", raw=output)
    fenced = _FENCED.fullmatch(text.strip())
    return (fenced[1] if fenced else text).strip()


def number(value: str, what: str, low: int, high: int) -> float:
    """The number with which `value` begins: `4`, `**4**`, `4/5`, `4 (good)`.

    Raises:
        OutputError: there is none, it is a span, or it is not from `low` to `high`.
    """
    found = _NUMBER.match(value)
    if found is None:
        raise OutputError(f"{what} is no number: {value[:60]!r}.")
    if not low <= float(found[1]) <= high:
        raise OutputError(f"{what} is {found[1]}, which is not from {low} to {high}.")
    return float(found[1])


def whole_number(value: str, what: str, low: int, high: int) -> int:
    """The whole number with which `value` begins.

    Raises:
        OutputError: as `number`, or it is none.
    """
    read = number(value, what, low, high)
    if not read.is_integer():
        raise OutputError(f"{what} is {read}, which is no whole number.")
    return int(read)


def whole_number_or_none(value: str, what: str, low: int, high: int) -> int | None:
    """The whole number with which `value` begins, or None where it says `None` or `N/A`."""
    return None if _NONE.match(value) else whole_number(value, what, low, high)


def numbered_sections(text: str, tag: str, count: int, first_field: str) -> list[str]:
    """The parts of an answer about several texts, in the order of the texts.

    A part begins with a line that names its text (`#### Text 2`); where no line does, with `first_field`.

    Raises:
        OutputError: there is not exactly one part for each text.
    """
    named = rf"(?:[a-z]+[ \t]+for[ \t]+)?(?:{tag}|output|response|answer)[ \t]*[<\[(]?([0-9]{{1,3}})[>\])]?"
    heading = re.compile(rf"^{MARKS}{named}[ \t*_:.]*$", re.IGNORECASE | re.MULTILINE)
    found = list(heading.finditer(text))
    numbers = [int(each[1]) for each in found]
    if not found:
        found = [*_field(first_field).finditer(text)]
        numbers = [*range(1, len(found) + 1)]
    if sorted(numbers) != [*range(1, count + 1)]:
        raise wrong_numbers(numbers, count)
    starts = [each.start() for each in found]
    parts = [_trimmed(text[start:end]) for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    by_number = dict(zip(numbers, parts, strict=True))
    return [by_number[number] for number in range(1, count + 1)]


def _trimmed(part: str) -> str:
    """A part without the lines at its end that belong to the next one, or to none."""
    lines = part.rstrip().split("\n")
    while len(lines) > 1 and _BETWEEN.fullmatch(lines[-1].strip()):
        lines.pop()
    return "\n".join(lines)


def wrong_numbers(numbers: Sequence[int], count: int) -> OutputError:
    """The error for an answer that does not speak once of each text."""
    what = f"the numbers {', '.join(map(str, numbers[:20]))}" if numbers else "none"
    return OutputError(f"The answer must judge each of the {count} texts once; it judges {what}.")


def fields(part: str, names: Sequence[str]) -> list[str]:
    """The values of `names`, which stand in this order, each at the start of a line (`Rating: 4`).

    Raises:
        OutputError: one is missing, empty or given twice, or they are in another order.
    """
    found = list(_field("|".join(dict.fromkeys(names))).finditer(part))
    order = [each[1].lower() for each in found]
    if order != [name.lower() for name in names]:
        wanted, given = ", ".join(names), ", ".join(order[:20]) or "none of them"
        raise OutputError(f"The answer must have {wanted}, in this order and once; it has {given}.")
    ends = [each.start() for each in found[1:]] + [len(part)]
    return [part[each.end() : end].strip() for each, end in zip(found, ends, strict=True)]


def _field(names: str) -> re.Pattern[str]:
    return re.compile(rf"^{MARKS}({names})[ \t*_]*[:：][ \t*_]*", re.IGNORECASE | re.MULTILINE)


def of_each(parts: Sequence[Any], count: int) -> Sequence[Any]:
    """The parts of a structured answer, one for each text.

    Raises:
        OutputError: they are more or fewer.
    """
    if len(parts) != count:
        raise wrong_numbers(range(1, len(parts) + 1), count)
    return parts
