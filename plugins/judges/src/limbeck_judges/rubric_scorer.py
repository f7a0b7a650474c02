"""`rubric-scorer`: a text judged by criteria of one's own, each with a value of its type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from limbeck import Task
from limbeck.errors import ConfigurationError
from limbeck.types import Example

from .columns import text_column
from .criteria import Criterion, CriterionField, Value, schema_of_judgement
from .prompts import MATERIAL, chat, paragraphs, tagged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, JSONSchema, Row


class RubricScorer(Task):
    """Judge a text by a rubric of one's own: a number of a scale, yes or no, or a label for each criterion.

    Input columns: `instruction`; `generation`; with `reference=True` the column `reference`. Output columns: `scores`,
    criterion to value, a whole number, true or false, or a label; `rationales`, criterion to reason; `score`, the mean
    of the scales and of yes (1) and no (0) by their weights, from 0 to 1, and null where there are labels alone;
    `model_name`.

    The rubric goes to the backend as a JSON Schema. An answer that breaks it is a failed generation (`SchemaError`)
    with its text kept.

    Attributes:
        rubric: name to `Criterion`: its description alone, for a scale from 1 to 5, or `{"description": …, "values": …,
            "weight": 2}`, where the values are `[0, 10]`, `["formal", "casual"]` or `"yes-no"`, say.
        reference: whether rows have a column `reference`, an answer to compare with.

    Source: Kim et al., "Prometheus: Inducing Fine-grained Evaluation Capability in Language Models",
    https://arxiv.org/abs/2310.08491, for judging by a rubric of the user's; the form is Limbeck's.
    """

    citation: ClassVar[str] = """\
@misc{kim2023prometheus,
    title = {Prometheus: Inducing Fine-grained Evaluation Capability in Language Models},
    author = {Seungone Kim and Jamin Shin and Yejin Cho and Joel Jang and Shayne Longpre and Hwaran Lee and
              Sangdoo Yun and Seongjin Shin and Sungdong Kim and James Thorne and Minjoon Seo},
    year = {2023},
    eprint = {2310.08491},
    archivePrefix = {arXiv},
}"""

    rubric: dict[str, CriterionField]
    reference: bool = False

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        if not self.rubric or not all(name.strip() for name in self.rubric):
            fault = "has a criterion without a name" if self.rubric else "is empty"
            raise ConfigurationError(f"`rubric` of {self.name!r} {fault}. Give `{{'clarity': 'Is it easy to read?'}}`.")
        if not any(criterion.weight for criterion in self._criteria.values()):
            raise ConfigurationError(f"All weights in `rubric` of {self.name!r} are 0, so there is no score.")

    @property
    def _criteria(self) -> dict[str, Criterion]:
        return {name: criterion for name, criterion in self.rubric.items() if isinstance(criterion, Criterion)}

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "generation", *(["reference"] if self.reference else [])]

    @property
    def outputs(self) -> list[str]:
        return ["scores", "rationales", "score", "model_name"]

    def schema_for(self, input: Row) -> JSONSchema:  # noqa: ARG002 - the same for all rows
        return {
            "type": "object",
            "properties": {name: schema_of_judgement(criterion) for name, criterion in self._criteria.items()},
            "required": list(self.rubric),
            "additionalProperties": False,
        }

    def format_input(self, input: Row) -> ChatType:
        form = ", ".join(f'{_quoted(name)}: {{"rationale": "…", "value": …}}' for name in self.rubric)
        system = paragraphs(
            "You judge a text that was written for an instruction, by each of these criteria on its own:",
            "\n".join(
                f"- {_quoted(name)}: {criterion.description} The value is {criterion.in_words}."
                for name, criterion in self._criteria.items()
            ),
            "There is an answer to compare it with." if self.reference else None,
            MATERIAL,
            f"Reply with nothing but JSON, the reason before the value: {{{form}}}",
        )
        question = paragraphs(
            tagged("instruction", text_column(input, "instruction")),
            tagged("reference", text_column(input, "reference")) if self.reference else None,
            tagged("text", text_column(input, "generation")),
        )
        return chat(question, system=system)

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the answer is enough
        judged = json.loads(output or "")
        values = {name: criterion.read(judged[name]["value"]) for name, criterion in self._criteria.items()}
        rationales = {name: judged[name]["rationale"] for name in self.rubric}
        return {"scores": values, "rationales": rationales, "score": self._score(values)}

    def _score(self, values: dict[str, Value]) -> float | None:
        shares = [
            (criterion.weight, share)
            for name, criterion in self._criteria.items()
            if (share := criterion.share(values[name])) is not None
        ]
        weight = sum(weight for weight, _ in shares)
        return sum(weight * share for weight, share in shares) / weight if weight else None

    def examples(self) -> Sequence[Example]:
        row = {"instruction": "What's the capital of Spain?", "generation": "Madrid."}
        if self.reference:
            row["reference"] = "Madrid is the capital of Spain."
        values = {name: criterion.example() for name, criterion in self._criteria.items()}
        rationales = dict.fromkeys(self.rubric, "The text gives no reason to think otherwise.")
        answer = {name: {"rationale": rationales[name], "value": values[name]} for name in self.rubric}
        output = {"scores": values, "rationales": rationales, "score": self._score(values)}
        return [Example(row, json.dumps(answer, ensure_ascii=False), output)]


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
