"""A pack that the pages install."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck import Task

if TYPE_CHECKING:
    from limbeck.types import ChatType, Row


class PairwiseJudge(Task):
    """Which of two answers is better."""

    @property
    def inputs(self) -> list[str]:
        return ["question", "first", "second"]

    @property
    def outputs(self) -> list[str]:
        return ["verdict", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        answers = f"First: {input['first']}\nSecond: {input['second']}"
        return [{"role": "user", "content": f"{input['question']}\n{answers}\nWhich is better?"}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"verdict": output}
