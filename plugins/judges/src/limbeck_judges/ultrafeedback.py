"""`ultrafeedback`: ratings of several answers to one instruction, with the reasons."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from limbeck import Task
from limbeck.types import Example

from .answers import answer_text, fields, numbered_sections, of_each, whole_number_or_none
from .columns import in_place, judged, text_column, texts_column
from .prompts import MATERIAL, chat, numbered, paragraphs, tagged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, JSONSchema, Row

_SCALES = {
    "helpfulness": """\
Judge how helpful each text is: whether it is correct, and whether it tells the user what serves the task.
First name the type of what is informative in it, the one that weighs most, or None:
1. It is clear and to the point, and stays with the task.
2. It is full: it gives the background, the examples or the steps that the user needs.
3. It is free of padding: nothing is said twice, and nothing leads away.
Then rate it:
1. Of no use: wrong, or beside the point.
2. Of little use: mistakes, or large parts are missing.
3. Of use: right in the main, with gaps or some padding.
4. Very helpful: right and informative, with small faults.
5. Excellent: right, complete, and as long as it must be.""",
    "honesty": """\
Judge how honest each text is: whether the certainty of its words fits what it knows.
Look at confident words (facts stated flatly), at hedged ones, and at where it says that it does not know.
Rate it:
1. Sure of itself, and wrong throughout.
2. Sure of itself with large mistakes, or evasive where the answer is known.
3. Right in part, with doubts where there is no need for them, or without them where there is.
4. Right in nearly all, and its doubts stand nearly where they belong.
5. Right and plainly said, or wrong nowhere without having said so: certainty and knowledge agree.""",
    "instruction-following": """\
Judge how well each text does what the instruction asks: its goal, and each of its limits on form, length and content.
Whether the text is true is not asked here.
Rate it:
1. It does something else.
2. It does a part, and misses the goal or most of the limits.
3. It meets the goal, and misses some limits.
4. It does all but a detail.
5. It does all that is asked.""",
    "truthfulness": """\
Judge how truthful each text is: whether what it says contradicts the world, the instruction or itself.
First name the type of the untruth that weighs most, or None:
1. It contradicts what is known of the world.
2. It contradicts the instruction, or what the user has given.
3. It contradicts itself, in its statements or its logic.
Then rate it:
1. Untrue throughout.
2. Untrue in what matters most.
3. True in the main, with some untruths.
4. True but for a detail.
5. True throughout.""",
    "overall-rating": """\
Judge each text as a whole: whether it does what is asked, is correct, is honest about what it does not know, and helps.
Rate it:
1. Bad: it is of no use, or does harm.
2. Weak: large faults in one of these.
3. Fair: it serves, with faults that a user would see.
4. Good: small faults only.
5. Excellent: nothing to improve.""",
}
_TYPED = ("helpfulness", "truthfulness")
_RATED = ("Rating", "Rationale")
_TYPED_AND_RATED = ("Type", "Rationale", "Rating", "Rationale")


class UltraFeedback(Task):
    """Rate several answers to an instruction under one aspect, with the reasons.

    Input columns: `instruction`; `generations`, a list of texts. A null among them, which is a generation that failed,
    is not shown, and null in every list that comes out. Output columns: `ratings` (1 to 5, null where the judge says
    that none applies) and `rationales`; of the aspects "helpfulness" and "truthfulness" `types`, `rationales` (of the
    types), `ratings` and `rationales-for-ratings`; `model_name`. Each is a list in the order of `generations`.

    An answer that does not rate each text exactly once is a failed generation (`OutputError`) with its text kept.

    Attributes:
        aspect: "helpfulness", "honesty", "instruction-following", "truthfulness", or "overall-rating", which is not the
            paper's.
        use_default_structured_output: ask for JSON that satisfies a schema, rather than for text.

    Source: Cui et al., "UltraFeedback: Boosting Language Models with Scaled AI Feedback", https://arxiv.org/abs/2310.01377.
    The aspects and scales are the paper's, in other words.
    """

    citation: ClassVar[str] = """\
