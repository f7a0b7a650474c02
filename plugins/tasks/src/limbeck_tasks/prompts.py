"""The chat that is made of a row's text columns, the same in every task of the pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.types import ChatType, Row


def null_column(column: str) -> ValueError:
    """The error for a column that is needed and null."""
    return ValueError(f"The column `{column}` is null. Fill it, or take such rows out first.")


def text_column(input: Row, column: str) -> str:
    """The text in `column`; an empty text is a text.

    Raises:
        ValueError: it is null. TypeError: it is something other than text.
    """
    text = input[column]
    if isinstance(text, str):
        return text
    if text is None:
        raise null_column(column)
    raise TypeError(f"The column `{column}` must hold text, not {type(text).__name__}.")


def system_prompt_for(input: Row, default: str | None) -> str | None:
    """The row's own `system_prompt` where it is not empty, else `default`."""
    if input.get("system_prompt") is None:
        return default
    return text_column(input, "system_prompt") or default


def chat(prompt: str, system_prompt: str | None = None) -> ChatType:
    """A chat of one question; an empty system prompt is left out."""
    if not system_prompt:
        return [{"role": "user", "content": prompt}]
    return [{"role": "system", "content": system_prompt}, {"role": "user", "content": prompt}]
