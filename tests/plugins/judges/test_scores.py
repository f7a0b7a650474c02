"""The scorers of several texts beside each other, and of one text by itself."""

import pytest

from limbeck.testing import ScriptedLLM
from limbeck_judges import ComplexityScorer, InstructionBacktranslation, QualityScorer


@pytest.mark.parametrize(
    "answer",
    [
        "[1] Score: 1\n[2] Score: 3.5",
        "[2] Score: 3.5\n[1] Score: 1",
        "Here they are:\n\n**[1] Score:** 1\n**[2] Score:** 3.5 (hard)",
        "1. Score: 1\n2. Score: 3.5",
        "- [1] score: 1/6\n- [2] score: 3.5/6",
    ],
)
def test_scores_go_by_their_numbers(answer: str) -> None:
    task = ComplexityScorer(llm=ScriptedLLM(script=[answer]))
    (row,) = next(task.process([{"instructions": ["Name a colour.", "Prove it."]}]))
    assert row["scores"] == [1.0, 3.5]


@pytest.mark.parametrize(
    "answer", ["[1] Score: 1", "[1] Score: 1\n[1] Score: 2", "[1] Score: 1\n[2] Score: 7", "1, 2", ""]
)
def test_scores_that_are_missing_repeated_or_out_of_range_fail_the_row(answer: str) -> None:
    task = ComplexityScorer(llm=ScriptedLLM(script=[answer]))
    (row,) = next(task.process([{"instructions": ["Name a colour.", "Prove it."]}]))
    assert row["scores"] is None
    assert row["distilabel_metadata"]["error_complexity-scorer"]["type"] == "OutputError"


def test_a_response_that_failed_is_not_shown_and_has_no_score() -> None:
    llm = ScriptedLLM(script=["[1] Score: 4\n[2] Score: 2"])
    (row,) = next(QualityScorer(llm=llm).process([{"instruction": "Why?", "responses": ["So.", None, "Because."]}]))
    assert row["scores"] == [4.0, None, 2.0]
    assert '<response number="2">\nBecause.' in str(llm.requests[0].messages[-1]["content"])


def test_structured_scores_are_counted_and_ranged() -> None:
    rows = [{"instruction": "Why?", "responses": ["So.", "Because."]}] * 3
    llm = ScriptedLLM(script=['{"scores": [4, 2]}', '{"scores": [4]}', '{"scores": [4, 9]}'])
    done = next(QualityScorer(llm=llm, use_default_structured_output=True).process(rows))
    assert [row["scores"] for row in done] == [[4.0, 2.0], None, None]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("It is direct.\nScore: 4", "It is direct."),
        ("Reason: It is direct.\n\n**Score: 4**", "It is direct."),
        ("Score: 4\nIt is direct.", "It is direct."),
        ("It is direct. Score: 4", "It is direct."),
        ("Score: 4", ""),
    ],
)
def test_a_reason_stands_before_or_behind_the_score(answer: str, reason: str) -> None:
    task = InstructionBacktranslation(llm=ScriptedLLM(script=[answer]))
    (row,) = next(task.process([{"instruction": "Why?", "generation": "So."}]))
    assert (row["score"], row["reason"]) == (4, reason)


@pytest.mark.parametrize("answer", ["It is direct.", "Score: 4\nScore: 5", "Score: 0", "Score: 4.5", "Score: high"])
def test_no_score_or_two_that_differ_fail_the_row(answer: str) -> None:
    task = InstructionBacktranslation(llm=ScriptedLLM(script=[answer]))
    (row,) = next(task.process([{"instruction": "Why?", "generation": "So."}]))
    assert (row["score"], row["reason"]) == (None, None)
    assert row["distilabel_metadata"]["error_instruction-backtranslation"]["type"] == "OutputError"
