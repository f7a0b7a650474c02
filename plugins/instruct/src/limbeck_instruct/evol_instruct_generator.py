"""`evol-instruct-generator`: instructions written from nothing, and made harder until they are long enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from limbeck import GeneratorTask, ask
from limbeck.errors import ConfigurationError, OutputError
from limbeck.types import Example

from .evolving import check_templates, rewritten
from .mutations import FRESH_START, GENERATION_MUTATIONS
from .nouns import NOUNS
from .papers import WIZARDLM
from .places import filled
from .texts import answer_text

if TYPE_CHECKING:
    import random
    from collections.abc import Generator, Iterable, Sequence

    from limbeck.types import Row


class EvolInstructGenerator(GeneratorTask):
    """Write instructions from a few nouns each, and evolve them until their length is within bounds.

    It needs no rows. Output columns: `instruction`; with `generate_answers` `answer`; `model_name`.
    One that is too short is evolved, one that is too long begins anew.

    Source: Xu et al., WizardLM (https://arxiv.org/abs/2304.12244).

    Attributes:
        num_instructions: rows.
        generate_answers: answer the instructions too.
        mutation_templates: name to prompt, with `<PROMPT>` where the instruction belongs; `FRESH_START` is the one
            that begins, and has the nouns there.
        min_length, max_length: of an instruction, in characters.
        max_evolutions: calls for one instruction; a row that has none by then fails.
        seed: of the draw of nouns and mutations.
    """

    citation: ClassVar[str] = WIZARDLM

    num_instructions: PositiveInt
    generate_answers: bool = False
    mutation_templates: dict[str, str] = Field(default_factory=lambda: dict(GENERATION_MUTATIONS))
    min_length: PositiveInt = 512
    max_length: PositiveInt = 1024
    max_evolutions: PositiveInt = 20
    seed: int = 42

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        check_templates(self.mutation_templates, ["PROMPT"], owner=self.name)
        if FRESH_START not in self.mutation_templates:
            raise ConfigurationError(f"`mutation_templates` of {self.name!r} have no {FRESH_START!r}, which begins.")
        if "num_rows" in self.model_fields_set:
            raise ConfigurationError(f"The rows of {self.name!r} are counted by `num_instructions`, not by `num_rows`.")
        if self.min_length > self.max_length:
            raise ConfigurationError(
                f"`min_length` of {self.name!r} is {self.min_length}, above its `max_length` of {self.max_length}."
            )

    @property
    def outputs(self) -> list[str]:
        return ["instruction", *(["answer"] if self.generate_answers else []), "model_name"]

    def seeds(self) -> Iterable[Row]:
        """As many empty rows as there are to be instructions."""
        return ({} for _ in range(self.num_instructions))

    def converse(self, rng: random.Random) -> Generator[Any, Any, Row]:
        """Write an instruction, then answer it."""
        instruction = yield from self._instruction(rng)
        if not self.generate_answers:
            return {"instruction": instruction}
        answer = yield ask(instruction)
        return {"instruction": instruction, "answer": answer_text(answer)}

    def _instruction(self, rng: random.Random) -> Generator[Any, Any, str]:
        instruction: str | None = None
        for _ in range(self.max_evolutions):
            name = FRESH_START if instruction is None else rng.choice([*self.mutation_templates])
            subject = _nouns(rng) if name == FRESH_START or instruction is None else instruction
            text = rewritten((yield ask(filled(self.mutation_templates[name], PROMPT=subject))))
            if self.min_length <= len(text) <= self.max_length:
                return text
            instruction = text if len(text) < self.min_length else None
        raise OutputError(
            f"No instruction of {self.min_length} to {self.max_length} characters in {self.max_evolutions} calls; the "
            f"last has {len(text)}. Change `min_length` and `max_length`, or raise `max_evolutions`.",
            raw=text,
        )

    def examples(self) -> Sequence[Example]:
        sentence = "Explain how a lighthouse keeper would have told the time in a long storm. "
        length = (self.min_length + self.max_length) // 2
        instruction = (sentence * (length // len(sentence) + 1))[:length].rstrip().ljust(length, ".")
        output = {"instruction": instruction}
        if self.generate_answers:
            output["answer"] = "By the oil that was left in the lamp."
        return [Example({}, [*output.values()], output)]


def _nouns(rng: random.Random) -> str:
    return ", ".join(rng.sample(NOUNS, rng.randint(1, 4)))
