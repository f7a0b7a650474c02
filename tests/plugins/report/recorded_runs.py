"""Run directories to look at: made by real runs of a task that asks a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from limbeck import Task
from limbeck.errors import BadRequestError, ContentFilteredError
from limbeck.testing import ScriptedLLM
from limbeck.types import ChatType, Generation, GenerationRequest, GenerationResponse, Row, Usage

Answering = Callable[[GenerationRequest], Any]


class Ask(Task):
    """Asks `question`, after a system prompt; an answer that begins with `unreadable` cannot be read."""

    @property
    def inputs(self) -> list[str]:
        return ["question"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": input["question"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        if (output or "").startswith("unreadable"):
            raise ValueError("no answer in it")
        return {"answer": output}


def answer(request: GenerationRequest) -> Any:
    """An answer of 20 tokens to a prompt of 10; refuses what begins with `bad` or `filtered`."""
    question = str(request.messages[-1]["content"])
    if question.startswith("bad"):
        return BadRequestError("It is bad.")
    if question.startswith("filtered"):
        return ContentFilteredError("It is filtered.")
    text = question if question.startswith("unreadable") else f"about {question}"
    usage = Usage(input_tokens=10, output_tokens=20, cached_tokens=4, reasoning_tokens=5)
    return GenerationResponse(
        generations=[Generation(text=text, finish_reason="stop")], usage=usage, model="scripted-2026"
    )


def record(
    folder: Path, questions: Sequence[str | Row], *, script: Answering = answer, run: Any = None, **fields: Any
) -> Path:
    """Run `Ask` over the questions in the directory `folder`; gives the directory.

    Args:
        questions: each a row, or its `question`. run: options of `task.run`. fields: of the task.
    """
    rows = [{"question": each} if isinstance(each, str) else each for each in questions]
    task = Ask(**{"name": "ask", "llm": ScriptedLLM(script=script), **fields})
    with task.run(rows, run_dir=folder, **(run or {})) as stream:
        list(stream)
    return folder


def step_record(name: str, kind: str, after: Sequence[str] = (), **figures: Any) -> dict[str, Any]:
    """A step as `report.json` has it; what is not given is 0."""
    counts = dict.fromkeys(
        ("rows_in", "rows_out", "rows_failed", "requests", "reused", "retries", "rate_limited", "input_tokens"), 0
    )
    counts |= dict.fromkeys(("output_tokens", "cached_tokens", "reasoning_tokens"), 0)
    rest: dict[str, Any] = {"failures": {}, "cost": None, "seconds": 0.5, "model_name": None}
    return {"name": name, "kind": kind, "after": list(after), **counts, **rest, **figures}


def write_report(folder: Path, steps: Sequence[dict[str, Any]], **facts: Any) -> None:
    """Write a `report.json` as a pipeline does at its end; it ended in the far future, unless told otherwise."""
    report = {
        "version": 1,
        "pipeline": "preference",
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 3.0e9,
        "finished": True,
        "error": None,
        "steps": list(steps),
    }
    (folder / "report.json").write_text(json.dumps({**report, **facts}), encoding="utf-8")
