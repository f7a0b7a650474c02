"""`quality-scorer`: how good each of several responses to one instruction is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from limbeck import Task
from limbeck.types import Example

from .columns import in_place, judged, text_column, texts_column
from .prompts import MATERIAL, chat, numbered, paragraphs, tagged
from .scores import DEITA, form_of_scores, schema_of_scores, structured_scores, worded_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, JSONSchema, Row

_LOW, _HIGH = 1, 5


class QualityScorer(Task):
    """Score several responses to an instruction by their quality, beside each other.

    Input columns: `instruction`; `responses`, a list of texts. A null among them, which is a generation that failed, is
    not shown, and has a null score. Output columns: `scores`, a number from 1 to 5 for each, in their order;
    `model_name`.

    An answer that does not score each of them exactly once is a failed generation (`OutputError`) with its text kept.

    Attributes:
        use_default_structured_output: ask for JSON that satisfies a schema, rather than for text.

    Source: Liu et al., "What Makes Good Data for Alignment?" (DEITA), https://arxiv.org/abs/2312.15685: its
    Evol-Quality, in other words.
    """

    citation: ClassVar[str] = DEITA

    use_default_structured_output: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "responses"]

    @property
    def outputs(self) -> list[str]:
        return ["scores", "model_name"]

    def schema_for(self, input: Row) -> JSONSchema | None:  # noqa: ARG002 - the same for all rows
        return schema_of_scores() if self.use_default_structured_output else None

    def format_input(self, input: Row) -> ChatType:
        texts = judged(texts_column(input, "responses"))
        prompt = paragraphs(
            f"Compare the {len(texts)} responses to the instruction below: how helpful, relevant, accurate, deep, "
            "original and detailed each is. Give each a score from 1 (poor) to 5; 5 is for what could not be better.",
            MATERIAL,
            tagged("instruction", text_column(input, "instruction")),
            numbered("response", texts),
            form_of_scores(len(texts), structured=self.use_default_structured_output),
        )
        return chat(prompt)

    def format_output(self, output: str | None, input: Row) -> Row:
        texts = texts_column(input, "responses")
        read = structured_scores if self.use_default_structured_output else worded_scores
        return {"scores": in_place(read(output or "", len(judged(texts)), _LOW, _HIGH), texts)}

    def examples(self) -> Sequence[Example]:
        row = {"instruction": "Why is the sky blue?", "responses": ["Air scatters blue light most.", "It is not."]}
        json_answer = json.dumps({"scores": [4, 1]})
        answer = json_answer if self.use_default_structured_output else "[1] Score: 4\n[2] Score: 1"
        return [Example(row, answer, {"scores": [4.0, 1.0]})]
