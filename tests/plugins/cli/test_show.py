"""`limbeck show`: one task, LLM, step or tool in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.testing import fake_distribution
from support.command import invoke

BACKEND = """
class PlainLLM:
    "Needs no base class."

    def __init__(self, model: str, retries: int = 3):
        self.model = model

    @property
    def model_name(self):
        return self.model

    def generate(self, request):
        raise NotImplementedError
"""

CONVERSATION = """
from limbeck import Task, ask
from limbeck.types import Example

class Talk(Task):
    "Asks twice."

    manner: str = "Slowly. " * 50

    @property
    def outputs(self):
        return ["answer"]

    def converse(self):
        first = yield ask("one")
        second = yield ask(first.text)
        return {"answer": second.text}

    def examples(self):
        return [Example({}, ["first", "second"], {"answer": "second"})]
"""


def line_of(text: str, start: str) -> str:
    (line,) = [line for line in text.splitlines() if line.split() and line.split()[0] == start]
    return " ".join(line.split())


def test_a_task_is_shown_with_its_source_columns_fields_prompt_and_output() -> None:
    shown = invoke("show", "task", "text-generation").stdout
    assert "limbeck-tasks 0.1.0, limbeck_tasks.text_generation:TextGeneration" in shown
    assert "Ask the model with a prompt" in shown
    assert "reads instruction required" in " ".join(shown.split())
    assert "reads system_prompt optional" in " ".join(shown.split())
    assert "adds generation required" in " ".join(shown.split())
    assert line_of(shown, "system_prompt") == "system_prompt str | None null for every row that has none of its own."
    assert line_of(shown, "num_generations") == "num_generations int 1 answers for each row."
    assert line_of(shown, "llm").startswith("llm Any (required)")
    assert "  user:\n    What's the capital of Spain?" in shown
    assert "A model's answer\n  The capital of Spain is Madrid." in shown
    assert '"generation": "The capital of Spain is Madrid."' in shown


TOOLS = """
def define(word: str) -> str:
    "The meaning of a word."
    return word

class Dice:
    name, description, parameters = "dice", "Rolls.", {"type": "object"}
    def call(self, arguments):
        return 6

dice = Dice()

class Box:
    "A box of tools."
    async def list_tools(self):
        return []
    async def call_tool(self, name, arguments):
        return ""
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("define", ["acme-tools 1.0, acme_tools:define", '"description": "The meaning of a word."', '"word": {']),
        ("dice", ["acme_tools:Dice", '"name": "dice"', '"description": "Rolls."']),
        ("box", ["acme_tools:Box", "A box of tools."]),
    ],
)
def test_a_tool_is_shown_as_a_model_is_told_of_it(tmp_path: Path, name: str, words: list[str]) -> None:
    points = {"limbeck.tools": {"define": "acme_tools:define", "dice": "acme_tools:dice", "box": "acme_tools:Box"}}
    with fake_distribution(tmp_path, "acme-tools", entry_points=points, modules={"acme_tools": TOOLS}):
        result = invoke("show", "tool", name)
    assert result.exit_code == 0
    assert [each for each in words if each not in result.stdout] == []


def test_a_task_that_cannot_be_made_without_a_field_says_which() -> None:
    result = invoke("show", "task", "text-classification")
    assert result.exit_code == 0
    assert "needs the field `labels`" in result.stdout
    assert line_of(result.stdout, "labels").startswith("labels list[str] | dict[str, str] (required)")


def test_a_field_can_be_given_to_show_the_prompt_that_it_makes() -> None:
    shown = invoke("show", "task", "text-classification", "--set", "labels=[good, bad]").stdout
    assert "  system:\n" in shown
    assert '- "good"' in shown
    assert '"label": "good"' in shown


def test_a_field_that_is_given_wrongly_is_an_error() -> None:
    result = invoke("show", "task", "text-classification", "--set", "lables=[good, bad]")
    assert result.exit_code == 1
    assert "--set lables: the task 'text-classification' has no field 'lables'. Did you mean `labels`" in result.stderr


def test_an_llm_is_shown_with_its_fields_and_capabilities() -> None:
    shown = invoke("show", "llm", "offline").stdout
    assert line_of(shown, "max_concurrency").startswith("max_concurrency int 64 requests in flight at most")
    assert line_of(shown, "rpm").startswith("rpm float | None null ")
    listed = "native_n, native_json_schema, tools, vision, audio, documents, completions, prefill"
    assert f"Capabilities\n  {listed}\n" in shown


def test_an_llm_without_our_base_class_is_shown_by_its_constructor(tmp_path: Path) -> None:
    entry_points = {"limbeck.llms": {"plain": "acme_plain:PlainLLM"}}
    with fake_distribution(tmp_path, "acme-plain", entry_points=entry_points, modules={"acme_plain": BACKEND}):
        shown = invoke("show", "llm", "plain").stdout
    assert "acme-plain 1.0, acme_plain:PlainLLM" in shown
    assert "Needs no base class." in shown
    assert line_of(shown, "retries") == "retries int"


@pytest.mark.parametrize("kind", ["task", "llm", "step"])
def test_an_unknown_name_is_an_error(kind: str) -> None:
    result = invoke("show", kind, "no-such-name")
    assert result.exit_code == 1
    assert f"There is no {kind} named 'no-such-name'" in result.stderr


def test_the_docs_of_a_field_may_share_a_line_and_the_most_specific_class_has_the_last_word() -> None:
    from limbeck._pipeline.config.docstrings import field_docs

    class General:
        """One.

        Attributes:
            first: in general. second: too, and
                on a further line. third, fourth: both.
            fifth (str): with a type: and a colon.

        Not of it: this.
        """

    class Special(General):
        """Two.

        Attributes:
            first: in particular.
        """

    assert field_docs(Special, ["first", "second", "third", "fourth", "fifth"]) == {
        "first": "in particular.",
        "second": "too, and on a further line.",
        "third": "both.",
        "fourth": "both.",
        "fifth": "with a type: and a colon.",
    }


def test_a_conversation_is_shown_with_the_answers_of_its_example_and_long_defaults_by_their_beginning(
    tmp_path: Path,
) -> None:
    modules = {"acme_talk": CONVERSATION}
    points = {"limbeck.tasks": {"talk": "acme_talk:Talk"}}
    with fake_distribution(tmp_path, "acme-talk", entry_points=points, modules=modules):
        shown = invoke("show", "task", "talk").stdout
    assert shown.count("A model's answer") == 2
    assert "  second\n" in shown
    assert line_of(shown, "manner").startswith('manner str "Slowly. Slowly.')
    assert "…" in line_of(shown, "manner")
    assert max(map(len, shown.splitlines())) < 250
