"""The columns that a task's template uses, checked when the task is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.errors import ConfigurationError, did_you_mean

from .templates import prompt_template

if TYPE_CHECKING:
    from collections.abc import Sequence


def columns_in(template: str) -> list[str]:
    """The variables of a template.

    Raises:
        ConfigurationError: it has none.
    """
    variables = prompt_template(template).variables
    if not variables:
        raise ConfigurationError(
            f"The template {_shown(template)} uses no column, so every row would get the same prompt. "
            "Write a column as `{{ instruction }}`; if it is meant so, say `columns=[]`."
        )
    return list(variables)


def check_columns(template: str, columns: list[str], *, owner: str, given: bool) -> None:
    """Raise unless a template uses all of these columns, and no others.

    Args:
        owner: the task's class, for messages. given: whether the template was given, and is not the default.

    Raises:
        ConfigurationError: it does not; with the remedy.
    """
    parsed = prompt_template(template)
    unknown = [name for name in parsed.variables if name not in columns]
    if unknown:
        raise ConfigurationError(
            f"The template {_shown(template)} uses {_ticked(unknown)}, not among the `columns` of "
            f"`{owner}`, which are {_ticked(columns) or 'none'}.{did_you_mean(unknown[0], columns)} "
            f"{_remedy(columns, unknown, given=given)}"
        )
    unused = [name for name in columns if not parsed.may_use(name)]
    if unused:
        raise ConfigurationError(
            f"`columns` of `{owner}` has {_ticked(unused)}, "
            f"which the template {_shown(template)} does not use. {_way_in(unused[0])}"
        )


def _remedy(columns: list[str], unknown: list[str], *, given: bool) -> str:
    if not given and columns:
        return f'Give the template too: `template="{{{{ {columns[0]} }}}}"`.'
    return f"Set `columns={[*columns, *unknown]!r}`, or leave `columns` out to take the template's variables."


def _way_in(column: str) -> str:
    if column.isidentifier():
        return f"Write `{{{{ {column} }}}}` in the template, or take it out of `columns`."
    return (
        "A template's variable is a name without spaces and signs: call the column `text` in both, "
        f"and say `input_mappings={{'text': {column!r}}}`."
    )


def _ticked(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shown(template: str) -> str:
    return repr(template if len(template) <= 80 else f"{template[:79]}…")
