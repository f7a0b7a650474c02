"""A pack that the pages install; it offers a name that another one offers too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck import Task

if TYPE_CHECKING:
    from limbeck.types import ChatType, Row


class PairwiseJudge(Task):
    """The better of two answers."""

    @property
    def inputs(self) -> list[str]:
        return ["question", "first", "second"]

    @property
    def outputs(self) -> list[str]:
        return ["better"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": f"{input['question']}\n1. {input['first']}\n2. {input['second']}\n1 or 2?"}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"better": output}
