"""Texts of columns, for tasks that make no prompt of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.types import Row


def text_in(row: Row, column: str) -> str:
    """The text in a column.

    Raises:
        TypeError: there is none.
    """
    value = row[column]
    if not isinstance(value, str):
        raise TypeError(f"The column `{column}` must hold a text, not {_kind(value)}.")
    return value


def texts_in(row: Row, column: str) -> list[str]:
    """The list of texts in a column.

    Raises:
        TypeError: there is none. ValueError: it is empty.
    """
    values = row[column]
    if not isinstance(values, list | tuple):
        raise TypeError(f"The column `{column}` must hold a list of texts, not {_kind(values)}.")
    if not values:
        raise ValueError(f"The column `{column}` holds an empty list.")
    for place, value in enumerate(values):
        if not isinstance(value, str):
            raise TypeError(f"`{column}[{place}]` must be a text, not {_kind(value)}.")
    return list(values)


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
