"""`complexity-scorer`: how complex each of several instructions is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from limbeck import Task
from limbeck.types import Example

from .columns import in_place, judged, texts_column
from .prompts import MATERIAL, chat, numbered, paragraphs
from .scores import DEITA, form_of_scores, schema_of_scores, structured_scores, worded_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, JSONSchema, Row

_LOW, _HIGH = 1, 6


class ComplexityScorer(Task):
    """Score several instructions by how complex they are, beside each other.

    Input column: `instructions`, a list of texts; a null among them is not shown, and has a null score. Output columns:
    `scores`, a number from 1 (simple) to 6 for each, in their order; `model_name`.

    An answer that does not score each of them exactly once is a failed generation (`OutputError`) with its text kept.

    Attributes:
        use_default_structured_output: ask for JSON that satisfies a schema, rather than for text.

    Source: Liu et al., "What Makes Good Data for Alignment?" (DEITA), https://arxiv.org/abs/2312.15685: its
    Evol-Complexity, in other words.
    """

    citation: ClassVar[str] = DEITA

    use_default_structured_output: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["instructions"]

    @property
    def outputs(self) -> list[str]:
        return ["scores", "model_name"]

    def schema_for(self, input: Row) -> JSONSchema | None:  # noqa: ARG002 - the same for all rows
        return schema_of_scores() if self.use_default_structured_output else None

    def format_input(self, input: Row) -> ChatType:
        texts = judged(texts_column(input, "instructions"))
        prompt = paragraphs(
            f"Compare the {len(texts)} instructions below by how difficult and complex it is to carry them out. Score "
            "each from 1 (simple) to 5 (very complex); 6 is for one that is beyond you. You need not carry them out.",
            MATERIAL,
            numbered("instruction", texts),
            form_of_scores(len(texts), structured=self.use_default_structured_output),
        )
        return chat(prompt)

    def format_output(self, output: str | None, input: Row) -> Row:
        texts = texts_column(input, "instructions")
        read = structured_scores if self.use_default_structured_output else worded_scores
        return {"scores": in_place(read(output or "", len(judged(texts)), _LOW, _HIGH), texts)}

    def examples(self) -> Sequence[Example]:
        row = {
            "instructions": [
                "Name a colour.",
                "Prove that there are infinitely many primes.",
                "Solve the halting problem.",
            ]
        }
        json_answer = json.dumps({"scores": [1, 4, 6]})
        answer = json_answer if self.use_default_structured_output else "[1] Score: 1\n[2] Score: 4\n[3] Score: 6"
        return [Example(row, answer, {"scores": [1.0, 4.0, 6.0]})]
