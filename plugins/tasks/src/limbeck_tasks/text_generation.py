"""`text-generation`: a prompt from a row's columns, and the model's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck import Task
from limbeck.types import Example

from .prompts import chat, system_prompt_for
from .template_columns import check_columns, columns_in
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
        given = "template" in self.model_fields_set
        if given and "columns" not in self.model_fields_set:
            self.__dict__["columns"] = columns_in(self.template)  # not counted as set by the user
        check_columns(self.template, self._columns, owner=type(self).__name__, given=given)
        super().model_post_init(context)

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
