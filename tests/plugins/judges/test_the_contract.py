"""The suite that every task passes, over the judges and their variants."""

import json
from typing import Any

import pytest

from limbeck import Task
from limbeck.testing import ScriptedLLM, TaskContract, check_distribution
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

RUBRIC: Any = {
    "clarity": "Is it easy to follow?",
    "safe": {"description": "Is it free of harm?", "values": "yes-no"},
    "tone": {"description": "How does it speak?", "values": ["formal", "casual"]},
}


class Varied(TaskContract):
    """A contract over the variants of a task: `fields` are those of one of them."""

    fields: dict[str, Any]


class TestUltraFeedback(Varied):
    @pytest.fixture(
        autouse=True,
        params=["helpfulness", "honesty", "instruction-following", "truthfulness", "overall-rating"],
    )
    def aspect(self, request: pytest.FixtureRequest) -> None:
        self.fields = {"aspect": request.param}

    def make_task(self, llm: Any, **fields: Any) -> Task:
        return UltraFeedback(llm=llm, **self.fields, **fields)


class TestUltraFeedbackAsJSON(TestUltraFeedback):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return UltraFeedback(llm=llm, use_default_structured_output=True, **self.fields, **fields)


class TestPrometheusEval(Varied):
    @pytest.fixture(autouse=True, params=["absolute", "relative"])
    def mode(self, request: pytest.FixtureRequest) -> None:
        self.fields = {"mode": request.param}

    def make_task(self, llm: Any, **fields: Any) -> Task:
        return PrometheusEval(llm=llm, rubric="honesty", **self.fields, **fields)


class TestPrometheusEvalWithAReference(TestPrometheusEval):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return PrometheusEval(llm=llm, rubric="reasoning", reference=True, **self.fields, **fields)


class TestComplexityScorer(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return ComplexityScorer(llm=llm, **fields)


class TestComplexityScorerAsJSON(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return ComplexityScorer(llm=llm, use_default_structured_output=True, **fields)


class TestQualityScorer(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return QualityScorer(llm=llm, **fields)


class TestQualityScorerAsJSON(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return QualityScorer(llm=llm, use_default_structured_output=True, **fields)


class TestInstructionBacktranslation(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return InstructionBacktranslation(llm=llm, **fields)


class TestRubricScorer(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return RubricScorer(llm=llm, rubric=RUBRIC, reference=True, **fields)


class ConversationContract(TaskContract):
    """The contract of a task whose example is a list of answers, equal ones, so that their order does not count."""

    def _task(self, *answers: Any, **fields: Any) -> Task:
        texts = [text for answer in answers for text in ([answer] if isinstance(answer, str) else answer)]
        return self.make_task(ScriptedLLM(script=texts), **fields)

    def test_each_example_makes_a_chat_of_plain_json(self) -> None:
        for example in self._task().examples():
            llm = ScriptedLLM(script=[*example.raw_output])
            next(self.make_task(llm).process([example.row]))
            for request in llm.requests:
                assert json.loads(json.dumps(request.messages)) == request.messages
            assert len(llm.requests) == len(example.raw_output)


class TestPairwiseComparison(ConversationContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return PairwiseComparison(llm=llm, **fields)


class TestPairwiseComparisonWithoutTies(ConversationContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return PairwiseComparison(llm=llm, ties=False, reference=True, **fields)


class TestPanelOfJudges(ConversationContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return PanelOfJudges(llm=llm, second=llm, third=llm, **fields)


def test_all_that_the_distribution_declares_loads() -> None:
    assert check_distribution("limbeck-judges") == []
