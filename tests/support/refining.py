"""A conversation to try runs on: a draft, two notes side by side, a look-up, and the final answer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from limbeck import LLM, LLMField, Task, ask, do
from limbeck.types import Generation, GenerationRequest, GenerationResponse, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row

LOOKED_UP: list[str] = []


def look_up(text: str) -> dict[str, str]:
    """An effect that notes that it was done."""
    LOOKED_UP.append(text)
    return {"found": text.upper()}


class Speaker(LLM):
    """Answers `<name>: <the last message>`, and remembers what it was asked.

    Attributes:
        faults: what is raised for a text of the last message, while there is any.
    """

    name: str = "own"
    price: float = 1.0

    _asked: list[str] = PrivateAttr(default_factory=list)
    _faults: dict[str, list[Exception]] = PrivateAttr(default_factory=dict)

    @property
    def model_name(self) -> str:
        return self.name

    @property
    def asked(self) -> list[str]:
        return self._asked

    @property
    def faults(self) -> dict[str, list[Exception]]:
        return self._faults

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        text = str(request.messages[-1]["content"])
        self._asked.append(text)
        faults = self._faults.get(text)
        if faults:
            raise faults.pop(0)
        warmth = request.parameters.get("temperature")
        answer = f"{self.name}{'' if warmth is None else f'@{warmth}'}: {text}"
        usage = Usage(input_tokens=10, output_tokens=len(answer))
        return GenerationResponse(generations=[Generation(text=answer, finish_reason="stop")], usage=usage)


class Refine(Task):
    """Asks five times about a row, and does one thing."""

    critic: LLMField | None = None
    final: str = "final"
    looks_up: bool = True

    @property
    def inputs(self) -> list[str]:
        return ["q"]

    @property
    def outputs(self) -> list[str]:
        return ["a"]

    def converse(self, input: Row) -> Any:
        draft = yield ask(f"draft {input['q']}")
        notes = yield [ask(f"note {number} on {draft.text}", llm=self.critic) for number in (1, 2)]
        if self.looks_up:
            yield do(look_up, notes[0].text)
        end = yield ask(f"{self.final} {draft.text} {len(notes)}")
        return {"a": end.text}


def refining(**fields: Any) -> Refine:
    """The task, with LLMs of its own."""
    return Refine(**{"name": "refine", "llm": Speaker(), "critic": Speaker(name="critic"), **fields})


def questions(number: int = 3) -> list[Row]:
    """As many rows."""
    return [{"q": f"q{place}"} for place in range(number)]


def stored(run_dir: Path, query: str) -> list[tuple[Any, ...]]:
    """What a ledger holds."""
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger:
        return ledger.execute(query).fetchall()


def turns(run_dir: Path, row: str) -> list[str | None]:
    """The turns of a row's calls, as they came."""
    return [turn for (turn,) in stored(run_dir, f"SELECT turn FROM calls WHERE row = '{row}' ORDER BY id")]
