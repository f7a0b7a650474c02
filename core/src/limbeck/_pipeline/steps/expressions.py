"""Expressions over a row's columns, in Jinja's language and sandbox: a file may hold one, and never code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError, MissingDependencyError, RowError, described

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...sandbox import Sandbox
    from ...types import Row


def compile_expression(
    condition: str | Callable[[Row], Any], *, where: str, truth: bool = False
) -> Callable[[Row], Any]:
    """A function of a row: `condition` itself, or what the expression says.

    A column, or a key of one, that the row lacks is undefined, which is false; comparing it raises. Whatever an
    expression raises, the function raises as a `RowError` that names the columns and what they hold.

    Args:
        where: begins the error's sentence. truth: whether the expression's value is made true or false.

    Raises:
        ConfigurationError: the expression cannot be read; the message shows the place.
        MissingDependencyError: Jinja is not installed.
    """
    if callable(condition):
        return condition
    jinja = _sandbox()
    from jinja2 import TemplateSyntaxError

    try:
        evaluate = jinja.compile_expression(condition, undefined_to_none=False)
    except TemplateSyntaxError as exc:
        raise ConfigurationError(
            f"{where} is not an expression: {exc.message} (in {condition!r}). "
            "It is written as in Jinja: `score > 3 and topic in ['a', 'b']`."
        ) from exc
    columns = list(expression_columns(condition))

    def value(row: Row) -> Any:
        try:
            found = evaluate(row)
            return bool(found) if truth else found
        except Exception as exc:  # of whatever the values' own methods are
            held = [f"`{name}` {_what(row, name)}" for name in columns]
            fault = f"{described(exc).rstrip('.')} (in {', '.join([repr(condition), *held])})"
            raise RowError(f"{where} cannot be computed: {fault}.") from exc

    return value


def _what(row: Row, column: str) -> str:
    return f"holds {type(row[column]).__name__}" if column in row else "is missing"


def _sandbox() -> Sandbox:
    try:
        from ...sandbox import sandbox
    except ImportError as exc:
        raise MissingDependencyError(
            "jinja2", needed_by="An expression", requirement="limbeck-core[expressions]"
        ) from exc
    return sandbox()


def expression_columns(expression: object) -> dict[str, bool]:
    """The columns that an expression uses, each with whether the row must have it.

    One that is tested with `is defined`, or has a `default`, need not be there.
    """
    if not isinstance(expression, str):
        return {}
    jinja = _sandbox()
    from jinja2 import nodes

    from ...sandbox import columns_in

    tree = jinja.parse(f"{{{{ {expression} }}}}")
    guarded = [*tree.find_all(nodes.Test), *tree.find_all(nodes.Filter)]
    optional = {
        each.node.name
        for each in guarded
        if each.name in ("defined", "undefined", "default", "d") and isinstance(each.node, nodes.Name)
    }
    return {name: name not in optional for name in columns_in(tree)}
