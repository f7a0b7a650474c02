"""Rows in the form that trainers read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from limbeck.errors import ConfigurationError
from limbeck_data import ExpandColumns, FormatForDPO, FormatForSFT, Sort

from .rows import through

USER = {"role": "user", "content": "Why?"}
ASKED: dict[str, Any] = {"instruction": "Why?", "system_prompt": "Be brief.", "generation": "So."}


def test_a_question_and_its_answer_are_a_conversation() -> None:
    (row,) = through(FormatForSFT(), [ASKED])
    assert row == {
        **ASKED,
        "messages": [{"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "So."}],
    }


def test_a_chat_goes_on_with_the_answer_and_no_system_prompt_is_none() -> None:
    step = FormatForSFT(prompt="chat", response="reply")
    (row,) = through(step, [{"chat": [USER], "reply": "So."}])
    assert row["messages"] == [USER, {"role": "assistant", "content": "So."}]
    assert through(FormatForSFT(), [{**ASKED, "system_prompt": None}])[0]["messages"][0] == USER
    assert step.inputs == {"chat": True, "reply": True, "system_prompt": False}


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (None, ValueError, "the column 'generation' is null, where a text is needed"),
        (["So.", "No."], TypeError, "holds list, where a text is needed. `expand-columns` makes a row of each item"),
    ],
)
def test_an_answer_that_is_no_text_is_an_error_of_its_row(answer: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        through(FormatForSFT(), [{**ASKED, "generation": answer}])


def rated(answers: list[Any], ratings: list[Any]) -> dict[str, Any]:
    return {"instruction": "Why?", "generation": answers, "ratings": ratings}


def test_the_best_rated_answer_is_chosen_and_the_worst_rejected() -> None:
    (row,) = through(FormatForDPO(), [rated(["a", "b", "c", None], [2, 5, 1, 0])])
    assert row["prompt"] == [USER]
    assert row["chosen"] == [{"role": "assistant", "content": "b"}]
    assert row["rejected"] == [{"role": "assistant", "content": "c"}]
    assert (row["chosen_rating"], row["rejected_rating"]) == (5, 1)


def test_preferences_may_be_texts_and_the_answers_in_columns_of_their_own() -> None:
    step = FormatForDPO(chosen="good", rejected="bad", form="text")
    (row,) = through(step, [{"instruction": "Why?", "good": "x", "bad": "y"}])
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("Why?", "x", "y")
    assert step.outputs == ["prompt", "chosen", "rejected"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (rated(["a", "b"], [3, 3]), "no answer is better than another: the ratings in 'ratings' are \\[3, 3\\]"),
        (rated(["a", "b"], [3, None]), "no answer is better than another"),
        (rated(["a", "b"], [5, float("nan")]), "no answer is better than another"),
        (rated(["a", "b"], [Decimal("NaN"), 5]), "no answer is better than another"),
        (rated(["a", "b"], ["10", "9"]), "the column 'ratings' holds the rating '10', where a number is needed"),
        (rated(["a", "b"], [True, False]), "the column 'ratings' holds the rating True"),
        (rated(["same", "same"], [1, 5]), "the better and the worse answer are the same text"),
        (rated(["a", "b"], [3]), "has 2 answers, and 'ratings' has 1 ratings"),
    ],
)
def test_ratings_that_prefer_nothing_are_an_error_of_their_row(row: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        through(FormatForDPO(), [row])


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_an_answer_without_a_rating_is_neither_chosen_nor_rejected(missing: Any) -> None:
    (row,) = through(FormatForDPO(form="text"), [rated(["x", "best", "worst"], [missing, Decimal(5), 0.5])])
    assert (row["chosen"], row["rejected"]) == ("best", "worst")


@pytest.mark.parametrize("answers", [[{"x": 1}, {"x": 2}], ["a", 2], [["a"], "b"], ["a", b"b"]])
def test_a_rated_answer_that_is_no_text_is_an_error_of_its_row(answers: list[Any]) -> None:
    with pytest.raises(TypeError, match=r"'generation' holds a .* among its answers, where a text is needed"):
        through(FormatForDPO(), [rated(answers, [1, 2])])


def test_equal_answers_in_columns_of_their_own_are_an_error_of_their_row() -> None:
    with pytest.raises(ValueError, match="are the same text"):
        through(FormatForDPO(chosen="a", rejected="b"), [{"instruction": "?", "a": "x", "b": "x"}])


def test_one_of_two_columns_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="`chosen` and `rejected` name two columns"):
        FormatForDPO(chosen="good")


def test_answers_and_ratings_that_a_step_made_as_arrays_are_lists() -> None:
    np = pytest.importorskip("numpy")
    row = rated(np.array(["a", "b"], dtype=object), [np.int64(1), np.float32(5)])
    (made,) = through(FormatForDPO(form="text"), [row])
    assert (made["chosen"], made["rejected"], made["chosen_rating"]) == ("b", "a", 5)
    assert [each["generation"] for each in through(ExpandColumns(columns=["generation"]), [row])] == ["a", "b"]
    (ordered,) = Sort(by="n").process([{"n": np.float32(each)} for each in (2, "nan", 1)])
    assert [each["n"] for each in ordered[:2]] == [1, 2]
