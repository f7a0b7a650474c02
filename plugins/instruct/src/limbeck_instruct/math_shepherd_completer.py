"""`math-shepherd-completer`: steps of solutions, labelled by whether they lead to the right answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from limbeck import Task, ask
from limbeck.types import Example

from .math_steps import ANSWER, RULES, readable, same_answer, solution_of, solutions_of, system_prompt_of
from .papers import MATH_SHEPHERD
from .texts import text_column

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from limbeck.types import ChatType, Generation, Row

SYSTEM_PROMPT = f"""\
You go on with solutions of mathematical problems that somebody has begun.

You are given a problem and the first steps of a solution. Take these steps as they are, and write those that are \
missing, up to the answer.

- Each step stands on a line of its own, and begins with its number, which goes on from the last one that is given.
- A step says in plain words what is done and why, and shows what it calculates.
- The last line is "{ANSWER}" with the result, and nothing else."""

FEW_SHOTS = """\
An example. The problem:
Tickets for the zoo are $8, and $5 for children. What do 2 adults and 3 children pay?

The first steps:
Step 1: The adults pay 2 * 8 = <<2*8=16>>16 dollars.

The missing steps:
Step 2: The children pay 3 * 5 = <<3*5=15>>15 dollars.
Step 3: Together they pay 16 + 15 = <<16+15=31>>31 dollars.
The answer is: 31"""


class MathShepherdCompleter(Task):
    """Label each step of a solution: is the right answer reached from there?

    Input columns: `instruction`, the problem; `solutions`, lists of steps, each with its answer
    as the last one; `golden_solution`, such a list that is right. Output columns:
    `labelled_solutions`, as `solutions`, with a tag behind each step, and the answer joined to the
    last step; `model_name`.

    From each step but the last one the model goes on `N` times. A step is good if one of these
    reaches the golden answer (the paper's hard estimation); the last step, if its own answer is
    the golden one. Numbers are compared as numbers: 18, $18.00 and 36/2 are the same.

    Source: Wang et al., Math-Shepherd (https://arxiv.org/abs/2312.08935).

    Attributes:
        system_prompt, extra_rules, few_shots: the system prompt, of three parts.
        N: completions for each step.
        tags: behind a good step, and behind a bad one.
    """

    citation: ClassVar[str] = MATH_SHEPHERD

    system_prompt: str | None = SYSTEM_PROMPT
    extra_rules: str | None = RULES
    few_shots: str | None = FEW_SHOTS
    N: PositiveInt = 1
    tags: list[str] = Field(default_factory=lambda: ["+", "-"], min_length=2, max_length=2)

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "solutions", "golden_solution"]

    @property
    def outputs(self) -> list[str]:
        return ["labelled_solutions", "model_name"]

    def converse(self, input: Row) -> Generator[Any, Any, Row]:
        """Complete every beginning of every solution, all side by side."""
        instruction = text_column(input, "instruction")
        golden = solution_of(input, "golden_solution")[-1]
        solutions = solutions_of(input, "solutions")
        beginnings = [solution[:end] for solution in solutions for end in range(1, len(solution) - 1)]
        asked = [ask(self._chat(instruction, beginning)) for beginning in beginnings for _ in range(self.N)]
        answers = iter((yield asked) if asked else ())
        labelled = []
        for solution in solutions:
            reached = [self._reaches(golden, [next(answers) for _ in range(self.N)]) for _ in solution[:-2]]
            labelled.append(self._labelled(solution, [*reached, same_answer(solution[-1], golden)]))
        return {"labelled_solutions": labelled}

    def _chat(self, instruction: str, beginning: list[str]) -> ChatType:
        system_prompt = system_prompt_of(self.system_prompt, self.extra_rules, self.few_shots)
        chat: ChatType = [{"role": "system", "content": system_prompt}] if system_prompt else []
        steps = "\n".join(beginning)
        return [*chat, {"role": "user", "content": f"The problem:\n{instruction}\n\nThe first steps:\n{steps}"}]

    def _reaches(self, golden: str, completions: list[Generation]) -> bool:
        """Tell whether a completion ends with the golden answer; raises `OutputError` where none can be read."""
        return any(same_answer(steps[-1], golden) for steps in readable(completions))

    def _labelled(self, solution: list[str], good: list[bool]) -> list[str]:
        *steps, last, answer = solution
        return [
            f"{step} {self.tags[0 if is_good else 1]}"
            for step, is_good in zip([*steps, f"{last} {answer}"], good, strict=True)
        ]

    def examples(self) -> Sequence[Example]:
        first, second = "Step 1: Each day 1 egg is left.", "Step 2: After 4 days 4 * 1 = <<4*1=4>>4 eggs are left."
        wrong = "Step 2: After 4 days 4 + 1 = <<4+1=5>>5 eggs are left."
        right = [first, second, f"{ANSWER} 4"]
        row = {
            "instruction": "A hen lays 3 eggs a day, and 2 of them are sold. How many are left after 4 days?",
            "solutions": [right, [first, wrong, f"{ANSWER} 5"]],
            "golden_solution": right,
        }
        completion = "\n".join(right[1:])
        good, bad = self.tags
        output = [[f"{first} {good}", f"{second} {right[-1]} {good}"], [f"{first} {good}", f"{wrong} {ANSWER} 5 {bad}"]]
        return [Example(row, [completion] * 2 * self.N, {"labelled_solutions": output})]
