"""Every official task, and every LLM that needs no provider, by its public name and through the suites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck import get_llm, get_task, list_llms, list_tasks
from limbeck.testing import EchoLLM, LLMContract, TaskContract

if TYPE_CHECKING:
    from limbeck import Task

# What a task cannot be made without.
FIELDS: dict[str, dict[str, Any]] = {
    "text-generation": {},
    "text-generation-with-image": {},
    "chat-generation": {},
    "text-classification": {"labels": ["spam", "ham"]},
    "structured-generation": {},
    "ultrafeedback": {},
    "prometheus-eval": {"mode": "absolute", "rubric": "helpfulness"},
    "complexity-scorer": {},
    "quality-scorer": {},
    "instruction-backtranslation": {},
    "pairwise-comparison": {},
    "panel-of-judges": {"second": "offline/second"},
    "rubric-scorer": {"rubric": {"clarity": "Is it easy to follow?"}},
    "evol-instruct": {"num_evolutions": 2},
    "evol-instruct-generator": {"num_instructions": 1},
    "evol-complexity": {"num_evolutions": 2},
    "evol-complexity-generator": {"num_instructions": 1},
    "evol-quality": {"num_evolutions": 2},
    "self-instruct": {},
    "genstruct": {},
    "clair": {},
    "urial": {},
    "persona-generator": {"attributes": {"job": ["baker", "pilot"]}},
    "conversation-simulation": {},
    "math-shepherd-generator": {},
    "math-shepherd-completer": {},
    "generate-embeddings": {},
    "generate-images": {},
    "rank": {},
    "score": {},
}


def made(name: str, model: Any, **fields: Any) -> Any:
    """A task with a model of its kind."""
    cls: Any = get_task(name)
    return cls(**{cls.model_kind: model}, **FIELDS[name], **fields)


class NamedTask(TaskContract):
    """A task as an app has it: looked up by name."""

    name: str

    def make_task(self, llm: Any, **fields: Any) -> Task:
        task: Task = get_task(self.name)(llm=llm, **FIELDS[self.name], **fields)
        return task


class TestTextGeneration(NamedTask):
    name = "text-generation"


class TestTextGenerationWithImage(NamedTask):
    name = "text-generation-with-image"


class TestChatGeneration(NamedTask):
    name = "chat-generation"


class TestTextClassification(NamedTask):
    name = "text-classification"


class TestStructuredGeneration(NamedTask):
    name = "structured-generation"


class TestOffline(LLMContract):
    def make_llm(self) -> Any:
        return get_llm("offline")()


class TestEcho(LLMContract):
    def make_llm(self) -> Any:
        return EchoLLM(model="echo-1")


def test_the_official_names_are_these() -> None:
    assert sorted(FIELDS) == [name for name in list_tasks() if "/" not in name]
    assert list_llms() == ["anthropic", "azure-openai", "huggingface", "offline", "openai", "transformers"]


@pytest.mark.parametrize("name", FIELDS)
def test_a_task_is_called_by_its_registered_name(name: str) -> None:
    assert made(name, "offline").name == name


@pytest.mark.parametrize("name", sorted({*FIELDS} - {"panel-of-judges"}))  # whose other judges know no examples
def test_the_offline_model_answers_a_tasks_own_example_with_its_output(name: str) -> None:
    task = made(name, "offline")
    for example in task.examples():
        (row,) = next(task.process([example.row]))

        assert {column: row[column] for column in example.output} == example.output
        assert row["model_name"] == "offline/stand-in"


@pytest.mark.parametrize("name", FIELDS)
def test_a_task_can_be_saved_as_plain_json_and_made_again(name: str) -> None:
    task = made(name, "offline/test-model", num_generations=2)

    again = get_task(name)(**task.model_dump(mode="json", exclude_unset=True))

    assert again.model_dump(mode="json") == task.model_dump(mode="json")
    assert again.llm.model_name == "offline/test-model"
