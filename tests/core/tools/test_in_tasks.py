"""Tools in the conversations of tasks: what is on disk is neither asked nor done again."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from limbeck import Pipeline, Task, register_llm, register_task, register_tool
from limbeck.errors import ConfigurationError
from limbeck.testing import EchoLLM, ScriptedLLM, registry
from limbeck.tools import Tool, ToolsField, run_tools
from limbeck.types import METADATA, GenerationRequest, Row
from support.tool_talks import call, calling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Agent(Task):
    """Answers with tools."""

    tools: ToolsField
    turns: int = 8

    inputs = property(lambda self: ["question"])
    outputs = property(lambda self: ["answer", "turns"])

    def converse(self, input: Row) -> Any:
        chat: Any = [{"role": "user", "content": input["question"]}]
        answer = yield from run_tools(chat, self.tools, max_turns=self.turns)
        return {"answer": answer.text, "turns": answer.turns}


class Workshop:
    """What tools have done."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.at_once = self.most = 0
        self._lock = threading.Lock()

    def double(self, word: str) -> str:
        """Say it twice."""
        self.done[word] += 1
        if word == "stop":
            raise RuntimeError("the machine stops")
        return word * 2

    async def spell(self, word: str) -> list[str]:
        """The letters."""
        self.done[f"spell {word}"] += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return [*word]


def script(request: GenerationRequest) -> Any:
    """Calls both tools about the question, then says what they gave."""
    question = str(request.messages[0]["content"])
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    if not results:
        word = json.dumps({"word": question})
        return calling(call("double", word, id="1"), call("spell", word, id="2"))
    return " ".join(map(str, results))


def agent(shop: Workshop, llm: Any = None, **fields: Any) -> Any:
    return made(llm or script, shop.double, shop.spell, **fields)


def made(script: Any, *tools: Any, of: Any = Agent, **fields: Any) -> Any:
    """A task whose model says what a script says."""
    llm = ScriptedLLM(script=script) if callable(script) or isinstance(script, list) else script
    return of(llm=llm, tools=[*tools], **fields)


ROWS = [{"question": word} for word in ("ab", "cd", "ef")]


def test_a_model_uses_tools_about_each_row() -> None:
    shop = Workshop()
    (rows,) = agent(shop).process(ROWS)
    assert [(row["answer"], row["turns"]) for row in rows] == [
        ('abab ["a", "b"]', 2),
        ('cdcd ["c", "d"]', 2),
        ('efef ["e", "f"]', 2),
    ]
    assert sum(shop.done.values()) == 6


def test_the_same_run_again_asks_nothing_and_does_nothing(tmp_path: Path) -> None:
    first = list(agent(Workshop()).run(ROWS, run_dir=tmp_path / "run"))
    shop, llm = Workshop(), ScriptedLLM(script=script)
    again = list(agent(shop, llm).run(ROWS, run_dir=tmp_path / "run"))
    assert again == first
    assert (llm.requests, shop.done) == ([], Counter())


def test_what_a_tool_raised_is_told_and_stays_told(tmp_path: Path) -> None:
    rows = [{"question": "stop"}]
    (first,) = agent(Workshop()).run(rows, run_dir=tmp_path / "run")
    assert first["answer"] == 'Error: `double` raised RuntimeError: the machine stops ["s", "t", "o", "p"]'
    shop = Workshop()
    assert list(agent(shop).run(rows, run_dir=tmp_path / "run")) == [first]
    assert shop.done == Counter()


def test_another_tool_with_the_same_arguments_is_another_effect(tmp_path: Path) -> None:
    def shout(word: str) -> str:
        return word.upper()

    for tool, answer in [(Workshop().double, "xx"), (shout, "X")]:
        (row,) = made(partial(calls_once, tool.__name__), tool).run(ROWS[:1], run_dir=tmp_path / tool.__name__)
        assert row["answer"] == answer


def test_a_tool_that_takes_too_long_is_told_as_such() -> None:
    async def sleepy() -> str:
        await asyncio.Event().wait()
        return "never"

    def model(request: GenerationRequest) -> Any:
        last = request.messages[-1]
        return last["content"] if last["role"] == "tool" else calling(call("sleepy"))

    task = made(model, Tool(sleepy, timeout=0.05))
    ((row,),) = task.process(ROWS[:1])
    assert row["answer"] == "Error: `sleepy` did not return within 0.05 seconds."


