"""`clair`: an answer that is corrected as little as possible, for preference pairs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from limbeck import Task
from limbeck.types import Example

from .texts import text_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, JSONSchema, Row

SYSTEM_PROMPT = """\
You are a teacher who improves a student's solution of a task with as few changes as possible. Make it clearer, more \
correct and more engaging; copy word by word whatever needs no correction. The revision stands for itself: nothing \
in it says that there was a solution before."""

_PROMPT = """\
The task:
{task}

The student's solution:
{student_solution}

Think first about what is to be changed and why (`rational`), then write the whole revised solution (`revision`).
Reply with nothing but a JSON object, {{"rational": "…", "revision": "…"}}."""


class CLAIR(Task):
    """Revise a solution as little as possible, so that the two make a preference pair that differs in what matters.

    Input columns: `task`, `student_solution`. Output columns: `revision`, `rational` (why);
    `model_name`.

    Source: D'Oosterlinck et al., Contrastive Learning from AI Revisions (https://arxiv.org/abs/2408.06266).

    Attributes:
        system_prompt: what is a good revision.
    """

    citation: ClassVar[str] = """\
@misc{doosterlinck2024clair,
    title={Anchored Preference Optimization and Contrastive Revisions: Addressing Underspecification in Alignment},
    author={Karel D'Oosterlinck and Winnie Xu and Chris Develder and Thomas Demeester and Amanpreet Singh and \
Christopher Potts and Douwe Kiela and Shikib Mehri},
    year={2024},
    eprint={2408.06266},
    archivePrefix={arXiv},
}"""

    system_prompt: str = SYSTEM_PROMPT

    @property
    def inputs(self) -> list[str]:
        return ["task", "student_solution"]

    @property
    def outputs(self) -> list[str]:
        return ["revision", "rational", "model_name"]

    def schema_for(self, input: Row) -> JSONSchema:  # noqa: ARG002 - the same for all rows
        text: JSONSchema = {"type": "string", "minLength": 1}
        return {
            "type": "object",
            "properties": {"rational": text, "revision": text},
            "required": ["rational", "revision"],
            "additionalProperties": False,
        }

    def format_input(self, input: Row) -> ChatType:
        texts = {column: text_column(input, column) for column in self.inputs}
        return [
            {"role": "system", "content": self.system_prompt},
            {"role": "user", "content": _PROMPT.format(**texts)},
        ]

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the answer is enough
        answer = json.loads(output or "")
        return {"revision": answer["revision"], "rational": answer["rational"]}

    def examples(self) -> Sequence[Example]:
        row = {"task": "Name two rivers of Spain.", "student_solution": "The Ebro and the Loire."}
        output = {"revision": "The Ebro and the Tajo.", "rational": "The Loire is a river of France."}
        return [Example(row, json.dumps(output), output)]
