"""`attribute-grid`: rows of attributes, to write data from."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt, PrivateAttr

from limbeck import GeneratorStep
from limbeck.errors import ConfigurationError

from .grids import Choices, Grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row

_ROWS = 50  # in each list that `process` yields


class AttributeGrid(GeneratorStep):
    """A source of rows with a value for each of some attributes: topics, tones, levels, whoever is asking.

    Output columns: the attributes. No model is asked.

    Attributes:
        attributes: name to values: a list, or a dict of texts and their weights. They are drawn in this order.
        conditions: `{"when": {attribute: value or values}, "then": {attribute: values}}`: what an attribute is drawn
            from where those before it have these values. Of several, the last one that holds counts.
        combinations: "sample" draws each row by itself; "all" gives every combination that the conditions allow once.
        num_rows: how many; beside "all" the most, and None means no bound.
        seed: of the draw. A row of a number is the same whatever `num_rows` is.
    """

    attributes: dict[str, Choices]
    conditions: list[dict[str, Any]] = Field(default_factory=list)
    combinations: Literal["sample", "all"] = "sample"
    num_rows: PositiveInt | None = None
    seed: int = 42

    _grid: Grid = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._grid = Grid(self.attributes, self.conditions, owner=self.name)
        if self.combinations == "sample" and self.num_rows is None:
            raise ConfigurationError(f'{self.name!r} draws rows without end. Give `num_rows`, or `combinations="all"`.')

    @property
    def outputs(self) -> list[str]:
        return [*self.attributes]

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:  # noqa: ARG002 - a source takes none
        rows = self._rows()
        while chunk := [*islice(rows, _ROWS)]:
            yield chunk

    def _rows(self) -> Iterator[Row]:
        if self.combinations == "all":
            return islice(self._grid.all(), self.num_rows)
        return (self._grid.drawn(self.seed, number) for number in range(self.num_rows or 0))
