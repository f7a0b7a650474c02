"""`prometheus-eval`: rubrics, modes, references, and the one result that counts."""

from typing import Any

import pytest

from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck.types import Row
from limbeck_judges import PrometheusEval

ABSOLUTE: Row = {"instruction": "2 + 2?", "generation": "4"}
RELATIVE: Row = {"instruction": "2 + 2?", "generations": ["5", "4"]}
RUBRIC = "[Is it short?]\nScore 1: No.\nScore 2: Hardly.\nScore 3: Half.\nScore 4: Nearly.\nScore 5: Yes."


def judged(row: Row, answer: str, **fields: Any) -> Row:
    mode: Any = "absolute" if "generation" in row else "relative"
    task = PrometheusEval(llm=ScriptedLLM(script=[answer]), mode=mode, rubric="honesty", **fields)
    (done,) = next(task.process([row]))
    return done


@pytest.mark.parametrize("rubric", ["helpfulness", "harmlessness", "honesty", "factual-validity", "reasoning"])
def test_it_brings_five_rubrics(rubric: str) -> None:
    task = PrometheusEval(llm="offline", mode="absolute", rubric=rubric)
    assert f"###Score Rubrics:\n{task.rubrics[rubric]}\n\n###Feedback:" in str(
        task.format_input(ABSOLUTE)[-1]["content"]
    )


def test_a_rubric_of_ones_own_is_used() -> None:
    task = PrometheusEval(llm="offline", mode="relative", rubric="brevity", rubrics={"brevity": RUBRIC})
    assert f"###Score Rubric:\n{RUBRIC}" in str(task.format_input(RELATIVE)[-1]["content"])


@pytest.mark.parametrize(
    "rubric", ["", "Is it short?", RUBRIC.replace("Score 3: Half.\n", ""), RUBRIC.replace("Score 3", "Score 2")]
)
def test_a_rubric_of_another_form_is_an_error_that_shows_the_form(rubric: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Score 5: …"):
        PrometheusEval(llm="offline", mode="absolute", rubric="own", rubrics={"own": rubric})


def test_a_misspelt_rubric_is_told_what_is_close() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean `honesty`"):
        PrometheusEval(llm="offline", mode="absolute", rubric="honestly")


def test_the_columns_are_those_of_the_mode_and_the_reference() -> None:
    assert PrometheusEval(llm="offline", mode="absolute", rubric="honesty").inputs == ["instruction", "generation"]
    task = PrometheusEval(llm="offline", mode="relative", rubric="honesty", reference=True)
    assert task.inputs == ["instruction", "generations", "reference"]
    assert "###Reference Answer:\n4" in str(task.format_input({**RELATIVE, "reference": "4"})[-1]["content"])


@pytest.mark.parametrize(
    "answer",
    [
        "Feedback: It is right. [RESULT] 5",
        "It is right. [RESULT] 5",
        "**Feedback:** It is right. [RESULT] **5**",
        "Feedback: It is right. [RESULT] (5)\n",
        "Feedback: It is right. [result] Score: 5.",
        "<think>[RESULT] 1</think>Feedback: It is right. [RESULT] 5",
        "Feedback: It is right. [RESULT] 5 [RESULT] 5",
    ],
)
def test_a_result_may_be_dressed(answer: str) -> None:
    done = judged(ABSOLUTE, answer)
    assert (done["feedback"], done["result"]) == ("It is right.", 5)


@pytest.mark.parametrize("answer", ["Better. [RESULT] B", "Better. [RESULT] b", "Better. [RESULT] Response B"])
def test_the_better_of_two_is_a_letter(answer: str) -> None:
    assert judged(RELATIVE, answer)["result"] == "B"


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "Right.",
            "Right. [RESULT]",
            "Right. [RESULT] 6",
            "Right. [RESULT] 4.5",
            "Right. [RESULT] A",
            "[RESULT] 4 or 5",
        ),
        "Right. [RESULT] 5 No, wrong. [RESULT] 1",
    ],
)
def test_no_result_or_two_that_differ_fail_the_row_with_the_text_kept(answer: str) -> None:
    done = judged(ABSOLUTE, answer)
    assert (done["feedback"], done["result"]) == (None, None)
    assert done["distilabel_metadata"]["raw_output_prometheus-eval"] == answer
    assert done["distilabel_metadata"]["error_prometheus-eval"]["type"] == "OutputError"


@pytest.mark.parametrize("generations", [["5"], ["5", "4", "3"], ["5", None]])
def test_other_than_two_texts_cannot_be_compared(generations: Any) -> None:
    done = judged({**RELATIVE, "generations": generations}, "")
    assert done["distilabel_metadata"]["error_prometheus-eval"]["type"] == "RowError"
