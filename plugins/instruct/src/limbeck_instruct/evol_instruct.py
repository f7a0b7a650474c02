"""`evol-instruct`: instructions that are made harder, round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from limbeck import Task, ask
from limbeck.types import Example

from .evolving import check_templates, drawn, rewritten
from .mutations import INSTRUCTION_MUTATIONS
from .papers import WIZARDLM
from .places import filled
from .texts import answer_text, text_column

if TYPE_CHECKING:
    import random
    from collections.abc import Generator, Sequence

    from limbeck.types import Row


class EvolInstruct(Task):
    """Make an instruction harder in several rounds, each with a mutation drawn at random.

    Input column: `instruction`. Output columns: `evolved_instruction`, the last one, or with
    `store_evolutions` `evolved_instructions`, a list of all; with `generate_answers` also
    `answer` or `answers`; `model_name`.

    Source: Xu et al., WizardLM (https://arxiv.org/abs/2304.12244).

    Attributes:
        num_evolutions: rounds.
        store_evolutions: keep the instructions of all rounds.
        generate_answers: answer them too.
        include_original_instruction: put the row's own instruction first among those that are kept.
        mutation_templates: name to prompt, with `<PROMPT>` where the instruction belongs.
        seed: of the draw of mutations.
    """

    citation: ClassVar[str] = WIZARDLM

    num_evolutions: PositiveInt
    store_evolutions: bool = False
    generate_answers: bool = False
    include_original_instruction: bool = False
    mutation_templates: dict[str, str] = Field(default_factory=lambda: dict(INSTRUCTION_MUTATIONS))
    seed: int = 42

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        check_templates(self.mutation_templates, ["PROMPT"], owner=self.name)

    @property
    def inputs(self) -> list[str]:
        return ["instruction"]

    @property
    def outputs(self) -> list[str]:
        columns = ["evolved_instruction", *(["answer"] if self.generate_answers else [])]
        return [*(f"{column}s" if self.store_evolutions else column for column in columns), "model_name"]

    def converse(self, input: Row, rng: random.Random) -> Generator[Any, Any, Row]:
        """Evolve the instruction, then answer those that are kept, side by side."""
        instructions = [text_column(input, "instruction")]
        for _ in range(self.num_evolutions):
            prompt = filled(drawn(self.mutation_templates, rng), PROMPT=instructions[-1])
            instructions.append(rewritten((yield ask(prompt))))
        kept = self._kept(instructions)
        values = [kept]
        if self.generate_answers:
            answers = yield [ask(instruction) for instruction in kept]
            values.append([answer_text(answer) for answer in answers])
        return self._row(values)

    def _kept(self, instructions: list[str]) -> list[str]:
        if not self.store_evolutions:
            return instructions[-1:]
        return instructions if self.include_original_instruction else instructions[1:]

    def _row(self, values: Sequence[list[str]]) -> Row:
        columns = [column for column in self.outputs if column != "model_name"]
        return {
            column: value if self.store_evolutions else value[0] for column, value in zip(columns, values, strict=True)
        }

    def examples(self) -> Sequence[Example]:
        instruction = "Name a river."
        evolved = [f"Name {number} rivers that flow into a sea." for number in range(2, 2 + self.num_evolutions)]
        kept = self._kept([instruction, *evolved])
        answers = [f"Answer {number}: the Ebro." for number in range(len(kept) if self.generate_answers else 0)]
        output = self._row([kept, answers] if self.generate_answers else [kept])
        return [Example({"instruction": instruction}, [*evolved, *answers], output)]
