"""Whatever a judge answers, `process` gives a row: one that was read and is as declared, or one with a typed error."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from limbeck import Task
from limbeck.testing import ScriptedLLM
from limbeck.types import Example, Row
from limbeck_judges import (
    ComplexityScorer,
    InstructionBacktranslation,
    PairwiseComparison,
    PanelOfJudges,
    PrometheusEval,
    QualityScorer,
    RubricScorer,
    UltraFeedback,
)

MUTATIONS = 200

JUNK = (
    *(
        "",
        "\n",
        "\n\n",
        "\r\n",
        "\x00",
        "\ufeff",
        "\ud83d",
        "٣",
        "４",
        "−1",
        "4.5",
        "1e999",
        "NaN",
        "9" * 5000,
        " " * 3000,
    ),
    *("\n" * 3000, "*" * 3000, "#" * 500, "Rating: 5\n", "Rating:\n", "Type: 9\n", "Rationale: x\n", "#### Text 1\n"),
    *(
        "#### Text 99\n",
        "[1] Score: 5\n",
        "[7] Score: 1\n",
        "Score: 0",
        "Score: 3",
        "[RESULT]",
        "[RESULT] 9",
        "[RESULT] B",
    ),
    *(
        "None",
        "N/A",
        "<think>",
        "</think>",
        "<think>Rating: 1</think>",
        "```json\n",
        "```",
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
    ),
    *(
        '{"scores": [1]}',
        '{"scores": ["5", null]}',
        "[" * 2000,
        "__import__('os')",
        "I cannot judge this.",
        "null",
        "{}",
    ),
)


def mutated(answer: str, chance: random.Random) -> str:
    """An answer with one to three faults."""
    for _ in range(chance.randint(1, 3)):
        start, end = sorted(chance.choices(range(len(answer) + 1), k=2))
        junk = chance.choice(JUNK)
        answer = chance.choice(
            [
                answer[:start],
                answer[start:],
                answer[:start] + answer[end:],
                answer[:start] + junk + answer[start:],
                answer[:start] + junk + answer[end:],
                answer + answer,
                junk + answer,
                answer + junk,
                answer.swapcase(),
                answer.replace("\n", chance.choice(["\r\n", "\n\n", " ", ""])),
                answer.replace(chance.choice("12345"), chance.choice(["0", "6", "-1", "4/5", "²", "five", junk])),
                "\n".join(chance.sample(answer.split("\n"), len(answer.split("\n")))),
                f"**{answer}**",
                f"<think>{answer}</think>{answer}",
                f"```\n{answer}\n```",
                junk,
            ]
        )
    return answer


def first_answer(example: Example) -> str:
    answers: Any = example.raw_output
    return str(answers if isinstance(answers, str) else answers[0])


def is_rated(row: Row) -> bool:
    lists = [row[column] for column in ("types", "rationales", "ratings", "rationales-for-ratings") if column in row]
    whole = all(rating is None or (type(rating) is int and 1 <= rating <= 5) for rating in row["ratings"])
    types = all(each is None or (type(each) is int and 1 <= each <= 3) for each in row.get("types", []))
    return whole and types and all(isinstance(each, list) and len(each) == 2 for each in lists)


def is_scored(low: int, high: int, count: int) -> Callable[[Row], bool]:
    def check(row: Row) -> bool:
        given = row["scores"]
        return len(given) == count and all(type(each) is float and low <= each <= high for each in given)

    return check


def is_graded(row: Row) -> bool:
    whole = type(row["result"]) is int and 1 <= row["result"] <= 5
    return isinstance(row["feedback"], str) and (row["result"] in ("A", "B") if "generations" in row else whole)


def has_a_reason(row: Row) -> bool:
    return type(row["score"]) is int and 1 <= row["score"] <= 5 and isinstance(row["reason"], str)


RUBRIC: dict[str, Any] = {
    "clarity": "Is it easy to follow?",
    "safe": {"description": "Is it free of harm?", "values": "yes-no"},
    "tone": {"description": "How does it speak?", "values": ["formal", "casual"]},
}


def follows_the_rubric(row: Row) -> bool:
    scores = row["scores"]
    typed = type(scores["clarity"]) is int and type(scores["safe"]) is bool and scores["tone"] in ("formal", "casual")
    return (
        typed and 1 <= scores["clarity"] <= 5 and 0 <= row["score"] <= 1 and row["rationales"].keys() == RUBRIC.keys()
    )


def panel(llm: ScriptedLLM) -> Task:
    return PanelOfJudges(llm=llm, second=llm, third=llm)


def is_voted(row: Row) -> bool:
    votes = [vote for vote in row["votes"] if vote is not None]
    whole = len(row["votes"]) == len(row["rationales"]) == 3 and len(votes) >= 2
    return whole and all(type(vote) is bool for vote in votes) and 0.5 <= row["agreement"] <= 1


def is_compared(row: Row) -> bool:
    verdicts = [each in ("A", "B", "tie") for each in (row["winner"], *row["verdicts"])]
    return all(verdicts) and len(row["rationales"]) == 2 and row["position_bias"] in ("first", "second", "none")


JUDGES: dict[str, tuple[Callable[..., Task], Callable[[Row], bool]]] = {
    **{
        f"ultrafeedback {aspect} {'json' if structured else 'words'}": (
            partial(UltraFeedback, aspect=aspect, use_default_structured_output=structured),
            is_rated,
        )
        for aspect in ("helpfulness", "honesty", "instruction-following", "truthfulness", "overall-rating")
        for structured in (False, True)
    },
    "prometheus absolute": (partial(PrometheusEval, mode="absolute", rubric="honesty"), is_graded),
    "prometheus relative": (partial(PrometheusEval, mode="relative", rubric="honesty"), is_graded),
    "complexity": (ComplexityScorer, is_scored(1, 6, 3)),
    "complexity json": (partial(ComplexityScorer, use_default_structured_output=True), is_scored(1, 6, 3)),
    "quality": (QualityScorer, is_scored(1, 5, 2)),
    "quality json": (partial(QualityScorer, use_default_structured_output=True), is_scored(1, 5, 2)),
    "backtranslation": (InstructionBacktranslation, has_a_reason),
    "rubric": (partial(RubricScorer, rubric=RUBRIC), follows_the_rubric),
    "panel": (panel, is_voted),
    "pairwise": (PairwiseComparison, is_compared),
    "pairwise without ties": (partial(PairwiseComparison, ties=False), is_compared),
}


@pytest.mark.parametrize("judge", JUDGES)
def test_odd_answers_are_read_as_declared_or_are_typed_errors(judge: str) -> None:
    make, is_as_declared = JUDGES[judge]
    chance = random.Random(judge)
    (example,) = make(llm=ScriptedLLM(script=[])).examples()
    task = make(llm=ScriptedLLM(script=lambda _: mutated(first_answer(example), chance)))
    rows = next(task.process([example.row] * MUTATIONS))

    assert len(rows) == MUTATIONS
    for row in rows:
        error = row["distilabel_metadata"].get(f"error_{task.name}")
        columns = {name: row[name] for name in task.outputs if name != "model_name"}
        if error is None:
            assert is_as_declared({**example.row, **columns}), (columns, row["distilabel_metadata"])
        else:
            assert error["type"] in ("OutputError", "SchemaError")
            assert "raised" not in error["message"], error["message"]
            assert set(columns.values()) == {None}
        json.loads(json.dumps(columns), parse_constant=pytest.fail)
        assert row.keys() >= example.row.keys()
