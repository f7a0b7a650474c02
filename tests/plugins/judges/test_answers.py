"""What judges write in words, and how it is read."""

import contextlib

import pytest

from limbeck.errors import OutputError
from limbeck_judges import InstructionBacktranslation, PrometheusEval
from limbeck_judges.answers import answer_text, fields, number, numbered_sections, whole_number, whole_number_or_none
from limbeck_judges.scores import worded_scores


@pytest.mark.parametrize(
    "output",
    [
        "Score: 4",
        "<think>Score: 1, or 2?</think>\nScore: 4",
        "Score: 1, or 2?</think>Score: 4",
        "[THINK]Score: 1[/THINK]Score: 4",
        "```\nScore: 4\n```",
        "```text\nScore: 4\n```",
        "\r\nScore: 4\r\n",
    ],
)
def test_thinking_and_fences_are_no_part_of_the_answer(output: str) -> None:
    assert answer_text(output) == "Score: 4"


@pytest.mark.parametrize("output", [None, "", " \n\t", "<think>Score: 4", "<think>Score: 4</think>\n"])
def test_an_answer_of_thinking_alone_is_empty(output: str | None) -> None:
    with pytest.raises(OutputError, match="The answer is empty"):
        answer_text(output)


@pytest.mark.parametrize(
    "value", ["4", " 4\n", "**4**", "4/5", "4 out of 5", "[4]", "4.", "4 (good)", "4, as it is right", "4.0"]
)
def test_a_number_may_be_dressed(value: str) -> None:
    assert whole_number(value, "The rating", 1, 5) == 4


@pytest.mark.parametrize(
    "value", ["", "four", "-4", "4-5", "4 or 5", "3 to 4", "4.5", "0", "6", "44", "4%", "4th", "٤", "²", "~4"]
)
def test_what_is_no_number_of_the_scale_is_an_error(value: str) -> None:
    with pytest.raises(OutputError, match="The rating is"):
        whole_number(value, "The rating", 1, 5)


def test_a_score_may_have_decimals() -> None:
    assert number("3.5", "The score", 1, 5) == 3.5


@pytest.mark.parametrize("value", ["None", "none.", "N/A", "**NA**", "[None]", "null"])
def test_none_is_none_where_it_is_said(value: str) -> None:
    assert whole_number_or_none(value, "The type", 1, 3) is None


@pytest.mark.parametrize(
    "answer",
    [
        "#### Text 1\nRating: 5\n\n#### Text 2\nRating: 1",
        "**Text 2:**\nRating: 1\n\n**Text 1:**\nRating: 5",
        "#### Output for Text 1\nRating: 5\n\n#### Output for Text 2\nRating: 1\n\n---",
        "Response 1\nRating: 5\nResponse 2\nRating: 1",
        "Here you are:\n\nRating: 5\n\nRating: 1",
        "### First\nRating: 5\n\n### Second\nRating: 1",
        "1.\nRating: 5\n\n2.\nRating: 1",
    ],
)
def test_each_text_has_its_own_part_in_whatever_order_they_stand(answer: str) -> None:
    parts = numbered_sections(answer, "text", 2, "Rating")
    assert [fields(part, ["Rating"]) for part in parts] == [["5"], ["1"]]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Rating: 5",
        "#### Text 1\nRating: 5",
        "#### Text 1\nRating: 5\n#### Text 1\nRating: 1",
        "#### Text 1\nRating: 5\n#### Text 3\nRating: 1",
        "Rating: 5\nRating: 1\nRating: 2",
    ],
)
def test_a_text_without_a_part_or_with_two_is_an_error(answer: str) -> None:
    with pytest.raises(OutputError, match="must judge each of the 2 texts once"):
        numbered_sections(answer, "text", 2, "Rating")


def test_fields_are_found_in_markdown_and_over_several_lines() -> None:
    part = "- **Rating:** 4\n- **Rationale**: It is right.\n  It is short."
    assert fields(part, ["Rating", "Rationale"]) == ["4", "It is right.\n  It is short."]


@pytest.mark.parametrize(
    "part", ["Rating: 4", "Rationale: x\nRating: 4", "Rating: 4\nRating: 5\nRationale: x", "Rating 4, Rationale: x"]
)
def test_a_field_that_is_missing_given_twice_or_out_of_order_is_an_error(part: str) -> None:
    with pytest.raises(OutputError, match="must have Rating, Rationale, in this order"):
        fields(part, ["Rating", "Rationale"])


@pytest.mark.parametrize(
    "run", [" ", "\n", "*", "#", ".", "-", "Rating:", "#### Text 1\n", "[1] Score: 5\n", "```", "a ", "[RESULT] "]
)
def test_long_runs_of_anything_are_read_to_their_end(run: str) -> None:
    text = run * (100_000 // len(run)) + "x"
    for read in (
        answer_text,
        lambda text: numbered_sections(text, "text", 2, "Rating"),
        lambda text: fields(text, ["Rating", "Rationale"]),
        lambda text: worded_scores(text, 2, 1, 5),
        lambda text: whole_number(text, "The rating", 1, 5),
        lambda text: PrometheusEval(llm="offline", mode="absolute", rubric="honesty").format_output(text, {}),
        lambda text: InstructionBacktranslation(llm="offline").format_output(text, {}),
    ):
        with contextlib.suppress(OutputError):
            read(text)
