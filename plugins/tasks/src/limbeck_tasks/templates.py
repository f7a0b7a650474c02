"""Prompt templates in Jinja's syntax.

Most templates are one column and nothing else, `{{ instruction }}`; those are read here,
without Jinja. The rest goes to `jinja`, which is imported for the first of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from .prompts import null_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import Row

_ONE_COLUMN = re.compile(r"\{\{ ?(\w+) ?\}\}")
# What Jinja reads as a constant or an operator.
_JINJA_NAMES = frozenset({"True", "False", "None", "true", "false", "none", "not"})


class PromptTemplate(Protocol):
    """A template that has been understood."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that the row must give, in the order they appear."""

    def may_use(self, column: str) -> bool:
        """Tell whether the column's value can come into the prompt."""

    def render(self, input: Row, columns: Sequence[str]) -> str:
        """The prompt for a row, of which only `columns` are seen.

        Raises:
            ValueError: a column is null, or the template uses what a value does not have.
            TypeError: a chat stands where text belongs.
        """


@lru_cache(maxsize=1024)
def prompt_template(source: str) -> PromptTemplate:
    """The template that `source` writes; compiled once.

    Raises:
        ConfigurationError: it is not a template that can be rendered alone; the line is named.
    """
    alone = _ONE_COLUMN.fullmatch(source)
    if alone and alone[1].isidentifier() and alone[1] not in _JINJA_NAMES:
        return _ColumnTemplate(alone[1])
    from .jinja import JinjaTemplate

    return JinjaTemplate(source)


@dataclass(frozen=True, slots=True)
class _ColumnTemplate:
    """`{{ column }}`: the column's value as text, as Jinja would write it."""

    column: str

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.column,)

    def may_use(self, column: str) -> bool:
        return column == self.column

    def render(self, input: Row, columns: Sequence[str]) -> str:  # noqa: ARG002 - it sees one
        value = input[self.column]
        if isinstance(value, str):
            return str(value)
        if value is None:
            raise null_column(self.column)
        if _is_chat(value):
            raise TypeError(
                f"The column `{self.column}` holds chat messages, not text. The task `chat-generation` takes messages."
            )
        return str(value)


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "role" in value[0]
