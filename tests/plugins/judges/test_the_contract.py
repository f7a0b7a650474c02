"""The suite that every task passes, over the judges and their variants."""

from typing import Any

import pytest

from limbeck import Task
from limbeck.testing import TaskContract, check_distribution
from limbeck_judges import (
    ComplexityScorer,
    InstructionBacktranslation,
    PrometheusEval,
    QualityScorer,
    UltraFeedback,
)


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


def test_all_that_the_distribution_declares_loads() -> None:
    assert check_distribution("limbeck-judges") == []
