"""`math-shepherd-generator`: solutions of mathematical problems, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PositiveInt

from limbeck import Task, ask
from limbeck.types import Example

from .math_steps import ANSWER, RULES, readable, steps_in, system_prompt_of
from .papers import MATH_SHEPHERD
from .texts import text_column

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from limbeck.types import ChatType, Row

SYSTEM_PROMPT = f"""\
You solve mathematical problems for students, in small and clear steps.

- Each step stands on a line of its own, and begins with its number: "Step 1:", "Step 2:" and so on.
- A step says in plain words what is done and why, and shows what it calculates.
- The last line is "{ANSWER}" with the result, and nothing else."""

FEW_SHOTS = """\
An example. The problem:
Tickets for the zoo are $8, and $5 for children. What do 2 adults and 3 children pay?

Its solution:
Step 1: The adults pay 2 * 8 = <<2*8=16>>16 dollars.
Step 2: The children pay 3 * 5 = <<3*5=15>>15 dollars.
Step 3: Together they pay 16 + 15 = <<16+15=31>>31 dollars.
The answer is: 31"""


class MathShepherdGenerator(Task):
    """Solve a problem step by step: once, by a strong model, or several times, to have the steps judged.

    Input column: `instruction`, the problem. Output columns: `golden_solution`, a list of steps
    whose last one is the answer, or with `M` `solutions`, a list of such lists; `model_name`.

    Each solution is a call of its own, so give the LLM a temperature. Those that cannot be read are left out; where
    none can, the row fails.

    Source: Wang et al., Math-Shepherd (https://arxiv.org/abs/2312.08935).

    Attributes:
        system_prompt, extra_rules, few_shots: the system prompt, of three parts. The rules and examples are for
            problems in words, as in GSM8K.
        M: solutions for each problem; None for one, the golden one.
    """

    citation: ClassVar[str] = MATH_SHEPHERD

    system_prompt: str | None = SYSTEM_PROMPT
    extra_rules: str | None = RULES
    few_shots: str | None = FEW_SHOTS
    M: PositiveInt | None = None

    @property
    def inputs(self) -> list[str]:
        return ["instruction"]

    @property
    def outputs(self) -> list[str]:
        return ["solutions" if self.M else "golden_solution", "model_name"]

    def converse(self, input: Row) -> Generator[Any, Any, Row]:
        """Ask for each solution by itself, side by side."""
        answers = yield [ask(self._chat(text_column(input, "instruction"))) for _ in range(self.M or 1)]
        if not self.M:
            return {"golden_solution": steps_in(answers[0].text)}
        return {"solutions": readable(answers)}

    def _chat(self, instruction: str) -> ChatType:
        system_prompt = system_prompt_of(self.system_prompt, self.extra_rules, self.few_shots)
        chat: ChatType = [{"role": "system", "content": system_prompt}] if system_prompt else []
        return [*chat, {"role": "user", "content": f"The problem:\n{instruction}"}]

    def examples(self) -> Sequence[Example]:
        row = {"instruction": "A hen lays 3 eggs a day, and 2 of them are sold. How many are left after 4 days?"}
        solution = [
            "Step 1: Each day 3 - 2 = <<3-2=1>>1 egg is left.",
            "Step 2: After 4 days 4 * 1 = <<4*1=4>>4 eggs are left.",
            f"{ANSWER} 4",
        ]
        number = self.M or 1
        return [
            Example(row, ["\n".join(solution)] * number, {self.outputs[0]: [solution] * number if self.M else solution})
        ]
