"""`persona-generator`: people, each written from attributes that are drawn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from limbeck import GeneratorTask
from limbeck.types import Example

from .grids import Choices, Grid
from .texts import without_thinking

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from limbeck.types import ChatType, Row

_PROMPT = """\
Describe one person in two or three sentences: who they are, what they do and know, what they care about, and how they \
speak. The person has these attributes:

{attributes}

Be specific: nobody else should fit the description. Reply with nothing but the description, which begins with "You \
are"."""


class PersonaGenerator(GeneratorTask):
    """Write personas from attributes that are drawn at random, for tasks that speak in somebody's voice.

    It needs no rows; where rows are given to it, they have the attributes' columns. Output
    columns: `persona`, beside those of the attributes; `model_name`.

    Source: Ge et al., Scaling Synthetic Data Creation with 1,000,000,000 Personas (https://arxiv.org/abs/2406.20094).

    Attributes:
        attributes, conditions: as of `AttributeGrid`.
        num_rows: personas.
        seed: of the draw. A row of a number is the same whatever `num_rows` is.
    """

    citation: ClassVar[str] = """\
@misc{ge2024personas,
    title={Scaling Synthetic Data Creation with 1,000,000,000 Personas},
    author={Tao Ge and Xin Chan and Xiaoyang Wang and Dian Yu and Haitao Mi and Dong Yu},
    year={2024},
    eprint={2406.20094},
    archivePrefix={arXiv},
}"""

    attributes: dict[str, Choices]
    conditions: list[dict[str, Any]] = Field(default_factory=list)
    seed: int = 42

    _grid: Grid = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._grid = Grid(self.attributes, self.conditions, owner=self.name)

    @property
    def inputs(self) -> list[str]:
        return [*self.attributes]

    @property
    def outputs(self) -> list[str]:
        return ["persona", "model_name"]

    def seeds(self) -> Iterable[Row]:
        """A row of attributes for each persona."""
        return (self._grid.drawn(self.seed, number) for number in range(self.num_rows))

    def format_input(self, input: Row) -> ChatType:
        lines = (f"- {name}: {_as_text(input[name])}" for name in self.attributes)
        return [{"role": "user", "content": _PROMPT.format(attributes="\n".join(lines))}]

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the answer is enough
        persona = without_thinking(output)
        if not persona:
            raise ValueError("the answer is empty")
        return {"persona": persona}

    def examples(self) -> Sequence[Example]:
        persona = "You are a baker who gets up at three, and has an opinion on every flour that can be bought."
        return [Example(self._grid.first(), persona, {"persona": persona})]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
