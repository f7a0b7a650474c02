"""The columns of a row that is to be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from limbeck.types import Row


def text_column(input: Row, column: str) -> str:
    """The text in `column`; an empty text is a text.

    Raises:
        ValueError: it is null. TypeError: it is something other than text.
    """
    text = input[column]
    if text is None:
        raise ValueError(f"The column `{column}` is null. Fill it, or take such rows out first.")
    if not isinstance(text, str):
        raise TypeError(f"The column `{column}` must hold text, not {type(text).__name__}.")
    return text


def texts_column(input: Row, column: str) -> list[str | None]:
    """The list of texts in `column`. A null among them is a generation that failed: it is not judged.

    Raises:
        ValueError: there is no text in it. TypeError: it is something other than a list of texts.
    """
    texts = input[column]
    if not isinstance(texts, list | tuple):
        what = "null" if texts is None else type(texts).__name__
        raise TypeError(f"The column `{column}` must hold a list of texts, not {what}.")
    for place, text in enumerate(texts):
        if not isinstance(text, str | None):
            raise TypeError(f"`{column}[{place}]` must be a text, not {type(text).__name__}.")
    if all(text is None for text in texts):
        raise ValueError(f"The column `{column}` holds no text, so there is nothing to judge.")
    return list(texts)


def pair_column(input: Row, column: str) -> tuple[str, str]:
    """The two texts in `column`.

    Raises:
        ValueError: they are not two, or one is null. TypeError: as `texts_column`.
    """
    texts = texts_column(input, column)
    if len(texts) != 2:
        raise ValueError(f"The column `{column}` must hold two texts to compare, not {len(texts)}.")
    first, second = texts
    if first is None or second is None:
        raise ValueError(f"One of the two texts in the column `{column}` is null, so they cannot be compared.")
    return first, second


def judged(texts: Iterable[str | None]) -> list[str]:
    """The texts that are shown to the judge: all but the null ones."""
    return [text for text in texts if text is not None]


def in_place(values: Sequence[Any], texts: Iterable[str | None]) -> list[Any]:
    """What was said of the judged texts, in the places of `texts`: null where the text is null."""
    left = iter(values)
    return [None if text is None else next(left) for text in texts]
