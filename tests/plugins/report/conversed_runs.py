"""Run directories of conversations: a task that drafts, asks two judges, looks something up, and refines."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from limbeck import LLMField, Task, ask, do
from limbeck.errors import ContentFilteredError
from limbeck.testing import ScriptedLLM
from limbeck.types import ChatType, GenerationRequest, Row

NUMBER = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}


def look_up(word: str, *, lang: str = "en") -> dict[str, Any]:
    """Something outside; `broken` cannot be found."""
    if word == "broken":
        raise LookupError("no such word")
    return {"word": word, "lang": lang}


class Refine(Task):
    """Turn 1 drafts, 2.1 and 2.2 judge, 3 is an effect, and 4 goes on from the draft, for a number.

    A judge that fails is caught, and so is a fourth turn that failed.
    """

    judge: LLMField

    @property
    def inputs(self) -> list[str]:
        return ["topic"]

    @property
    def outputs(self) -> list[str]:
        return ["number"]

    def converse(self, input: Row) -> Generator[Any, Any, Row]:
        chat: ChatType = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": input["topic"]}]
        draft = yield ask(chat)
        yield [ask(f"{who} judge: {draft.text}", llm=self.judge, on_error="return") for who in ("first", "second")]
        yield do(look_up, input["topic"], lang="de")
        chat = [*chat, {"role": "assistant", "content": draft.text}, {"role": "user", "content": "Give a number."}]
        try:
            last = yield ask(chat, schema=NUMBER)
        except ContentFilteredError:
            return {"number": None}
        if input["topic"] == "thrown":
            raise ValueError("it is thrown")
        return {"number": last.parsed["number"]}


Answering = Callable[[GenerationRequest], Any]


def answer(request: GenerationRequest) -> Any:
    """Drafts and judges; the number comes with the repair. What is `filtered` is refused, at the turn that it names."""
    chat = " / ".join(str(message["content"]) for message in request.messages)
    last = str(request.messages[-1]["content"])
    if "filtered draft" in chat and len(request.messages) == 2:
        return ContentFilteredError("No draft.")
    if "filtered second" in chat and last.startswith("second judge"):
        return ContentFilteredError("No verdict.")
    if "filtered number" in chat and last == "Give a number.":
        return ContentFilteredError("No number.")
    if last == "Give a number.":
        return "Seven." if "odd" in chat else '{"number": 7}'
    if last.startswith("That answer cannot be used"):
        return "Still seven." if "very odd" in chat else '{"number": 7}'
    return f"about {last}"


def converse(folder: Path, topics: Sequence[str], *, script: Answering = answer, **more: Any) -> Path:
    """Run `Refine` over topics in the directory `folder`; gives the directory.

    Args:
        more: options of `task.run` in `run`, else fields of the task.
    """
    options = more.pop("run", {})
    llms = {"llm": ScriptedLLM(model="writer", script=script), "judge": ScriptedLLM(model="judge", script=script)}
    task = Refine(**{"name": "refine", **llms, **more})
    with task.run([{"topic": topic} for topic in topics], run_dir=folder, **options) as stream:
        list(stream)
    return folder
