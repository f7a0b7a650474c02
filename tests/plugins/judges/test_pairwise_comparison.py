"""`pairwise-comparison`: both orders, ties, and the bias of the place."""

import json
from typing import Any

import pytest

from limbeck.errors import ContentFilteredError
from limbeck.testing import ScriptedLLM
from limbeck.types import GenerationRequest, Row
from limbeck_judges import PairwiseComparison

ROW: Row = {"instruction": "What's the capital of Spain?", "generations": ["Madrid.", "Lisbon."]}


def shown(request: GenerationRequest) -> str:
    """The text that stands first in a request."""
    return str(request.messages[-1]["content"]).partition('<text number="1">\n')[2].partition("\n")[0]


def says(verdicts: dict[str, Any]) -> ScriptedLLM:
    """A judge whose verdict depends on the text that it sees first."""

    def script(request: GenerationRequest) -> Any:
        verdict = verdicts[shown(request)]
        return verdict if isinstance(verdict, Exception) else json.dumps({"rationale": "So.", "verdict": verdict})

    return ScriptedLLM(script=script)


def judged(llm: ScriptedLLM, row: Row = ROW, **fields: Any) -> Row:
    (done,) = next(PairwiseComparison(llm=llm, **fields).process([row]))
    return done


@pytest.mark.parametrize(
    ("in_order", "swapped", "winner", "verdicts", "bias"),
    [
        ("first", "second", "A", ["A", "A"], "none"),
        ("second", "first", "B", ["B", "B"], "none"),
        ("tie", "tie", "tie", ["tie", "tie"], "none"),
        ("first", "first", "tie", ["A", "B"], "first"),
        ("second", "second", "tie", ["B", "A"], "second"),
        ("first", "tie", "tie", ["A", "tie"], "none"),
        ("tie", "first", "tie", ["tie", "B"], "none"),
    ],
)
def test_a_text_wins_where_both_orders_say_so(
    in_order: str, swapped: str, winner: str, verdicts: list[str], bias: str
) -> None:
    done = judged(says({"Madrid.": in_order, "Lisbon.": swapped}))
    assert (done["winner"], done["verdicts"], done["position_bias"]) == (winner, verdicts, bias)
    assert done["rationales"] == ["So.", "So."]


def test_both_answers_are_kept() -> None:
    done = judged(says({"Madrid.": "first", "Lisbon.": "second"}))
    raw = done["distilabel_metadata"]["raw_output_pairwise-comparison"]
    assert [json.loads(each)["verdict"] for each in raw] == ["first", "second"]


def test_a_judge_that_may_call_no_tie_fails_where_it_does() -> None:
    done = judged(says({"Madrid.": "tie", "Lisbon.": "tie"}), ties=False)
    assert done["winner"] is None
    assert done["distilabel_metadata"]["error_pairwise-comparison"]["type"] == "SchemaError"


def test_an_order_that_cannot_be_asked_fails_the_row() -> None:
    done = judged(says({"Madrid.": "first", "Lisbon.": ContentFilteredError("Refused.")}))
    assert (done["winner"], done["position_bias"]) == (None, None)
    assert done["distilabel_metadata"]["error_pairwise-comparison"]["type"] == "ContentFilteredError"


def test_the_criteria_and_the_reference_are_in_the_prompt() -> None:
    llm = says({"Madrid.": "first", "Lisbon.": "second"})
    judged(llm, {**ROW, "reference": "It is Madrid."}, criteria="brevity alone", reference=True)
    system, user = (str(message["content"]) for message in llm.requests[0].messages)
    assert "Judge by brevity alone." in system
    assert "<reference>\nIt is Madrid.\n</reference>" in user


@pytest.mark.parametrize("generations", [None, "Madrid.", [], ["Madrid."], ["Madrid.", None], ["a", "b", "c"]])
def test_what_is_no_pair_fails_before_anything_is_sent(generations: Any) -> None:
    llm = ScriptedLLM(script=[])
    done = judged(llm, {**ROW, "generations": generations})
    assert "error_pairwise-comparison" in done["distilabel_metadata"]
    assert llm.requests == []


def test_a_judge_that_is_asked_again_mends_its_answer() -> None:
    told: list[int] = []

    def script(request: GenerationRequest) -> str:
        told.append(len(request.messages))
        return '{"rationale": "So.", "verdict": "tie"}' if len(request.messages) > 2 else "A tie."

    done = judged(ScriptedLLM(script=script), repair=1)
    assert done["winner"] == "tie"
    assert sorted(told)[:2] == [2, 2]
