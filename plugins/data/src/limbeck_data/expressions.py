"""Steps that compute from a row: with a Jinja expression, which is never code, or with a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MappingView
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr
from pydantic.json_schema import SkipJsonSchema

from limbeck import Step
from limbeck.errors import RowError, described
from limbeck.recipes import compile_expression, expression_columns

if TYPE_CHECKING:
    from limbeck.types import Row


_SCALARS = frozenset({str, int, float, bool, type(None)})
_LAZY: tuple[type, ...] = (Iterator, MappingView, range)  # Jinja's `map` and `select` give iterators


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
        self._test = compile_expression(self.condition, where="`condition`", truth=True)
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
    """The result of an expression, in a form that a row can hold."""
    try:
        return _plain(value)
    except _NoValueError as exc:
        raise RowError(f"The expression for the column {column!r} gives {exc}.") from exc
    except Exception as exc:  # what is lazy is computed here
        raise RowError(f"The column {column!r} cannot be computed: {described(exc).rstrip('.')}.") from exc


class _NoValueError(Exception):
    """Something that no row can hold; the message says what."""


def _plain(value: Any) -> Any:
    """`value` with lists for what is lazy and texts for what is marked as HTML, at any depth.

    Raises:
        _NoValueError: Jinja's own objects, a function or something undefined is in it.
    """
    cls = type(value)
    if cls in _SCALARS:
        return value
    if cls is dict:
        return {_plain(key): _plain(part) for key, part in value.items()}
    if cls is list or isinstance(value, _LAZY):
        parts = list(value)
        return parts if _SCALARS.issuperset(map(type, parts)) else [_plain(part) for part in parts]
    of_jinja = cls.__module__.partition(".")[0] == "jinja2"
    if cls is tuple or (of_jinja and isinstance(value, tuple)):  # `groupby` names the two parts
        return tuple([_plain(part) for part in value])
    if isinstance(value, str):
        return str.__str__(value)
    from jinja2 import Undefined

    if isinstance(value, Undefined):
        raise _NoValueError("nothing: it uses what the row does not have")
    if callable(value) or of_jinja:
        raise _NoValueError(f"a {'function' if callable(value) else cls.__name__}, not a value")
    return value
