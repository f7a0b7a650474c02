"""`generate-embeddings`: the vector of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck import EmbeddingTask
from limbeck.types import Example

from .texts import text_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import Row


class GenerateEmbeddings(EmbeddingTask):
    """Ask an embedder for the vector of a text.

    Input column: `text`. Output columns: `embedding`, a list of numbers with the precision of 32 bits;
    `model_name`. Rows share requests; a text that is null, or that the provider refuses, fails its row alone.

    Attributes:
        prefix: stands before each text, for models that want to know what it is (`query: `, `passage: `).
    """

    prefix: str = ""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["embedding", "model_name"]

    def format_input(self, input: Row) -> str:
        return self.prefix + text_in(input, "text")

    def format_output(self, output: list[float], input: Row) -> Row:  # noqa: ARG002 - the vector is the answer
        return {"embedding": output}

    def examples(self) -> Sequence[Example]:
        vector = [0.25, -0.5, 0.75]
        return [Example({"text": "The capital of Spain is Madrid."}, vector, {"embedding": vector})]
