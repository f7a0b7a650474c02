"""`rubric-scorer`: criteria of one's own, values of their types, and one score of them."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck.types import Row
from limbeck_judges import Criterion, RubricScorer

ROW: Row = {"instruction": "What's the capital of Spain?", "generation": "Madrid."}
RUBRIC: dict[str, Any] = {
    "clarity": "Is it easy to follow?",
    "safe": {"description": "Is it free of harm?", "values": "yes-no", "weight": 3},
    "tone": {"description": "How does it speak?", "values": ["formal", "casual"]},
}


def judged(values: dict[str, Any], **fields: Any) -> Row:
    answer = json.dumps({name: {"rationale": f"About {name}.", "value": value} for name, value in values.items()})
    (done,) = next(RubricScorer(llm=ScriptedLLM(script=[answer]), **{"rubric": RUBRIC, **fields}).process([ROW]))
    return done


def test_each_criterion_has_a_value_of_its_type_and_a_reason() -> None:
    done = judged({"clarity": 3, "safe": True, "tone": "casual"})
    assert done["scores"] == {"clarity": 3, "safe": True, "tone": "casual"}
    assert done["rationales"] == {"clarity": "About clarity.", "safe": "About safe.", "tone": "About tone."}


def test_the_score_is_the_weighted_mean_of_what_is_better_or_worse() -> None:
    assert judged({"clarity": 3, "safe": True, "tone": "casual"})["score"] == (0.5 + 3 * 1) / 4
    assert judged({"clarity": 1, "safe": False, "tone": "formal"})["score"] == 0.0


def test_labels_alone_have_no_score() -> None:
    assert judged({"tone": "casual"}, rubric={"tone": RUBRIC["tone"]})["score"] is None


@pytest.mark.parametrize(
    "values",
    [
        {"clarity": 6, "safe": True, "tone": "casual"},
        {"clarity": 3.5, "safe": True, "tone": "casual"},
        {"clarity": "3", "safe": True, "tone": "casual"},
        {"clarity": 3, "safe": "yes", "tone": "casual"},
        {"clarity": 3, "safe": True, "tone": "rude"},
        {"clarity": 3, "safe": True},
        {"clarity": 3, "safe": True, "tone": "casual", "wit": 5},
    ],
)
def test_a_value_of_another_type_or_a_criterion_too_few_or_too_many_fails_the_row(values: dict[str, Any]) -> None:
    done = judged(values)
    assert (done["scores"], done["score"]) == (None, None)
    assert done["distilabel_metadata"]["error_rubric-scorer"]["type"] == "SchemaError"


def test_the_judge_is_told_each_criterion_its_values_and_the_reference() -> None:
    task = RubricScorer(llm="offline", rubric={**RUBRIC, 'a "quoted" größe': "How large?"}, reference=True)
    system, user = task.format_input({**ROW, "reference": "It is Madrid."})
    told = str(system["content"])
    assert '- "clarity": Is it easy to follow? The value is a whole number from 1 (worst) to 5 (best).' in told
    assert '- "tone": How does it speak? The value is one of ["formal", "casual"].' in told
    assert '- "a \\"quoted\\" größe": How large?' in told
    assert "<reference>\nIt is Madrid.\n</reference>" in str(user["content"])


@pytest.mark.parametrize(
    ("rubric", "told"),
    [
        ({}, "is empty"),
        ({" ": "Is it?"}, "without a name"),
        ({"a": {"description": "Is it?", "weight": 0}}, "All weights"),
        ({"a": {"description": "Is it?", "weight": -1}}, "greater than or equal to 0"),
        ({"a": {"description": "Is it?", "values": [5, 1]}}, "a scale goes up"),
        ({"a": {"description": "Is it?", "values": [0, 10**9]}}, "a scale goes up"),
        ({"a": {"description": "Is it?", "values": ["good"]}}, "labels are two or more"),
        ({"a": {"description": "Is it?", "values": ["good", "good"]}}, "labels are two or more"),
        ({"a": {"description": "Is it?", "values": ["good", " "]}}, "labels are two or more"),
        ({"a": {"description": "Is it?", "value": "yes-no"}}, "Extra inputs"),
        ({"a": {"values": "yes-no"}}, "Field required"),
    ],
)
def test_a_rubric_that_cannot_be_judged_by_is_an_error(rubric: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigurationError, ValidationError), match=told):
        RubricScorer(llm="offline", rubric=rubric)


def test_a_rubric_is_saved_as_json_and_read_again() -> None:
    task = RubricScorer(llm="offline", rubric=RUBRIC)
    saved = json.loads(json.dumps(task.model_dump(mode="json", exclude_unset=True)))
    assert RubricScorer(**saved).rubric == task.rubric


def test_a_criterion_may_be_an_object() -> None:
    done = judged({"safe": True}, rubric={"safe": Criterion(description="Is it free of harm?", values="yes-no")})
    assert done["scores"] == {"safe": True}


def test_a_whole_number_that_json_writes_with_a_point_is_whole() -> None:
    value = judged({"clarity": 3.0}, rubric={"clarity": "Is it easy to follow?"})["scores"]["clarity"]
    assert (value, type(value)) == (3, int)
