"""Steps that write rows in the form that trainers read."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from limbeck import Step
from limbeck.errors import ConfigurationError
from limbeck.files import plain_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import ChatType, Row


class FormatForSFT(Step):
    """Adds a conversation to train on: the question and the answer as `messages` in OpenAI's form.

    Attributes:
        prompt: the column with the question: a text, or a chat that the answer goes on.
        response: the column with the answer.
        system: the column with a system prompt; a row without one, or with an empty one, gets none.
    """

    prompt: str = "instruction"
    response: str = "generation"
    system: str = "system_prompt"

    @property
    def inputs(self) -> dict[str, bool]:
        return {self.prompt: True, self.response: True, self.system: False}

    @property
    def outputs(self) -> list[str]:
        return ["messages"]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [{**row, "messages": [*self._asked(row), _answer(row, self.response)]} for row in inputs]

    def _asked(self, row: Row) -> ChatType:
        return _chat(row, self.prompt, self.system)


class FormatForDPO(Step):
    """Adds a preference to train on: `prompt`, `chosen` and `rejected`.

    Of several answers with a rating each, the best is chosen and the worst rejected; of equals
    the first. Null and NaN are no rating. Or the two answers stand in columns of their own. Two
    answers that are equal are no preference: the row fails.

    Attributes:
        prompt: the column with the question: a text or a chat.
        system: the column with a system prompt, which may be missing or empty.
        generations: the column with the list of answers. ratings: that with a number for each.
        chosen, rejected: in their place, the columns with the better and the worse answer.
        form: "messages" (chats in OpenAI's form) or "text".
    """

    prompt: str = "instruction"
    system: str = "system_prompt"
    generations: str = "generation"
    ratings: str = "ratings"
    chosen: str | None = None
    rejected: str | None = None
    form: Literal["messages", "text"] = "messages"

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.chosen is None) != (self.rejected is None):
            raise ConfigurationError("`chosen` and `rejected` name two columns: give both, or neither.")
        return self

    @property
    def inputs(self) -> dict[str, bool]:
        answers = [self.generations, self.ratings]
        if self.chosen is not None and self.rejected is not None:
            answers = [self.chosen, self.rejected]
        return {self.prompt: True, self.system: False, **dict.fromkeys(answers, True)}

    @property
    def outputs(self) -> list[str]:
        ratings = [] if self.chosen is not None else ["chosen_rating", "rejected_rating"]
        return ["prompt", "chosen", "rejected", *ratings]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [{**row, **self._preference(row)} for row in inputs]

    def _preference(self, row: Row) -> Row:
        if self.chosen is not None and self.rejected is not None:
            return self._pair(row, _text(row, self.chosen), _text(row, self.rejected))
        (best, high), (worst, low) = self._extremes(row)
        return {**self._pair(row, best, worst), "chosen_rating": high, "rejected_rating": low}

    def _pair(self, row: Row, chosen: str, rejected: str) -> Row:
        if chosen == rejected:
            raise ValueError("the better and the worse answer are the same text, so neither is preferred")
        if self.form == "text":
            return {"prompt": _text(row, self.prompt), "chosen": chosen, "rejected": rejected}
        return {
            "prompt": _chat(row, self.prompt, self.system),
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }

    def _extremes(self, row: Row) -> tuple[tuple[str, Any], tuple[str, Any]]:
        answers, ratings = (_items(row, column) for column in (self.generations, self.ratings))
        if len(answers) != len(ratings):
            raise ValueError(
                f"the column {self.generations!r} has {len(answers)} answers, "
                f"and {self.ratings!r} has {len(ratings)} ratings"
            )
        numbers = [_number(rating, self.ratings) for rating in ratings]
        rated = [pair for pair in zip(answers, numbers, strict=True) if None not in pair]
        for answer, _ in rated:
            if not isinstance(answer, str):
                what = type(answer).__name__
                raise TypeError(
                    f"the column {self.generations!r} holds a {what} among its answers, where a text is needed"
                )
        if len({rating for _, rating in rated}) < 2:
            raise ValueError(f"no answer is better than another: the ratings in {self.ratings!r} are {ratings!r}")
        return max(rated, key=_rating), min(rated, key=_rating)


def _number(rating: Any, column: str) -> Any:
    """A rating that can be compared, or None for what is none."""
    if rating is None:
        return None
    if isinstance(rating, bool) or not isinstance(rating, int | float | Decimal):
        raise TypeError(f"the column {column!r} holds the rating {rating!r}, where a number is needed")
    return None if rating != rating else rating  # noqa: PLR0124 - NaN of either kind


def _rating(pair: tuple[str, Any]) -> Any:
    return pair[1]


def _chat(row: Row, column: str, system: str) -> ChatType:
    value = row[column]
    if isinstance(value, list):
        messages: ChatType = list(value)
        return messages
    asked: ChatType = [{"role": "user", "content": _text(row, column)}]
    if row.get(system):
        asked.insert(0, {"role": "system", "content": _text(row, system)})
    return asked


def _answer(row: Row, column: str) -> Any:
    return {"role": "assistant", "content": _text(row, column)}


def _text(row: Row, column: str) -> str:
    value = row[column]
    if isinstance(value, str):
        return value
    if value is None:
        raise ValueError(f"the column {column!r} is null, where a text is needed")
    hint = " `expand-columns` makes a row of each item." if isinstance(value, list) else ""
    raise TypeError(f"the column {column!r} holds {type(value).__name__}, where a text is needed.{hint}")


def _items(row: Row, column: str) -> list[Any]:
    value = plain_row({column: row[column]})[column]  # a step may have made an array
    if not isinstance(value, list):
        raise TypeError(f"the column {column!r} holds {type(value).__name__}, where a list is needed")
    return value
