"""Lists of scores, one for each of several texts: how a judge is asked for them, and how they are read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from limbeck.errors import OutputError

from .answers import MARKS, answer_text, number, of_each, wrong_numbers

if TYPE_CHECKING:
    from limbeck.types import JSONSchema

DEITA = """\
@misc{liu2023whatmakesgooddata,
    title = {What Makes Good Data for Alignment? A Comprehensive Study of Automatic Data Selection in
             Instruction Tuning},
    author = {Wei Liu and Weihao Zeng and Keqing He and Yong Jiang and Junxian He},
    year = {2023},
    eprint = {2312.15685},
    archivePrefix = {arXiv},
}"""
_LINE = re.compile(
    rf"^{MARKS}[\[(]?([0-9]{{1,3}})[\]).]?[ \t*_:.-]*score[ \t*_]*[:：=][ \t*_]*(.*)$", re.IGNORECASE | re.MULTILINE
)


def form_of_scores(count: int, *, structured: bool) -> str:
    """The last paragraph of the prompt: the form of the answer."""
    if structured:
        return f'Reply with nothing but JSON, the {count} scores in order: {{"scores": [<score>, …]}}'
    lines = "\n".join(f"[{place}] Score: <score>" for place in range(1, count + 1))
    return f"Reply with nothing but these lines:\n{lines}"


def schema_of_scores() -> JSONSchema:
    """The JSON Schema of a structured answer."""
    return {
        "type": "object",
        "properties": {"scores": {"type": "array", "items": {"type": "number"}}},
        "required": ["scores"],
        "additionalProperties": False,
    }


def worded_scores(answer: str, count: int, low: int, high: int) -> list[float]:
    """The scores in lines such as `[2] Score: 4`, in the order of their numbers.

    Raises:
        OutputError: a text has none or two, or one is out of its range.
    """
    found = [(int(each[1]), each[2]) for each in _LINE.finditer(answer_text(answer))]
    if sorted(place for place, _ in found) != [*range(1, count + 1)]:
        raise wrong_numbers([place for place, _ in found], count)
    return [number(value, f"The score of text {place}", low, high) for place, value in sorted(found)]


def structured_scores(answer: str, count: int, low: int, high: int) -> list[float]:
    """The scores in a structured answer.

    Raises:
        OutputError: they are more or fewer than the texts, or one is out of its range.
    """
    given = of_each(json.loads(answer)["scores"], count)
    for place, score in enumerate(given, start=1):
        if not low <= score <= high:
            raise OutputError(f"The score of text {place} is {score}, which is not from {low} to {high}.")
    return [float(score) for score in given]
