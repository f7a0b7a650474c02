"""Steps that change which columns rows have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from limbeck import Step
from limbeck.errors import ConfigurationError, RowError
from limbeck.files import plain_value
from limbeck.types import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from limbeck.types import Row


class KeepColumns(Step):
    """Keeps the named columns, in the order named, and drops all others.

    Attributes:
        columns: what to keep.
    """

    columns: list[str] = Field(min_length=1)

    @property
    def inputs(self) -> dict[str, bool]:
        return {column: column != METADATA for column in self.columns}  # which only some rows may have

    def columns_after(self, columns: Sequence[str]) -> list[str]:  # noqa: ARG002 - whatever there were
        return list(dict.fromkeys(self.columns))

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [{column: row.get(column) for column in self.columns} for row in inputs]


class DropColumns(Step):
    """Drops the named columns.

    Attributes:
        columns: what to drop. A row that lacks one is left as it is.
    """

    columns: list[str] = Field(min_length=1)

    @property
    def inputs(self) -> dict[str, bool]:
        return dict.fromkeys(self.columns, False)  # what is not there is gone already

    @property
    def dropped(self) -> list[str]:
        return self.columns

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        gone = set(self.columns)
        yield [{column: value for column, value in row.items() if column not in gone} for row in inputs]


class RenameColumns(Step):
    """Gives columns other names; each stays in its place.

    Attributes:
        columns: the name that a column has to the name that it gets. Two may change places.
    """

    columns: dict[str, str] = Field(min_length=1)

    @property
    def inputs(self) -> dict[str, bool]:
        return {column: column != METADATA for column in self.columns}

    def columns_after(self, columns: Sequence[str]) -> list[str]:
        after = [self.columns.get(column, column) for column in columns]
        for column in after:
            if after.count(column) > 1:
                raise ConfigurationError(
                    f"{self.name!r} gives two columns the name {column!r}. Drop or rename the other one too."
                )
        return after

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [self._renamed(row) for row in inputs]

    def _renamed(self, row: Row) -> Row:
        renamed = {self.columns.get(column, column): value for column, value in row.items()}
        if len(renamed) < len(row):
            names = [self.columns.get(column, column) for column in row]
            twice = next(name for name in names if names.count(name) > 1)
            raise RowError(f"Two columns would have the name {twice!r}. Drop or rename the other one too.")
        return renamed


class ExpandColumns(Step):
    """Makes a row of each item of a list, with the other columns repeated.

    Several columns go in step: the first row has the first item of each. An empty list makes
    no row; null makes one, with null.

    Attributes:
        columns: those that hold the lists, which in a row are of one length.
    """

    columns: list[str] = Field(min_length=1)

    @property
    def inputs(self) -> list[str]:
        return self.columns

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            yield list(self._expanded(row))

    def _expanded(self, row: Row) -> Iterator[Row]:
        lists = {column: self._items(column, row[column]) for column in self.columns}
        length = max((len(items) for items in lists.values() if items is not None), default=1)
        for column, items in lists.items():
            if items is not None and len(items) != length:
                lengths = ", ".join(f"{name!r} has {len(each)}" for name, each in lists.items() if each is not None)
                raise RowError(f"The lists are not of one length: {lengths} ({column!r} is short).")
        for place in range(length):
            yield {**row, **{column: items and items[place] for column, items in lists.items()}}

    def _items(self, column: str, value: Any) -> list[Any] | None:
        value = plain_value(value)  # a step may have made an array
        if value is None or isinstance(value, list):
            return value
        if isinstance(value, tuple):
            return list(value)
        raise RowError(f"The column {column!r} holds {type(value).__name__}, where a list is expanded.")


class CombineColumns(Step):
    """Puts the values of several columns into one list.

    Attributes:
        columns: whose values, in this order. output: the column that gets the list.
        drop: take the columns themselves away.
    """

    columns: list[str] = Field(min_length=1)
    output: str = "combined"
    drop: bool = False

    @property
    def inputs(self) -> list[str]:
        return self.columns

    @property
    def outputs(self) -> list[str]:
        return [self.output]

    @property
    def dropped(self) -> list[str]:
        return [column for column in self.columns if column != self.output] if self.drop else []

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [self._combined(row) for row in inputs]

    def _combined(self, row: Row) -> Row:
        values = [row[column] for column in self.columns]
        gone = set(self.dropped)
        return {**{column: value for column, value in row.items() if column not in gone}, self.output: values}
