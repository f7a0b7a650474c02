"""`panel-of-judges`: votes of several models, agreement, and judges that fail."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from limbeck.errors import ConfigurationError, ContentFilteredError
from limbeck.testing import ScriptedLLM
from limbeck.types import Row
from limbeck_judges import PanelOfJudges

ROW: Row = {"instruction": "What's the capital of Spain?", "generation": "Madrid."}
PLACES = ("llm", "second", "third", "fourth", "fifth")


def judge(name: str, vote: Any) -> ScriptedLLM:
    """A judge that always votes so, or always fails or answers so."""
    if isinstance(vote, Exception):
        return ScriptedLLM(model=name, script=lambda _: vote)
    return ScriptedLLM(model=name, script=lambda _: json.dumps({"rationale": f"So says {name}.", "value": vote}))


def panel(*votes: Any, **fields: Any) -> PanelOfJudges:
    llms: dict[str, Any] = {place: judge(place, vote) for place, vote in zip(PLACES, votes, strict=False)}
    return PanelOfJudges(**llms, **fields)


def judged(*votes: Any, **fields: Any) -> Row:
    (done,) = next(panel(*votes, **fields).process([ROW]))
    return done


def test_what_most_judges_say_is_the_verdict() -> None:
    done = judged(True, False, True)
    assert (done["verdict"], done["votes"], done["judges"]) == (True, [True, False, True], ["llm", "second", "third"])
    assert done["agreement"] == 2 / 3
    assert done["rationales"] == ["So says llm.", "So says second.", "So says third."]
    assert done["model_name"] == "llm"


def test_an_even_split_is_no_verdict_and_no_failure() -> None:
    done = judged(True, False)
    assert (done["verdict"], done["agreement"]) == (None, 0.5)
    assert "error_panel-of-judges" not in done["distilabel_metadata"]


def test_on_a_scale_the_verdict_is_the_mean() -> None:
    done = judged(2, 5, 5, criterion="How good is it?")
    assert (done["verdict"], done["agreement"]) == (4.0, 2 / 3)


def test_labels_are_voted_on() -> None:
    labels: Any = {"description": "How does it speak?", "values": ["formal", "casual", "rude"]}
    assert judged("rude", "casual", "formal", "casual", "formal", criterion=labels)["verdict"] is None
    assert judged("rude", "casual", "formal", "casual", criterion=labels)["verdict"] == "casual"


def test_a_judge_that_fails_costs_its_own_vote() -> None:
    done = judged(True, ContentFilteredError("Refused."), True)
    assert (done["verdict"], done["votes"], done["agreement"]) == (True, [True, None, True], 1.0)
    assert done["rationales"] == ["So says llm.", None, "So says third."]


def test_an_answer_outside_of_the_values_is_no_vote() -> None:
    assert judged(True, "maybe", True)["votes"] == [True, None, True]


def test_below_the_quorum_the_row_fails_with_the_first_error() -> None:
    refused = ContentFilteredError("Refused.")
    done = judged(True, refused, refused)
    assert (done["verdict"], done["votes"]) == (None, None)
    assert done["distilabel_metadata"]["error_panel-of-judges"]["type"] == "ContentFilteredError"
    assert judged(True, refused, refused, quorum=1)["verdict"] is True


def test_a_panel_has_a_second_judge_and_a_quorum_that_it_can_reach() -> None:
    with pytest.raises((ConfigurationError, ValidationError), match="second"):
        panel(True)
    with pytest.raises(ConfigurationError, match="`quorum` of 'panel-of-judges' is 3, and there are 2 judges"):
        panel(True, True, quorum=3)


def test_judges_are_named_as_models_are() -> None:
    task = PanelOfJudges(llm="offline/a", second="offline/b", fifth={"provider": "offline", "model": "c"})
    (row,) = next(task.process([ROW]))
    assert row["judges"] == ["offline/a", "offline/b", "offline/c"]


def test_a_run_that_goes_on_asks_no_judge_again_that_has_answered(tmp_path: Path) -> None:
    with panel(True, ContentFilteredError("Refused."), True).run([ROW] * 3, run_dir=tmp_path) as stream:
        first = list(stream)
    again: Any = panel(True, ContentFilteredError("Refused."), True)
    with again.run([ROW] * 3, run_dir=tmp_path) as stream:
        assert list(stream) == first
    assert [*again.llm.requests, *again.third.requests] == []
