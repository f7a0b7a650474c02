"""`instruction-backtranslation`: how well a text answers an instruction, as an assistant would."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from limbeck import Task
from limbeck.errors import OutputError
from limbeck.types import Example

from .answers import answer_text, whole_number
from .columns import text_column
from .prompts import MATERIAL, chat, paragraphs, tagged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, Row

_SCALE = """\
1. It is incomplete, vague, off the subject or not what was asked, or it is plainly cut out of some page.
2. It speaks to most of what was asked, and does not answer it directly.
3. It helps, and answers what was asked, but it was not written for this user: it is a part of a post, a page or a talk.
4. It is written as by an assistant, answers directly and in full, and is well ordered; it could be clearer or shorter.
5. It is a perfect answer of an assistant: about nothing but the question, expert, well written and easy to follow."""
_SCORE = re.compile(r"^[ \t>*#_-]*score[ \t*_]*[:：=][ \t*_]*(.*)$", re.IGNORECASE | re.MULTILINE)
_SCORE_IN_A_LINE = re.compile(r"\bscore[ \t*_]*[:：=][ \t*_]*(.*)$", re.IGNORECASE | re.MULTILINE)
_REASON = re.compile(r"^[ \t>*#_-]*reason(?:ing)?[ \t*_]*[:：][ \t*_]*", re.IGNORECASE)


class InstructionBacktranslation(Task):
    """Score from 1 to 5 how well a text answers an instruction, as an assistant would have written it.

    Input columns: `instruction`, `generation`. Output columns: `score`, a whole number from 1 to 5; `reason`, what the
    judge wrote before it, or behind it; `model_name`.

    An answer without one such score, or with several that differ, is a failed generation (`OutputError`) with its text
    kept.

    Source: Li et al., "Self-Alignment with Instruction Backtranslation", https://arxiv.org/abs/2308.06259: its
    self-curation, in other words.
    """

    citation: ClassVar[str] = """\
@misc{li2023selfalignment,
    title = {Self-Alignment with Instruction Backtranslation},
    author = {Xian Li and Ping Yu and Chunting Zhou and Timo Schick and Omer Levy and Luke Zettlemoyer and
              Jason Weston and Mike Lewis},
    year = {2023},
    eprint = {2308.06259},
    archivePrefix = {arXiv},
}"""

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "generation"]

    @property
    def outputs(self) -> list[str]:
        return ["score", "reason", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        prompt = paragraphs(
            "Below are an instruction of a user and a text. Judge whether the text is a good example of how an AI "
            f"assistant should answer the instruction, on this scale:\n{_SCALE}",
            MATERIAL,
            tagged("instruction", text_column(input, "instruction")),
            tagged("text", text_column(input, "generation")),
            "First write the reason in a few sentences, then, as the last line, the score:\nScore: <1 to 5>",
        )
        return chat(prompt)

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the answer is enough
        text = answer_text(output)
        found = list(_SCORE.finditer(text)) or list(_SCORE_IN_A_LINE.finditer(text))
        given = {whole_number(each[1], "The score", 1, 5) for each in found}
        if len(given) != 1:
            what = f"{len(given)} that differ" if given else "none"
            raise OutputError(f"The answer must have one score, in a line `Score: 4`; it has {what}.")
        before, behind = text[: found[-1].start()].strip(), text[found[-1].end() :].strip()
        return {"score": given.pop(), "reason": _REASON.sub("", before or behind).strip()}

    def examples(self) -> Sequence[Example]:
        row = {"instruction": "What's the capital of Spain?", "generation": "Madrid."}
        reason = "The text answers the question directly. An assistant would have used a sentence."
        return [Example(row, f"{reason}\nScore: 4", {"score": 4, "reason": reason})]
