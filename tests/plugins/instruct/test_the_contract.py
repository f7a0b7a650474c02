"""The suite that every task passes, over the tasks of the pack and their variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import limbeck_instruct
from limbeck.testing import TaskContract, check_distribution
from limbeck_instruct import (
    CLAIR,
    URIAL,
    ConversationSimulation,
    EvolComplexity,
    EvolComplexityGenerator,
    EvolInstruct,
    EvolInstructGenerator,
    EvolQuality,
    Genstruct,
    MathShepherdCompleter,
    MathShepherdGenerator,
    PersonaGenerator,
    SelfInstruct,
)

if TYPE_CHECKING:
    from limbeck import Task


class TestEvolInstruct(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return EvolInstruct(llm=llm, num_evolutions=3, **fields)


class TestEvolInstructWithAllThatItHas(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        given = {"store_evolutions": True, "generate_answers": True, "include_original_instruction": True, **fields}
        return EvolInstruct(llm=llm, num_evolutions=2, **given)


class TestEvolComplexity(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return EvolComplexity(llm=llm, num_evolutions=1, generate_answers=True, **fields)


class TestEvolQuality(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return EvolQuality(llm=llm, num_evolutions=2, **fields)


class TestEvolQualityOfAllRounds(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return EvolQuality(llm=llm, num_evolutions=2, store_evolutions=True, **fields)


class TestEvolInstructGenerator(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return EvolInstructGenerator(llm=llm, num_instructions=2, **fields)


class TestEvolComplexityGenerator(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return EvolComplexityGenerator(
            llm=llm, num_instructions=2, generate_answers=True, min_length=1, max_length=9, **fields
        )


class TestSelfInstruct(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return SelfInstruct(llm=llm, **fields)


class TestGenstruct(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return Genstruct(llm=llm, **fields)


class TestCLAIR(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return CLAIR(llm=llm, **fields)


class TestURIAL(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return URIAL(llm=llm, **fields)


class TestPersonaGenerator(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return PersonaGenerator(llm=llm, attributes={"job": {"baker": 2, "pilot": 1}, "age": [30, 60]}, **fields)


class TestConversationSimulation(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return ConversationSimulation(llm=llm, **fields)


class TestMathShepherdGenerator(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return MathShepherdGenerator(llm=llm, **fields)


class TestMathShepherdGeneratorOfSeveralSolutions(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return MathShepherdGenerator(llm=llm, M=2, **fields)


class TestMathShepherdCompleter(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return MathShepherdCompleter(llm=llm, tags=["good", "bad"], **fields)


def test_all_that_the_distribution_declares_loads() -> None:
    assert check_distribution("limbeck-instruct") == []


def test_the_package_gives_its_names_by_class_name() -> None:
    assert [getattr(limbeck_instruct, name).__name__ for name in limbeck_instruct.__all__] == limbeck_instruct.__all__


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'limbeck_instruct' has no attribute 'Poetry'"):
        limbeck_instruct.Poetry  # noqa: B018
