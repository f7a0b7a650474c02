"""Jinja for prompts: the core's sandbox, strict about what is undefined and about what is null.

Importing this module imports jinja2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined, Undefined, UndefinedError, meta
from jinja2.exceptions import TemplateSyntaxError

from limbeck.errors import ConfigurationError
from limbeck.sandbox import columns_in, sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import Row


class _Null(Undefined):
    """A column that is null: it can be tested and defaulted; rendered, it is an error."""

    __slots__ = ()
    __str__ = __iter__ = __len__ = Undefined._fail_with_undefined_error  # noqa: SLF001 - as Jinja's own StrictUndefined

    def __eq__(self, other: object) -> bool:
        return _is_null(other)

    def __hash__(self) -> int:
        return hash(None)


def _is_null(value: object) -> bool:
    return value is None or isinstance(value, _Null)


def _printable(value: Any) -> Any:
    if value is None:
        raise UndefinedError("an expression in the template is null; give it a fallback, `{{ … or '' }}`")
    if callable(value) and not isinstance(value, Undefined):
        raise UndefinedError(f"an expression in the template is a function, not a value: {value!r:.80}")
    return value


def _environment() -> Environment:
    environment = sandbox().overlay(undefined=StrictUndefined, finalize=_printable)
    environment.tests = {**environment.tests, "none": _is_null}
    return environment


_ENVIRONMENT = _environment()


class JinjaTemplate:
    """A compiled template.

    Raises:
        ConfigurationError: a syntax error, with its line, or a reference to another template.
    """

    def __init__(self, source: str) -> None:
        try:
            tree = _ENVIRONMENT.parse(source)
            self.variables = columns_in(tree)
            self._template = _ENVIRONMENT.from_string(source)
        except TemplateSyntaxError as exc:
            raise ConfigurationError(_syntax_message(source, exc)) from exc
        if list(meta.find_referenced_templates(tree)):
            raise ConfigurationError(
                "`template` includes, imports or extends another template; a prompt template stands alone."
            )

    def may_use(self, column: str) -> bool:
        # A column may have the name of one of Jinja's functions and hide it, also where that is called.
        return column in self.variables or column in _ENVIRONMENT.globals

    def render(self, input: Row, columns: Sequence[str]) -> str:
        values = {column: _null(column) if input[column] is None else input[column] for column in columns}
        try:
            return self._template.render(values)
        except UndefinedError as exc:
            raise ValueError(f"The template cannot be rendered for this row: {exc.message}.") from exc


def _null(column: str) -> _Null:
    return _Null(hint=f"the column `{column}` is null; give it a fallback, `{{{{ {column} or '' }}}}`, or a test")


def _syntax_message(source: str, error: TemplateSyntaxError) -> str:
    lines = source.splitlines()
    line = f" in {lines[error.lineno - 1]!r}" if 0 < error.lineno <= len(lines) else ""
    return f"`template` is not valid Jinja: line {error.lineno}{line}: {error.message}"
