"""`panel-of-judges`: one question about a text, put to several models, and what most of them say."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from limbeck import LLMField, Task, ask
from limbeck.errors import ConfigurationError, GenerationError
from limbeck.types import Example

from .columns import text_column
from .criteria import Criterion, CriterionField, Value, schema_of_judgement
from .prompts import MATERIAL, chat, paragraphs, tagged

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from limbeck.types import ChatType, Row


def _correct() -> Criterion:
    return Criterion(description="Is the text correct, and does it do what the instruction asks?", values="yes-no")


class PanelOfJudges(Task):
    """Put one question about a text to several models, side by side, and give what most of them say.

    Input columns: `instruction`; `generation`; with `reference=True` the column `reference`. Output columns:
    `verdict`, the value that has most votes, or on a scale their mean; `agreement`, the share of the votes that are for
    the most frequent value; `votes` and `rationales`, in the order of the judges, null where one failed; `judges`,
    their models; `model_name`, that of the first.

    Labels, or yes and no, with equally many votes give no verdict: it is null, and `agreement` and `votes` say why. A
    judge that failed (refused, filtered, unreadable) costs only its own vote, as long as there is a quorum; below it
    the generation fails, with the error of the first judge that did.

    Attributes:
        llm: the first judge. second, third, fourth, fifth: the others; at least a second.
        criterion: what is asked, a `Criterion` or its description alone, for a scale from 1 to 5.
        quorum: votes that are needed; None for more than half of the judges.
        reference: whether rows have a column `reference`, an answer to compare with.

    Source: Verga et al., "Replacing Judges with Juries: Evaluating LLM Generations with a Panel of Diverse Models",
    https://arxiv.org/abs/2404.18796: a panel of smaller models of different families, and its pooling of votes.
    """

    citation: ClassVar[str] = """\
@misc{verga2024replacing,
    title = {Replacing Judges with Juries: Evaluating LLM Generations with a Panel of Diverse Models},
    author = {Pat Verga and Sebastian Hofst{\\"a}tter and Sophia Althammer and Yixuan Su and Aleksandra Piktus and
              Arkady Arkhangorodsky and Minjie Xu and Naomi White and Patrick Lewis},
    year = {2024},
    eprint = {2404.18796},
    archivePrefix = {arXiv},
}"""

    second: LLMField
    third: LLMField | None = None
    fourth: LLMField | None = None
    fifth: LLMField | None = None
    criterion: CriterionField = Field(default_factory=_correct)
    quorum: PositiveInt | None = None
    reference: bool = False

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        if self._quorum > len(self._judges):
            raise ConfigurationError(
                f"`quorum` of {self.name!r} is {self._quorum}, and there are {len(self._judges)} judges."
            )

    @property
    def _judges(self) -> list[Any]:
        further = (self.second, self.third, self.fourth, self.fifth)
        return [self.llm, *(judge for judge in further if judge is not None)]

    @property
    def _quorum(self) -> int:
        return self.quorum or len(self._judges) // 2 + 1

    @property
    def _asked(self) -> Criterion:
        return self.criterion if isinstance(self.criterion, Criterion) else Criterion(description=self.criterion)

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "generation", *(["reference"] if self.reference else [])]

    @property
    def outputs(self) -> list[str]:
        return ["verdict", "agreement", "votes", "rationales", "judges", "model_name"]

    def converse(self, input: Row) -> Generator[Any, Any, Row]:
        schema = schema_of_judgement(self._asked)
        messages = self._chat(input)
        answers = yield [ask(messages, llm=judge, schema=schema, on_error="return") for judge in self._judges]
        failures = [answer for answer in answers if isinstance(answer, GenerationError)]
        if len(answers) - len(failures) < self._quorum:
            raise failures[0]
        judged = [None if isinstance(answer, GenerationError) else answer.parsed for answer in answers]
        votes = [each and self._asked.read(each["value"]) for each in judged]
        return {
            **self._counted([vote for vote in votes if vote is not None]),
            "votes": votes,
            "rationales": [each and each["rationale"] for each in judged],
            "judges": [judge.model_name for judge in self._judges],
        }

    def _counted(self, votes: list[Value]) -> Row:
        first, *others = Counter(votes).most_common(2)
        verdict: Value | float | None = first[0]
        if isinstance(self._asked.values, tuple):
            verdict = sum(map(float, votes)) / len(votes)
        elif others and others[0][1] == first[1]:
            verdict = None
        return {"verdict": verdict, "agreement": first[1] / len(votes)}

    def _chat(self, input: Row) -> ChatType:
        system = paragraphs(
            "You judge a text that was written for an instruction.",
            f"{self._asked.description} The value is {self._asked.in_words}.",
            "There is an answer to compare it with." if self.reference else None,
            MATERIAL,
            'Reply with nothing but JSON, the reason before the value: {"rationale": "…", "value": …}',
        )
        question = paragraphs(
            tagged("instruction", text_column(input, "instruction")),
            tagged("reference", text_column(input, "reference")) if self.reference else None,
            tagged("text", text_column(input, "generation")),
        )
        return chat(question, system=system)

    def examples(self) -> Sequence[Example]:
        row = {"instruction": "What's the capital of Spain?", "generation": "Madrid."}
        if self.reference:
            row["reference"] = "Madrid is the capital of Spain."
        value, rationale, count = self._asked.example(), "Madrid is the capital.", len(self._judges)
        answers: Any = [json.dumps({"rationale": rationale, "value": value})] * count
        output = {
            **self._counted([value] * count),
            "votes": [value] * count,
            "rationales": [rationale] * count,
            "judges": [judge.model_name for judge in self._judges],
        }
        return [Example(row, answers, output)]
