"""`ultrafeedback`: what is asked, and the columns that come of it."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from limbeck.errors import LimbeckError
from limbeck.testing import ScriptedLLM
from limbeck.types import Row
from limbeck_judges import UltraFeedback

ROW: Row = {"instruction": "What's the capital of Spain?", "generations": ["Madrid.", "Lisbon."]}


def judged(row: Row, *answers: str, **fields: Any) -> Row:
    (done,) = next(UltraFeedback(llm=ScriptedLLM(script=list(answers)), **fields).process([row]))
    return done


def test_the_aspect_is_the_overall_rating_unless_another_is_named() -> None:
    assert UltraFeedback(llm="offline").aspect == "overall-rating"
    with pytest.raises((ValidationError, LimbeckError), match="aspect"):
        UltraFeedback(llm="offline", aspect="beauty")  # type: ignore[arg-type]


@pytest.mark.parametrize("aspect", ["helpfulness", "truthfulness"])
def test_two_aspects_have_types_and_a_rationale_for_each(aspect: Any) -> None:
    task = UltraFeedback(llm="offline", aspect=aspect)
    assert task.outputs == ["types", "rationales", "ratings", "rationales-for-ratings", "model_name"]


def test_the_judge_sees_the_instruction_and_each_text_with_its_number() -> None:
    system, user = UltraFeedback(llm="offline").format_input(ROW)
    assert "for each of the 2 texts" in str(system["content"])
    assert user["content"] == (
        "<instruction>\nWhat's the capital of Spain?\n</instruction>\n\n"
        '<text number="1">\nMadrid.\n</text>\n\n<text number="2">\nLisbon.\n</text>'
    )


def test_a_generation_that_failed_is_not_shown_and_null_in_every_list() -> None:
    row = {**ROW, "generations": [None, "Madrid."]}
    done = judged(row, "#### Text 1\nRating: 5\nRationale: It is right.")
    assert done["ratings"] == [None, 5]
    assert done["rationales"] == [None, "It is right."]


def test_a_rating_that_does_not_apply_is_null() -> None:
    done = judged(ROW, "#### Text 1\nRating: N/A\nRationale: Who knows.\n\n#### Text 2\nRating: 1\nRationale: Wrong.")
    assert done["ratings"] == [None, 1]


def test_texts_that_are_rated_out_of_order_come_back_in_order() -> None:
    done = judged(ROW, "Text 2\nRating: 1\nRationale: Wrong.\n\nText 1\nRating: 5\nRationale: Right.")
    assert (done["ratings"], done["rationales"]) == ([5, 1], ["Right.", "Wrong."])


def test_a_rationale_of_several_paragraphs_is_one_rationale() -> None:
    done = judged(
        ROW,
        "Text 1\nRating: 5\nRationale: Right.\n\nAnd short.\n\nText 2\nRating: 1\nRationale: Wrong.\n\nText 3 is not.",
    )
    assert done["rationales"] == ["Right.\n\nAnd short.", "Wrong.\n\nText 3 is not."]


def test_an_answer_about_one_of_two_texts_fails_and_a_repair_mends_it() -> None:
    one = "#### Text 1\nRating: 5\nRationale: Right."
    failed = judged(ROW, one)
    assert failed["ratings"] is None
    assert failed["distilabel_metadata"]["error_ultrafeedback"]["type"] == "OutputError"

    mended = judged(ROW, one, f"{one}\n\n#### Text 2\nRating: 1\nRationale: Wrong.", repair=1)
    assert mended["ratings"] == [5, 1]


def test_structured_answers_are_asked_for_by_a_schema_and_counted() -> None:
    rated = {"ratings": 5, "rationales": "Right."}
    llm = ScriptedLLM(script=[json.dumps({"texts": [rated]})])
    (failed,) = next(UltraFeedback(llm=llm, use_default_structured_output=True).process([ROW]))
    assert failed["ratings"] is None
    assert "each of the 2 texts once" in failed["distilabel_metadata"]["error_ultrafeedback"]["message"]
    assert llm.requests[0].output_schema is not None


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"instruction": None}, "`instruction` is null"),
        ({"generations": None}, "must hold a list of texts, not null"),
        ({"generations": "Madrid."}, "must hold a list of texts, not str"),
        ({"generations": ["Madrid.", 5]}, r"`generations[1]` must be a text, not int"),
        ({"generations": []}, "holds no text"),
        ({"generations": [None, None]}, "holds no text"),
    ],
)
def test_a_row_that_cannot_be_judged_fails_before_anything_is_sent(columns: Row, told: str) -> None:
    llm = ScriptedLLM(script=[])
    (row,) = next(UltraFeedback(llm=llm).process([{**ROW, **columns}]))
    assert told in row["distilabel_metadata"]["error_ultrafeedback"]["message"]
    assert row["distilabel_metadata"]["error_ultrafeedback"]["type"] == "RowError"
    assert llm.requests == []


def test_structured_ratings_are_whole_numbers_however_json_writes_them() -> None:
    texts = [{"ratings": 5.0, "rationales": "Right."}, {"ratings": None, "rationales": "Who knows."}]
    done = judged(ROW, json.dumps({"texts": texts}), use_default_structured_output=True)
    assert (done["ratings"], type(done["ratings"][0])) == ([5, None], int)
