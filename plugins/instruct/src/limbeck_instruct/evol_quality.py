"""`evol-quality`: responses that are made better, round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from limbeck import Task, ask
from limbeck.types import Example

from .evolving import check_templates, drawn, rewritten
from .mutations import QUALITY_MUTATIONS
from .papers import DEITA
from .places import filled
from .texts import text_column

if TYPE_CHECKING:
    import random
    from collections.abc import Generator, Sequence

    from limbeck.types import Row


class EvolQuality(Task):
    """Make a response better in several rounds, each with a mutation drawn at random.

    Input columns: `instruction`, `response`. Output columns: `evolved_response`, the last one, or
    with `store_evolutions` `evolved_responses`, a list of all; `model_name`.

    Source: Liu et al., Deita (https://arxiv.org/abs/2312.15685).

    Attributes:
        num_evolutions: rounds.
        store_evolutions: keep the responses of all rounds.
        include_original_response: put the row's own response first among those that are kept.
        mutation_templates: name to prompt, with `<PROMPT>` and `<RESPONSE>` where instruction and response belong.
        seed: of the draw of mutations.
    """

    citation: ClassVar[str] = DEITA

    num_evolutions: PositiveInt
    store_evolutions: bool = False
    include_original_response: bool = False
    mutation_templates: dict[str, str] = Field(default_factory=lambda: dict(QUALITY_MUTATIONS))
    seed: int = 42

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        check_templates(self.mutation_templates, ["PROMPT", "RESPONSE"], owner=self.name)

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "response"]

    @property
    def outputs(self) -> list[str]:
        return ["evolved_responses" if self.store_evolutions else "evolved_response", "model_name"]

    def converse(self, input: Row, rng: random.Random) -> Generator[Any, Any, Row]:
        """Evolve the response; each round sees the instruction and the whole response of the round before."""
        instruction, responses = text_column(input, "instruction"), [text_column(input, "response")]
        for _ in range(self.num_evolutions):
            template = drawn(self.mutation_templates, rng)
            prompt = filled(template, PROMPT=instruction, RESPONSE=responses[-1])
            responses.append(rewritten((yield ask(prompt))))
        return self._row(responses)

    def _row(self, responses: list[str]) -> Row:
        if not self.store_evolutions:
            return {"evolved_response": responses[-1]}
        return {"evolved_responses": responses if self.include_original_response else responses[1:]}

    def examples(self) -> Sequence[Example]:
        row = {"instruction": "Name a river.", "response": "The Ebro."}
        evolved = [f"The Ebro, which is {900 + number} kilometres long." for number in range(self.num_evolutions)]
        return [Example(row, evolved, self._row([row["response"], *evolved]))]
