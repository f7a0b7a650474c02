"""`rank`: candidates by how well they answer a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck import ScoringTask
from limbeck.types import Example

from .texts import text_in, texts_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import Row


class Rank(ScoringTask):
    """Ask a scorer to order a list of candidates by how well they answer a query.

    Input columns: `query`, `candidates` (a list of texts). Output columns: `ranking`, the positions of the candidates
    from the best to the worst, counted from 0, equal ones in their order; `scores`, in the order of the candidates;
    `model_name`.

    For an instruction and its answers, `input_mappings={"query": "instruction", "candidates": "generations"}`.
    """

    @property
    def inputs(self) -> list[str]:
        return ["query", "candidates"]

    @property
    def outputs(self) -> list[str]:
        return ["ranking", "scores", "model_name"]

    def format_input(self, input: Row) -> tuple[str, list[str]]:
        return text_in(input, "query"), texts_in(input, "candidates")

    def format_output(self, output: list[float], input: Row) -> Row:  # noqa: ARG002 - the scores are the answer
        return {"ranking": sorted(range(len(output)), key=lambda place: -output[place]), "scores": output}

    def examples(self) -> Sequence[Example]:
        row = {
            "query": "What's the capital of Spain?",
            "candidates": ["Bananas are yellow.", "The capital of Spain is Madrid.", "Spain is in Europe."],
        }
        scores = [0.01, 0.98, 0.35]
        return [Example(row, scores, {"ranking": [1, 2, 0], "scores": scores})]
