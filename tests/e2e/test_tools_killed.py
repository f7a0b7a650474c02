"""Conversations with tools, killed in their midst and gone on with: what is on disk is neither asked nor done again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.anthropic_server import Answer, anthropic_server, check_body, thinking, tool_use
from support.command import environment, read_rows
from support.openai_server import answer, openai_server
from support.tool_chats import call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.provider_server import Asked, ProviderServer

ROWS = 200
WINDOW = 8
PATIENCE = 100
KILLS = 2
UNDER_WAY = 2 * 8  # of each tool, at the most

# An agent with two tools, each of which writes down what it does before it answers.
PROGRAM = '''
import json, os, sys
from pathlib import Path
from limbeck import Task
from limbeck.tools import ToolsField, run_tools, tool

DONE = Path(os.environ["DONE"])

def note(text):
    with DONE.open("a") as done:
        done.write(text + "\\n")

@tool
def population(city: str) -> int:
    """The number of people in a city."""
    note(f"population {city}")
    return int(city.removeprefix("City ")) * 1000

@tool
async def weather(city: str, day: str = "today") -> dict[str, str]:
    """The weather in a city."""
    note(f"weather {city}")
    if city.endswith("7"):
        raise LookupError("no station there")
    return {"sky": "clear", "city": city}

class Agent(Task):
    tools: ToolsField = [population, weather]
    inputs = property(lambda self: ["city"])
    outputs = property(lambda self: ["report", "turns"])

    def converse(self, input):
        chat = [{"role": "user", "content": f"Report on {input['city']}"}]
        answer = yield from run_tools(chat, self.tools, tool_choice="%CHOICE%")
        return {"report": answer.text, "turns": answer.turns}

if __name__ == "__main__":
    folder, output = sys.argv[1:]
    from limbeck_%MODULE% import %LLM%
    llm = %LLM%(model="m", base_url=os.environ["URL"], api_key="k-123456789", max_concurrency=%WINDOW%%MORE%)
    rows = ({"city": f"City {number}"} for number in range(%ROWS%))
    lines = [json.dumps(row) for row in Agent(llm=llm).run(rows, run_dir=folder)]
    Path(output).write_text("\\n".join(lines) + "\\n")
'''


class Script:
    """What the model says: it asks for both tools, then for the weather once more, and then reports.

    Attributes:
        asked: the conversations, by how far they were. left: answers until the process is to be killed.
    """

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        self.left = -1
        self.reached = threading.Event()

    def turn(self, question: str, results: list[str]) -> tuple[str, int]:
        """The city, and how often the model has answered before."""
        place = question.removeprefix("Report on "), len(results)
        self.asked[place] += 1
        self.left -= 1
        if self.left == 0:
            self.reached.set()
        return place

    def report(self, results: list[str]) -> str:
        return " | ".join(results)


def openai_script(script: Script) -> Any:
    def reply(asked: Asked) -> Any:
        messages = asked.body["messages"]
        results = [message["content"] for message in messages if message["role"] == "tool"]
        city, before = script.turn(messages[0]["content"], results)
        given = json.dumps({"city": city})
        if before == 0:
            calls = [call("c1", "population", given), call("c2", "weather", given)]
        elif before == 2:
            calls = [call("c1", "weather", json.dumps({"city": city, "day": "tomorrow"}))]
        else:
            return answer(script.report(results))(asked)
        return answer(None, finish_reason="tool_calls", tool_calls=calls)(asked)

    return reply


def anthropic_script(script: Script) -> Any:
    def reply(asked: Asked) -> Any:
        turns = asked.body["messages"]
        blocks = [block for turn in turns if turn["role"] == "user" for block in turn["content"] if block != turn]
        results = [block["content"] for block in blocks if isinstance(block, dict) and block["type"] == "tool_result"]
        city, before = script.turn(turns[0]["content"], results)
        if before == 0:
            calls = [tool_use("c1", "population", city=city), tool_use("c2", "weather", city=city)]
            return Answer(blocks=[thinking(f"About {city}."), *calls])
        if before == 2:
            return Answer(blocks=[thinking("And then?"), tool_use("c3", "weather", city=city, day="tomorrow")])
        return Answer(script.report(results))

    return reply


def endless(server: ProviderServer, reply: Any) -> None:
    server.plain = reply  # type: ignore[method-assign]  # every answer is the script's


@contextmanager
def provider(name: str, script: Script) -> Iterator[tuple[str, str]]:
    """A provider's server; gives its URL, and the program that asks it."""
    facts = {
        "openai": ("OpenAILLM", "required", ""),
        "anthropic": (
            "AnthropicLLM",
            "auto",
            ', generation_kwargs={"thinking": {"type": "enabled", "budget_tokens": 1024}}',
        ),
    }
    llm, choice, more = facts[name]
    values = {"CHOICE": choice, "MODULE": name, "LLM": llm, "WINDOW": WINDOW, "ROWS": ROWS, "MORE": more}
    program = PROGRAM
    for key, value in values.items():
        program = program.replace(f"%{key}%", str(value))
    if name == "openai":
        with openai_server() as server:
            endless(server, openai_script(script))
            yield server.url, program
    else:
        # The SDK's types take seconds to be read, which the first answers would seem to take.
        check_body({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
        with anthropic_server() as other:
            endless(other, anthropic_script(script))
            yield other.url, program


class Runs:
    """Runs of the program in one folder."""

    def __init__(self, folder: Path, url: str, program: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.program = folder / "agent.py"
        self.program.write_text(program, encoding="utf-8")
        self.done = folder / "done.txt"
        self.done.touch()
        self._url = url

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(self.program), str(self.folder / "run"), str(self.folder / "out.jsonl")]
        variables = {"URL": self._url, "DONE": str(self.done), "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(command, env=environment(**variables), cwd=self.folder)

    def finish(self) -> list[dict[str, Any]]:
        """The rows of a run that is let to its end, without what is of the ledger alone."""
        assert self.start().wait(PATIENCE) == 0
        return [{**row, "distilabel_metadata": None} for row in read_rows(self.folder / "out.jsonl")]

    def effects(self) -> Counter[str]:
        """What the tools have done, by tool and city."""
        return Counter(self.done.read_text(encoding="utf-8").splitlines())

    def stored(self) -> tuple[int, int]:
        """How many answers and effects are on disk; what a killed process left is not touched."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder / "run", copy)
        with closing(sqlite3.connect(copy / "ledger.sqlite")) as ledger:
            calls = ledger.execute("SELECT count(*) FROM calls WHERE error IS NULL").fetchone()[0]
            return calls, ledger.execute("SELECT count(*) FROM effects").fetchone()[0]


@pytest.mark.timeout(300)  # seven processes
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_an_agent_killed_in_the_middle_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    script = Script()
    with provider(name, script) as (url, program):
        undisturbed = Runs(tmp_path / "undisturbed", url, program).finish()
        assert len(undisturbed) == ROWS
        assert {row["turns"] for row in undisturbed} == {3}
        assert "LookupError: no station there" in undisturbed[17]["report"]
        whole = Counter(script.asked)
        assert set(whole.values()) == {1}

        runs = Runs(tmp_path / "killed", url, program)
        script.asked.clear()
        for _ in range(KILLS):
            script.left = ROWS
            script.reached.clear()
            process = runs.start()
            assert script.reached.wait(PATIENCE)
            process.send_signal(signal.SIGKILL)
            process.wait()
        answers, effects = runs.stored()
        assert 0 < answers < 3 * ROWS
        assert 0 < effects < 3 * ROWS
        bought, did = sum(script.asked.values()), sum(runs.effects().values())
        assert bought - answers <= KILLS * WINDOW
        script.left = -1
        assert runs.finish() == undisturbed

    assert script.asked.keys() == whole.keys()
    assert sum(script.asked.values()) - bought == 3 * ROWS - answers
    # What failed, and no conversation went past, is tried again, as is what was under way.
    assert 0 <= sum(runs.effects().values()) - did - (3 * ROWS - effects) <= UNDER_WAY
    assert did - effects <= KILLS * UNDER_WAY
    assert len(runs.effects()) == 2 * ROWS