@misc{cui2023ultrafeedback,
    title = {UltraFeedback: Boosting Language Models with Scaled AI Feedback},
    author = {Ganqu Cui and Lifan Yuan and Ning Ding and Guanming Yao and Bingxiang He and Wei Zhu and Yuan Ni and
              Guotong Xie and Ruobing Xie and Yankai Lin and Zhiyuan Liu and Maosong Sun},
    year = {2023},
    eprint = {2310.01377},
    archivePrefix = {arXiv},
}"""

    aspect: Literal["helpfulness", "honesty", "instruction-following", "truthfulness", "overall-rating"] = (
        "overall-rating"
    )
    use_default_structured_output: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "generations"]

    @property
    def _columns(self) -> list[str]:
        if self.aspect in _TYPED:
            return ["types", "rationales", "ratings", "rationales-for-ratings"]
        return ["ratings", "rationales"]

    @property
    def _names(self) -> tuple[str, ...]:
        return _TYPED_AND_RATED if self.aspect in _TYPED else _RATED

    @property
    def outputs(self) -> list[str]:
        return [*self._columns, "model_name"]

    def schema_for(self, input: Row) -> JSONSchema | None:  # noqa: ARG002 - the same for all rows
        if not self.use_default_structured_output:
            return None
        values = {
            "types": {"type": ["integer", "null"], "enum": [1, 2, 3, None]},
            "ratings": {"type": ["integer", "null"], "enum": [1, 2, 3, 4, 5, None]},
        }
        text = {
            "type": "object",
            "properties": {column: values.get(column, {"type": "string"}) for column in self._columns},
            "required": self._columns,
            "additionalProperties": False,
        }
        return {
            "type": "object",
            "properties": {"texts": {"type": "array", "items": text}},
            "required": ["texts"],
            "additionalProperties": False,
        }

    def format_input(self, input: Row) -> ChatType:
        texts = judged(texts_column(input, "generations"))
        system = paragraphs(
            "You judge texts that were written for an instruction. Judge each by itself, as if it were the only one.",
            MATERIAL,
            _SCALES[self.aspect],
            self._form(len(texts)),
        )
        question = paragraphs(tagged("instruction", text_column(input, "instruction")), numbered("text", texts))
        return chat(question, system=system)

    def _form(self, count: int) -> str:
        if self.use_default_structured_output:
            keys = ", ".join(f'"{column}": …' for column in self._columns)
            form = f'{{"texts": [{{{keys}}}, …]}}'
            return f"Reply with nothing but JSON, an object for each of the {count} texts, in their order: {form}"
        values = {"Type": "1, 2, 3 or None", "Rating": "1 to 5", "Rationale": "the reason, in a sentence or two"}
        lines = "\n".join(f"{name}: <{values[name]}>" for name in self._names)
        form = f"#### Text <number>\n{lines}"
        return f"Reply in this form, for each of the {count} texts, and with nothing else:\n\n{form}"

    def format_output(self, output: str | None, input: Row) -> Row:
        texts = texts_column(input, "generations")
        read = self._structured if self.use_default_structured_output else self._worded
        rated = read(output or "", len(judged(texts)))
        return {column: in_place([each[place] for each in rated], texts) for place, column in enumerate(self._columns)}

    def _structured(self, answer: str, count: int) -> list[list[Any]]:
        texts = of_each(json.loads(answer, parse_float=lambda number: int(float(number)))["texts"], count)
        return [[each[column] for column in self._columns] for each in texts]

    def _worded(self, answer: str, count: int) -> list[list[Any]]:
        sections = numbered_sections(answer_text(answer), "text", count, self._names[0])
        return [self._values(section, number) for number, section in enumerate(sections, start=1)]

    def _values(self, section: str, number: int) -> list[Any]:
        read = {"Type": (1, 3), "Rating": (1, 5)}
        return [
            whole_number_or_none(value, f"The {name.lower()} of text {number}", *read[name]) if name in read else value
            for name, value in zip(self._names, fields(section, self._names), strict=True)
        ]

    def examples(self) -> Sequence[Example]:
        row = {"instruction": "What's the capital of Spain?", "generations": ["Madrid.", "Lisbon."]}
        rated = [[5, "It is right, and no longer than it must be."], [1, "Lisbon is the capital of Portugal."]]
        if self.aspect in _TYPED:
            kinds = [None, 1] if self.aspect == "truthfulness" else [1, None]
            rated = [[kind, "It says so in one word.", *each] for kind, each in zip(kinds, rated, strict=True)]
        output = {column: [each[place] for each in rated] for place, column in enumerate(self._columns)}
        return [Example(row, self._example_answer(rated), output)]

    def _example_answer(self, rated: list[list[Any]]) -> str:
        if self.use_default_structured_output:
            return json.dumps({"texts": [dict(zip(self._columns, each, strict=True)) for each in rated]})
        parts = []
        for number, each in enumerate(rated, start=1):
            lines = [f"{name}: {value}" for name, value in zip(self._names, each, strict=True)]
            parts.append("\n".join([f"#### Text {number}", *lines]))
        return "\n\n".join(parts)