def test_calls_of_a_tool_at_once_are_bounded_over_all_rows() -> None:
    shop = Workshop()
    task = made(script, shop.double, Tool(shop.spell, max_concurrency=2))
    (rows,) = task.process([{"question": f"w{number}"} for number in range(40)])
    assert len(rows) == 40
    assert shop.most <= 2


def test_a_conversation_without_end_is_a_failed_row() -> None:
    task = made(lambda _: calling(call("double", '{"word": "x"}')), Workshop().double, turns=3)
    ((row,),) = task.process(ROWS[:1])
    error = row[METADATA]["error_agent"]
    assert row["answer"] is None
    assert error["type"] == "TurnLimitError"
    assert "asked 3 times" in error["message"]


def test_calls_that_stay_malformed_are_a_failed_row_that_says_what_was_wrong() -> None:
    task = made(lambda _: calling(call("double", "{")), Workshop().double)
    ((row,),) = task.process(ROWS[:1])
    assert row[METADATA]["error_agent"]["type"] == "ToolError"


def test_a_model_that_takes_no_tools_is_told_before_anything_is_asked() -> None:
    with pytest.raises(ConfigurationError, match="takes none"):
        list(agent(Workshop(), EchoLLM()).process(ROWS))


def test_the_stand_in_answers_without_a_call() -> None:
    ((row,),) = agent(Workshop(), "offline").process(ROWS[:1])
    assert "no model was asked" in row["answer"]


def calls_once(tool: str, request: GenerationRequest) -> Any:
    """Calls one tool about x, then says what it gave."""
    last = request.messages[-1]
    return last["content"] if last["role"] == "tool" else calling(call(tool, '{"word": "x"}'))


class Verdict(BaseModel):
    good: bool


class Judge(Agent):
    def converse(self, input: Row) -> Any:
        chat: Any = [{"role": "user", "content": input["question"]}]
        answer = yield from run_tools(chat, self.tools, schema=Verdict)
        return {"answer": answer.parsed.good, "turns": answer.turns}


def test_a_schema_is_for_the_answer_and_not_for_the_calls() -> None:
    def model(request: GenerationRequest) -> Any:
        assert request.output_schema is not None
        asked = request.messages[-1]["role"] == "user"
        return calling(call("double", '{"word": "x"}')) if asked else '{"good": true}'

    ((row,),) = made(model, Workshop().double, of=Judge).process(ROWS[:1])
    assert (row["answer"], row["turns"]) == (True, 2)


# Sets of tools


locked: list[str] = []
"""Something, where shelves are."""


class Shelf(BaseModel):
    """A set of tools that has to be opened."""

    size: int = 1

    def load(self) -> None:
        if locked:
            raise ConfigurationError("The shelf is locked.")

    async def list_tools(self) -> list[dict[str, Any]]:
        return [{"name": "double", "description": "", "parameters": {"type": "object"}}]

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        return f"{name} {self.size} {arguments['word']}"


@pytest.fixture
def lock() -> Iterator[list[str]]:
    yield locked
    locked.clear()


def test_a_set_that_cannot_be_opened_stops_a_task_before_any_row(lock: list[str]) -> None:
    llm = ScriptedLLM(script=script)
    lock.append("the key is lost")
    with pytest.raises(ConfigurationError, match="locked"):
        list(made(llm, Shelf()).process(ROWS))
    assert llm.requests == []


def test_what_a_set_has_is_on_disk_so_that_answers_are_read_again_without_it(tmp_path: Path, lock: list[str]) -> None:
    rows = list(made(partial(calls_once, "double"), Shelf(size=2)).run(ROWS, run_dir=tmp_path / "run"))
    assert [row["answer"] for row in rows] == ["double 2 x"] * 3
    lock.append("the key is lost")
    assert list(made([], Shelf(size=2)).reparse(ROWS, run_dir=tmp_path / "run")) == rows


def test_a_task_with_tools_is_a_file_and_made_of_it_again(tmp_path: Path) -> None:
    with registry():
        register_tool("shelf", Shelf)
        register_tool("double-it", Workshop().double)
        register_task("agent", Agent)
        register_llm("scripted", ScriptedLLM)
        text = """
        name: questions
        input: [{question: a}]
        tasks:
          - task: agent
            llm: {provider: scripted, script: []}
            tools: [double-it, {tool: shelf, size: 3}]
        """
        path = tmp_path / "p.yaml"
        path.write_text(text, encoding="utf-8")
        pipeline = Pipeline.from_yaml(path)
        (task,) = [step for step in pipeline.steps.values() if isinstance(step, Agent)]
        assert task.tools[1] == Shelf(size=3)
        assert "shelf" in pipeline.to_yaml()
