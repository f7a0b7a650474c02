"""The suite that every task passes, over the four tasks and their variants."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from limbeck import Task
from limbeck.testing import TaskContract, check_distribution
from limbeck_tasks import (
    ChatGeneration,
    StructuredGeneration,
    TextClassification,
    TextGeneration,
    TextGenerationWithImage,
)


class TestTextGeneration(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return TextGeneration(llm=llm, **fields)


class TestTextGenerationOfAnotherColumn(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return TextGeneration(llm=llm, template="{{ prompt }}", **fields)


class TestTextGenerationWithImage(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return TextGenerationWithImage(llm=llm, **fields)


class TestChatGeneration(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return ChatGeneration(llm=llm, **fields)


class TestTextClassification(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return TextClassification(llm=llm, labels=["spam", "ham"], **fields)


class TestTextClassificationWithSeveralLabels(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return TextClassification(llm=llm, labels={"größe": "the size", '"quoted"': ""}, multi_label=True, **fields)


class TestStructuredGeneration(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return StructuredGeneration(llm=llm, **fields)


class Town(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ávila", "gates": 9}]})

    name: str
    gates: int


class TestStructuredGenerationOfAModel(TaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Task:
        return StructuredGeneration(llm=llm, output_schema=Town, **fields)


def test_all_that_the_distribution_declares_loads() -> None:
    assert check_distribution("limbeck-tasks") == []
