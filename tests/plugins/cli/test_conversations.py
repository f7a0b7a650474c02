"""Conversations on the command line: estimated, explained, asked again from a turn on, and read anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from limbeck import LLM, Task, ask, register_llm, register_task
from limbeck.testing import registry
from limbeck.types import Generation, GenerationRequest, GenerationResponse, Usage
from support.command import invoke, read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row

FILE = """
name: talks
input: rows.jsonl
output: out.jsonl
steps:
  - {task: twice, name: twice, llm: speaker/s}
"""


class SpeakerLLM(LLM):
    """Repeats what it is asked, with its temperature."""

    asked: ClassVar[list[str]] = []

    model: str

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        text = str(request.messages[-1]["content"])
        self.asked.append(text)
        warmth = request.parameters.get("temperature", 0)
        answer = Generation(text=f"{text} at {warmth}", finish_reason="stop")
        return GenerationResponse(generations=[answer], usage=Usage(input_tokens=20, output_tokens=10))


class Twice(Task):
    """Asks twice about a row."""

    ending: str = "and then"

    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def converse(self, input: Row) -> Any:
        first = yield ask(input["q"])
        second = yield ask(f"{first.text}, {self.ending}")
        return {"a": second.text}


@pytest.fixture(autouse=True)
def asked() -> Iterator[list[str]]:
    SpeakerLLM.asked.clear()
    with registry():
        register_llm("speaker", SpeakerLLM)
        register_task("twice", Twice)
        write_rows(Path("rows.jsonl"), [{"q": f"q{place}"} for place in range(5)])
        Path("p.yaml").write_text(FILE, encoding="utf-8")
        assert invoke("run", "p.yaml", "--run-dir", "run", "--quiet").exit_code == 0
        SpeakerLLM.asked.clear()
        yield SpeakerLLM.asked


def test_they_are_asked_again_from_a_turn_on(asked: list[str]) -> None:
    words = ("retry", "run", "--where", "q = 'q3'", "--from-turn", "2", "--set", "llm.temperature=0.5")
    assert invoke(*words).exit_code == 0
    assert asked == ["q3 at 0, and then"]
    assert [row["a"] for row in read_rows(Path("out.jsonl"))][2:4] == [
        *("q2 at 0, and then at 0", "q3 at 0, and then at 0.5"),
    ]
    asked.clear()
    assert invoke(*words).exit_code == 0
    assert asked == []


def test_a_turn_below_one_is_refused(asked: list[str]) -> None:
    assert invoke("retry", "run", "--where", "failed", "--from-turn", "0").exit_code == 2
    assert asked == []


def test_they_are_explained_by_their_turns(asked: list[str]) -> None:
    assert "Found: all its 2 turns are stored." in invoke("explain", "run", "3").stdout
    changed = invoke("explain", "run", "3", "--set", "steps.twice.ending=at last").stdout
    assert "Row 3 of step 'twice', turn 2, key" in changed
    assert "Not found: turn 2 asks something else than call" in changed
    assert asked == []


def test_their_calls_are_estimated(asked: list[str]) -> None:
    result = invoke("run", "p.yaml", "--run-dir", "estimated", "--estimate", "3", "--overwrite")
    assert result.exit_code == 0, result.output
    assert "  calls         10 (" in result.stdout
    assert len(asked) == 6


def test_they_are_read_anew(asked: list[str]) -> None:
    result = invoke("reparse", "p.yaml", "--run-dir", "run", "--overwrite")
    assert result.exit_code == 0, result.output
    assert [row["a"] for row in read_rows(Path("out.jsonl"))][3] == "q3 at 0, and then at 0"
    assert asked == []
