"""`score`: how well one text answers another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck import ScoringTask
from limbeck.types import Example

from .texts import text_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import Row


class Score(ScoringTask):
    """Ask a scorer, such as a reranker or a reward model, how well a candidate answers a query.

    Input columns: `query`, `candidate`. Output columns: `score`, more is better; `model_name`. What a number means
    is the model's: a probability, a similarity, or a number without bounds.

    For an instruction and its answer, `input_mappings={"query": "instruction", "candidate": "generation"}`.
    """

    @property
    def inputs(self) -> list[str]:
        return ["query", "candidate"]

    @property
    def outputs(self) -> list[str]:
        return ["score", "model_name"]

    def format_input(self, input: Row) -> tuple[str, list[str]]:
        return text_in(input, "query"), [text_in(input, "candidate")]

    def format_output(self, output: list[float], input: Row) -> Row:  # noqa: ARG002 - the score is the answer
        (score,) = output
        return {"score": score}

    def examples(self) -> Sequence[Example]:
        row = {"query": "What's the capital of Spain?", "candidate": "The capital of Spain is Madrid."}
        return [Example(row, [0.98], {"score": 0.98})]
