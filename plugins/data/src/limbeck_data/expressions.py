"""Steps that compute from a row: with a Jinja expression, which is never code, or with a function."""

from __future__ import annotations

from collections.abc import Callable, MappingView
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr
from pydantic.json_schema import SkipJsonSchema

from limbeck import Step
from limbeck.recipes import compile_expression, expression_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row


class FilterRows(Step):
    """Lets the rows through for which a condition is true.

    Attributes:
        condition: an expression over the row's columns, such as `score > 3 and topic in ["a", "b"]`,
            or a function of the row.
    """

    condition: str | SkipJsonSchema[Callable[[dict[str, Any]], Any]]

    _test: Callable[[dict[str, Any]], Any] = PrivateAttr()
    _needs: dict[str, bool] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        self._test = compile_expression(self.condition, where="`condition`")
        self._needs = expression_columns(self.condition)
        super().model_post_init(context)

    @property
    def inputs(self) -> dict[str, bool]:
        return self._needs

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [row for row in inputs if self._test(row)]


class MapRows(Step):
    """Adds columns, or replaces them, each computed from the row as it came.

    Attributes:
        columns: the name of a column to an expression over the row's columns, such as
            `question | trim`, or to a function of the row.
    """

    columns: dict[str, str | SkipJsonSchema[Callable[[dict[str, Any]], Any]]] = Field(min_length=1)

    _values: dict[str, Callable[[dict[str, Any]], Any]] = PrivateAttr(default_factory=dict)
    _needs: dict[str, bool] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        for column, expression in self.columns.items():
            self._values[column] = compile_expression(expression, where=f"The column {column!r}")
            for name, required in expression_columns(expression).items():
                self._needs[name] = required or self._needs.get(name, False)
        super().model_post_init(context)

    @property
    def inputs(self) -> dict[str, bool]:
        return self._needs

    @property
    def outputs(self) -> list[str]:
        return list(self.columns)

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [
            {**row, **{column: _value(column, make(row)) for column, make in self._values.items()}} for row in inputs
        ]


def _value(column: str, value: Any) -> Any:
    """What an expression gave, as a row can hold it."""
    from jinja2 import Undefined

    if hasattr(value, "__next__") or isinstance(value, MappingView):  # Jinja's filters `map` and `select` are lazy
        value = list(value)
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, Undefined):
            raise ValueError(  # noqa: TRY004 - it is the row that is wrong
                f"the expression for the column {column!r} gives nothing: it uses what the row does not have"
            )
    if callable(value):
        raise ValueError(  # noqa: TRY004 - as above
            f"the expression for the column {column!r} gives a function, not a value"
        )
    return str(value) if isinstance(value, str) else value  # some filters mark their text as HTML
