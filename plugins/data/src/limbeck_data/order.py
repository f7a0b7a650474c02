"""Steps that need all rows: they put them in order, or choose an exact number."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import Field

from limbeck import GlobalStep
from limbeck.errors import ConfigurationError, described
from limbeck.files import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row


class Sort(GlobalStep):
    """Sorts the rows. Equal ones keep their order; nulls, and NaN, which nothing is less than, come last.

    Attributes:
        by: the columns to compare, the first one first. descending: largest first.
    """

    by: str | list[str]
    descending: bool = False

    @property
    def inputs(self) -> list[str]:
        return [self.by] if isinstance(self.by, str) else self.by

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        rows = list(inputs)
        for column in reversed(self.inputs):
            rows = self._sorted(rows, column)
        yield rows

    def _sorted(self, rows: list[Row], column: str) -> list[Row]:
        present = [row for row in rows if not _is_missing(row.get(column))]
        try:
            present.sort(key=lambda row: row[column], reverse=self.descending)
        except Exception as exc:  # of the values' own methods
            kinds = ", ".join(sorted({type(row[column]).__name__ for row in present}))
            raise ConfigurationError(
                f"The rows cannot be sorted by the column {column!r}, which holds {kinds}: {described(exc)}."
            ) from exc
        return [*present, *(row for row in rows if _is_missing(row.get(column)))]


def _is_missing(value: Any) -> bool:
    """Tell whether a value has no place in an order: None, and any that does not equal itself."""
    value = plain_value(value)
    return value is None or (isinstance(value, float | Decimal) and value != value)  # noqa: PLR0124 - NaN of either kind


class Shuffle(GlobalStep):
    """Puts the rows in a random order, the same for the same rows and seed.

    Attributes:
        seed: another one gives another order.
    """

    seed: int = 0

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        rows = list(inputs)
        random.Random(self.seed).shuffle(rows)  # noqa: S311 - an order, not a secret
        yield rows


class SampleRows(GlobalStep):
    """Chooses an exact number of rows at random, each with the same chance, and keeps their order.

    For a fraction of the rows, as they come, there is `sample`.

    Attributes:
        n: how many; all where there are no more. seed: another one gives another sample.
    """

    n: int = Field(ge=0)
    seed: int = 0

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        chosen: Any = random.Random(self.seed).sample(range(len(inputs)), min(self.n, len(inputs)))  # noqa: S311 - as above
        yield [inputs[place] for place in sorted(chosen)]
