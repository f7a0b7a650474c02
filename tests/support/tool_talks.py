"""`run_tools` without an engine: a script answers what is asked, and effects are done as the engine does them."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from limbeck._engine.calls.turns import Ask, Do
from limbeck.errors import EffectError, GenerationError, described
from limbeck.tools import on_engine_loop
from limbeck.types import Generation

if TYPE_CHECKING:
    from collections.abc import Generator

    from limbeck.tools import ToolAnswer


def calling(*calls: Any, text: str | None = None) -> Generation:
    """An answer that calls tools."""
    return Generation(text=text, finish_reason="tool_calls", tool_calls=list(calls))


def call(name: Any, arguments: Any = "{}", id: Any = "c1") -> dict[str, Any]:
    """A call in OpenAI's form, with whatever a model may put there."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


@dataclass
class Talk:
    """A conversation in which a model says what a script says.

    Attributes:
        asked: what the model was asked. done: the effects, each with the turn that it was yielded in.
    """

    script: list[Any]
    asked: list[Ask] = field(default_factory=list)
    done: list[tuple[int, str, Any]] = field(default_factory=list)
    turn: int = 0

    def run(self, generator: Generator[Any, Any, ToolAnswer]) -> ToolAnswer:
        """Drive the generator to its end."""
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                yielded = generator.send(value) if error is None else generator.throw(error)
            except StopIteration as end:
                answer: ToolAnswer = end.value
                return answer
            self.turn += 1
            value, error = self._outcome(yielded)

    def _outcome(self, yielded: Any) -> tuple[Any, BaseException | None]:
        several = isinstance(yielded, list)
        parts = yielded if several else [yielded]
        results = [self._part(part) for part in parts]
        for part, result in zip(parts, results, strict=True):
            if isinstance(result, GenerationError) and part.on_error == "raise":
                return None, result
        return (results if several else results[0]), None

    def _part(self, part: Ask | Do) -> Any:
        if isinstance(part, Ask):
            self.asked.append(part)
            answer = self.script.pop(0)
            return Generation(text=answer, finish_reason="stop") if isinstance(answer, str) else answer
        self.done.append((self.turn, part.name, part.arguments))
        try:
            given = part.function(*part.arguments)
            return json.loads(json.dumps(on_engine_loop(given) if inspect.iscoroutine(given) else given))
        except Exception as exc:  # as the engine does
            return EffectError(f"`{part.name}` raised {described(exc)}")


def results_in(answer: ToolAnswer) -> list[Any]:
    """What the model was told of its calls."""
    return [message["content"] for message in answer.messages if message["role"] == "tool"]
