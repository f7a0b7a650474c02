"""Generations to rows: several rows in sample order, or one row with lists.

Keys come out in this order: the input's own, the outputs as declared, the metadata, the
model's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._engine.rows.copies import own_row
from ..types import METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..types import Row

MODEL_NAME = "model_name"


@dataclass(slots=True)
class Sample:
    """One generation as columns.

    Attributes:
        values: one for each output, in declared order. metadata: what is kept beside them.
        failed: whether there is an error among the metadata.
        model_name: who made it, where that is not the task's LLM.
    """

    values: Sequence[Any]
    metadata: Row
    failed: bool = False
    model_name: str | None = None


@dataclass(slots=True)
class Shape:
    """The columns of a task's rows.

    Attributes:
        outputs: the output columns, as they are named in the rows. model_column: where the model's name goes.
        model_name: that name. grouped: one row a row of input.
        drop_failed: leave failed generations out (of a group, only when all failed).
    """

    outputs: tuple[str, ...]
    model_name: str
    model_column: str = MODEL_NAME
    grouped: bool = False
    drop_failed: bool = False
    _owned: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._owned = frozenset({*self.outputs, METADATA, self.model_column})

    def rows(self, row: Row, samples: list[Sample]) -> list[Row]:
        """The rows that come of `row`. The first carries the input's values over, the others have copies of them."""
        if self.grouped:
            if self.drop_failed and all(sample.failed for sample in samples):
                return []
            return [self._grouped(row, samples)]
        kept = [sample for sample in samples if not (self.drop_failed and sample.failed)]
        return [self._single(own_row(row) if place else row, sample) for place, sample in enumerate(kept)]

    def overwritten(self, row: Row) -> list[str]:
        """The output columns in which `row` holds a value already."""
        return [column for column in self.outputs if row.get(column) is not None]

    def _single(self, row: Row, sample: Sample) -> Row:
        result = self._inputs(row)
        for column, value in zip(self.outputs, sample.values, strict=True):
            result[column] = value
        metadata = _merged(row.get(METADATA), sample.metadata)
        if metadata:
            result[METADATA] = metadata
        result[self.model_column] = sample.model_name or self.model_name
        return result

    def _grouped(self, row: Row, samples: list[Sample]) -> Row:
        result = self._inputs(row)
        for place, column in enumerate(self.outputs):
            result[column] = [sample.values[place] for sample in samples]
        metadata = [_merged(row.get(METADATA), sample.metadata) for sample in samples]
        if any(metadata):
            result[METADATA] = metadata
        makers = {sample.model_name or self.model_name for sample in samples}
        result[self.model_column] = makers.pop() if len(makers) == 1 else self.model_name
        return result

    def _inputs(self, row: Row) -> Row:
        if self._owned.isdisjoint(row):
            return dict(row)
        return {column: value for column, value in row.items() if column not in self._owned}


def _merged(earlier: Any, own: Row) -> Row:
    """Earlier tasks' metadata with this task's; a grouped task's list becomes one list under each of its keys.

    What is not metadata (a text, where a file could not hold a dict) is kept under the column's own name.
    """
    if not earlier:
        return own
    if isinstance(earlier, list) and all(isinstance(each, dict | None) for each in earlier):
        keys = dict.fromkeys(key for each in earlier for key in each or ())
        earlier = {key: [(each or {}).get(key) for each in earlier] for key in keys}
    elif not isinstance(earlier, dict):
        earlier = {METADATA: earlier}
    return {**earlier, **own}
