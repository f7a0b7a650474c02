"""`text-generation`: a prompt from a row's columns, and the model's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck import Task
from limbeck.errors import ConfigurationError, did_you_mean
from limbeck.types import Example

from .prompts import chat, system_prompt_for
from .templates import prompt_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, Row


class TextGeneration(Task):
    """Ask the model with a prompt made of the row's columns, and keep its text.

    Input columns: those in `columns`; `system_prompt` (optional), which wins over the
    attribute where it is not empty. Output columns: `generation`, the model's text as it
    came; `model_name`.

    A column that is null fails its row, unless the template provides for it
    (`{% if context %}`, `{{ context or "none" }}`).

    Attributes:
        system_prompt: for every row that has none of its own.
        template: the user's message, a Jinja template. It is rendered in Jinja's sandbox, sees
            nothing but `columns`, and an undefined variable in it is an error.
        columns: the columns that the template uses. Left out beside a `template`, they are
            the template's variables.
    """

    system_prompt: str | None = None
    template: str = "{{ instruction }}"
    columns: str | list[str] = "instruction"

    def model_post_init(self, context: Any, /) -> None:
        if "template" in self.model_fields_set and "columns" not in self.model_fields_set:
            self.__dict__["columns"] = _columns_in(self.template)  # not counted as set by the user
        self._check_columns()
        super().model_post_init(context)

    def _check_columns(self) -> None:
        template, columns = prompt_template(self.template), self._columns
        unknown = [name for name in template.variables if name not in columns]
        if unknown:
            raise ConfigurationError(
                f"The template {_shown(self.template)} uses {_ticked(unknown)}, not among the `columns` of "
                f"`{type(self).__name__}`, which are {_ticked(columns) or 'none'}.{did_you_mean(unknown[0], columns)} "
                f"{self._remedy(unknown)}"
            )
        unused = [name for name in columns if not template.may_use(name)]
        if unused:
            raise ConfigurationError(
                f"`columns` of `{type(self).__name__}` has {_ticked(unused)}, "
                f"which the template {_shown(self.template)} does not use. {_way_in(unused[0])}"
            )

    def _remedy(self, unknown: list[str]) -> str:
        columns = self._columns
        if "template" not in self.model_fields_set and columns:
            return f'Give the template too: `template="{{{{ {columns[0]} }}}}"`.'
        return f"Set `columns={[*columns, *unknown]!r}`, or leave `columns` out to take the template's variables."

    @property
    def _columns(self) -> list[str]:
        return [self.columns] if isinstance(self.columns, str) else self.columns

    @property
    def inputs(self) -> dict[str, bool]:
        return {"system_prompt": False, **dict.fromkeys(self._columns, True)}

    @property
    def outputs(self) -> list[str]:
        return ["generation", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        prompt = prompt_template(self.template).render(input, self._columns)
        return chat(prompt, system_prompt_for(input, self.system_prompt))

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the text is the answer
        return {"generation": output}

    def examples(self) -> Sequence[Example]:
        """One, where the template is a single column; what others want to be filled with cannot be known."""
        if len(self._columns) != 1 or self.template != f"{{{{ {self._columns[0]} }}}}":
            return ()
        answer = "The capital of Spain is Madrid."
        return [Example({self._columns[0]: "What's the capital of Spain?"}, answer, {"generation": answer})]


def _columns_in(template: str) -> list[str]:
    variables = prompt_template(template).variables
    if not variables:
        raise ConfigurationError(
            f"The template {_shown(template)} uses no column, so every row would get the same prompt. "
            "Write a column as `{{ instruction }}`; if it is meant so, say `columns=[]`."
        )
    return list(variables)


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
