"""Texts of rows and of answers, the same in every task of the pack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from limbeck.errors import OutputError

if TYPE_CHECKING:
    from limbeck.types import Generation, Row

_THINKING = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)


def text_column(input: Row, column: str) -> str:
    """The text in `column`; an empty text is a text.

    Raises:
        ValueError: it is null. TypeError: it is something other than text.
    """
    text = input[column]
    if isinstance(text, str):
        return text
    if text is None:
        raise ValueError(f"The column `{column}` is null. Fill it, or take such rows out first.")
    raise TypeError(f"The column `{column}` must hold text, not {type(text).__name__}.")


def without_thinking(text: str | None) -> str:
    """A model's text without the thinking that stands before it, trimmed."""
    return _THINKING.sub("", text or "", count=1).strip()


def answer_text(generation: Generation) -> str:
    """The text of an answer, which is not empty.

    Raises:
        OutputError: it is.
    """
    text = without_thinking(generation.text)
    if not text:
        raise OutputError("The answer is empty.", raw=generation.text)
    return text


def whole_text(generation: Generation) -> str:
    """The text of an answer that is to be worked on: not empty, and not cut off.

    Raises:
        OutputError: it is.
    """
    if generation.finish_reason == "length":
        raise OutputError("The answer was cut off at the model's limit. Raise its `max_tokens`.", raw=generation.text)
    return answer_text(generation)
