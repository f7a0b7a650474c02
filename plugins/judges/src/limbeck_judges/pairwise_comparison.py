"""`pairwise-comparison`: the better of two texts, asked in both orders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from limbeck import Task, ask
from limbeck.types import Example

from .columns import pair_column, text_column
from .prompts import MATERIAL, chat, numbered, paragraphs, tagged

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from limbeck.types import ChatType, JSONSchema, Row

_CRITERIA = "how well each does what the instruction asks: whether it is correct, complete, relevant and clear"
# What the verdicts mean, in the order of the row and in the other one.
_NAMES = ({"first": "A", "second": "B", "tie": "tie"}, {"first": "B", "second": "A", "tie": "tie"})


class PairwiseComparison(Task):
    """Say which of two texts is the better, in both orders, so that neither wins by its place.

    Each row is a conversation of two calls, side by side: one shows the first of `generations` first, the other the
    second. A text wins where both say so; whatever else comes of it is a tie.

    Input columns: `instruction`; `generations`, a list of two texts; with `reference=True` the column `reference`.
    Output columns: `winner`, "A" for the first of `generations`, "B" for the second, or "tie"; `verdicts`, what each
    call said, in the same words; `rationales`, the reason of each; `position_bias`, "first" or "second" where both
    calls preferred the text in that place, whichever it was, else "none"; `model_name`.

    Attributes:
        criteria: what to judge by, behind "Judge by …".
        ties: whether the judge may call a tie.
        reference: whether rows have a column `reference`, an answer to compare with.

    Source: Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", https://arxiv.org/abs/2306.05685:
    its pairwise comparison with swapped positions, in other words.
    """

    citation: ClassVar[str] = """\
@misc{zheng2023judging,
    title = {Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena},
    author = {Lianmin Zheng and Wei-Lin Chiang and Ying Sheng and Siyuan Zhuang and Zhanghao Wu and Yonghao Zhuang and
              Zi Lin and Zhuohan Li and Dacheng Li and Eric P. Xing and Hao Zhang and Joseph E. Gonzalez and
              Ion Stoica},
    year = {2023},
    eprint = {2306.05685},
    archivePrefix = {arXiv},
}"""

    criteria: str = _CRITERIA
    ties: bool = True
    reference: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "generations", *(["reference"] if self.reference else [])]

    @property
    def outputs(self) -> list[str]:
        return ["winner", "verdicts", "rationales", "position_bias", "model_name"]

    def converse(self, input: Row) -> Generator[Any, Any, Row]:
        first, second = pair_column(input, "generations")
        orders = ((first, second), (second, first))
        answers = yield [ask(self._chat(input, order), schema=self._schema()) for order in orders]
        places = [answer.parsed["verdict"] for answer in answers]
        verdicts = [names[place] for names, place in zip(_NAMES, places, strict=True)]
        return {
            "winner": verdicts[0] if verdicts[0] == verdicts[1] else "tie",
            "verdicts": verdicts,
            "rationales": [answer.parsed["rationale"] for answer in answers],
            "position_bias": places[0] if places[0] == places[1] != "tie" else "none",
        }

    def _schema(self) -> JSONSchema:
        verdict = {"type": "string", "enum": ["first", "second", *(["tie"] if self.ties else [])]}
        return {
            "type": "object",
            "properties": {"rationale": {"type": "string"}, "verdict": verdict},
            "required": ["rationale", "verdict"],
            "additionalProperties": False,
        }

    def _chat(self, input: Row, texts: tuple[str, str]) -> ChatType:
        verdicts = "first, second or tie" if self.ties else "first or second"
        system = paragraphs(
            "You compare two texts that were written for an instruction.",
            f"Judge by {self.criteria}. Neither the order of the texts nor their length is a merit.",
            "There is an answer to compare them with." if self.reference else None,
            MATERIAL,
            "Reply with nothing but JSON: "
            f'{{"rationale": "<what sets one apart from the other>", "verdict": "<{verdicts}>"}}.',
        )
        question = paragraphs(
            tagged("instruction", text_column(input, "instruction")),
            tagged("reference", text_column(input, "reference")) if self.reference else None,
            numbered("text", texts),
        )
        return chat(question, system=system)

    def examples(self) -> Sequence[Example]:
        row = {"instruction": "Name a colour.", "generations": ["Red.", "Blue."]}
        if self.reference:
            row["reference"] = "Green."
        if self.ties:
            said, verdicts, bias = "tie", ["tie", "tie"], "none"
        else:
            said, verdicts, bias = "first", ["A", "B"], "first"
        rationale = "Both name a colour."
        answers: Any = [json.dumps({"rationale": rationale, "verdict": said})] * 2
        output = {"winner": "tie", "verdicts": verdicts, "rationales": [rationale] * 2, "position_bias": bias}
        return [Example(row, answers, output)]
