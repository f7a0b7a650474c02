"""Attribute grids: combinations of values, drawn with weights or all in order, under conditions."""

from __future__ import annotations

import random
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

from limbeck.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from limbeck.types import Row

Choices: TypeAlias = list[Any] | dict[str, float]
"""The values of an attribute, each as likely as the others, or each text with its weight."""


class Grid:
    """The values of some attributes, and the conditions between them.

    Args:
        attributes: the values of each, in the order in which they are drawn.
        conditions: `{"when": {attribute: value or values}, "then": {attribute: values}}`: where all of `when` holds,
            those of `then` are drawn from these values. Of several, the last one that holds counts.
        owner: whose they are, for messages.

    Raises:
        ConfigurationError: there is nothing to draw from, a weight is none, or a condition speaks of what is not
            drawn yet.
    """

    def __init__(
        self, attributes: Mapping[str, Choices], conditions: Sequence[Mapping[str, Any]] = (), *, owner: str
    ) -> None:
        self._attributes = attributes
        self._conditions = conditions
        self._owner = owner
        if not attributes:
            raise ConfigurationError(f"`attributes` of {owner!r} are empty. Give one at least, with its values.")
        for name, choices in attributes.items():
            self._check_choices(choices, f"The attribute {name!r} of {owner!r}")
        for place, condition in enumerate(conditions):
            self._check_condition(condition, f"`conditions[{place}]` of {owner!r}")

    def drawn(self, seed: int, number: int) -> Row:
        """The row of that number: the same whatever other rows are drawn."""
        rng = random.Random(f"{seed}/{number}")  # noqa: S311 - chance, not a secret
        row: Row = {}
        for name in self._attributes:
            choices = self._choices(name, row)
            weights = [*choices.values()] if isinstance(choices, dict) else None
            (row[name],) = rng.choices([*choices], weights)
        return row

    def all(self) -> Iterator[Row]:
        """Every row that the conditions allow, once, in the order of the values; weights do not count."""
        for values in product(*(self._ever(name) for name in self._attributes)):
            row = dict(zip(self._attributes, values, strict=True))
            if all(row[name] in self._choices(name, row) for name in row):
                yield row

    def first(self) -> Row:
        """A row that the conditions allow: the first one."""
        return next(self.all())

    def _choices(self, name: str, row: Row) -> Choices:
        """The values of an attribute, where `row` has those before it."""
        choices = self._attributes[name]
        for condition in self._conditions:
            if name in condition["then"] and all(row[of] in _several(held) for of, held in condition["when"].items()):
                choices = condition["then"][name]
        return choices

    def _ever(self, name: str) -> list[Any]:
        """All values that an attribute may have, by itself or by a condition."""
        sources = [self._attributes[name], *(each["then"][name] for each in self._conditions if name in each["then"])]
        values: list[Any] = []
        for value in (value for choices in sources for value in choices):
            if value not in values:
                values.append(value)
        return values

    def _check_choices(self, choices: Any, what: str) -> None:
        if not isinstance(choices, list | dict) or not choices:
            raise ConfigurationError(
                f"{what} needs a list of values, or a dict of values and weights; it has {choices!r}."
            )
        if isinstance(choices, dict):
            weights = [*choices.values()]
            if not all(_is_weight(weight) for weight in weights) or not sum(weights):
                raise ConfigurationError(f"{what} has weights that are none: {weights!r}. They are numbers above 0.")

    def _check_condition(self, condition: Any, what: str) -> None:
        if not isinstance(condition, dict) or set(condition) != {"when", "then"}:
            raise ConfigurationError(f'{what} must be {{"when": {{…}}, "then": {{…}}}}, not {condition!r}.')
        names = [*self._attributes]
        for name in [*condition["when"], *condition["then"]]:
            if name not in names:
                hint = did_you_mean(str(name), names)
                raise ConfigurationError(f"{what} names {name!r}, which is none of the attributes.{hint}")
        for name, choices in condition["then"].items():
            self._check_choices(choices, f"{name!r} in {what}")
            late = [of for of in condition["when"] if names.index(of) >= names.index(name)]
            if late:
                raise ConfigurationError(
                    f"{what} makes {name!r} depend on {late[0]!r}, which is drawn after it. Put {late[0]!r} before "
                    f"{name!r} in `attributes`."
                )


def _is_weight(weight: Any) -> bool:
    return isinstance(weight, int | float) and not isinstance(weight, bool) and 0 <= weight < float("inf")


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
