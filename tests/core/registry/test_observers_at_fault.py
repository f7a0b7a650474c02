"""Observers that do what they should not: it is told whose they are, and the run is as it would be without them.

Covers `_registry.shown` and `_engine.calls.watched`.
"""

from __future__ import annotations

import sqlite3
import textwrap
from typing import TYPE_CHECKING

import pytest

from support.children import said_by

if TYPE_CHECKING:
    from pathlib import Path

SCENE = """
import asyncio, warnings
warnings.simplefilter("always")
from limbeck import Pipeline, hookimpl, register_plugin, step
from limbeck.testing import EchoLLM, ScriptedLLM
from limbeck.errors import RateLimitError, TransientError
from limbeck._registry.registry import default_registry
from support.questions import Ask, questions

class Odd:
    @hookimpl
    {kind} {hook}(self, {arguments}):
        {act}

{how}
print("rows", *[row["answer"] for row in rows])
for problem in default_registry().report.all():
    print("problem", problem)
"""
TASK = "register_plugin(Odd())\nrows = list(Ask(llm=EchoLLM()).run(questions(5), run_dir='run'))"
PIPELINE = "rows = Pipeline(questions(5), Ask(llm=EchoLLM())).run(run_dir='run', observers=[Odd()]).to_list()"


def seen(folder: Path, hook: str, arguments: str, act: str, *, how: str = TASK, kind: str = "def") -> list[str]:
    act = textwrap.indent(textwrap.dedent(act).strip(), " " * 8).strip()
    program = SCENE.format(hook=hook, arguments=arguments, act=act, how=how, kind=kind)
    said = said_by(program, folder).splitlines()
    assert "rows 0 1 2 3 4" in said, said
    return [line for line in said if line.startswith("problem")]


HOOKS = {
    "limbeck_run_started": "run",
    "limbeck_run_finished": "run, stats, error",
    "limbeck_request_started": "run, request",
    "limbeck_request_finished": "run, request, response",
    "limbeck_rows_written": "run, rows",
    "limbeck_pipeline_started": "pipeline",
    "limbeck_pipeline_finished": "pipeline, report",
}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_of_one_run_that_is_cancelled_ends_no_run_and_is_named(hook: str, tmp_path: Path) -> None:
    (problem,) = seen(tmp_path, hook, HOOKS[hook], "raise asyncio.CancelledError", how=PIPELINE)
    assert "Odd" in problem
    assert hook in problem
    assert "CancelledError" in problem


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit(3)", "GeneratorExit"])
def test_an_observer_that_leaves_ends_no_run_and_is_named(error: str, tmp_path: Path) -> None:
    (problem,) = seen(tmp_path, "limbeck_rows_written", "rows", f"raise {error}")
    assert error.split("(", maxsplit=1)[0] in problem


def test_a_price_that_interrupts_ends_no_run(tmp_path: Path) -> None:
    act = """
        import threading
        if threading.current_thread() is not threading.main_thread():
            raise KeyboardInterrupt
    """
    seen(tmp_path, "limbeck_price", "model", act)


def test_an_observer_that_is_async_is_told_of_once(tmp_path: Path) -> None:
    (problem,) = seen(tmp_path, "limbeck_request_started", "request", "pass", kind="async def")
    assert "make it a plain `def`" in problem


CHANGES = {
    "request": ("limbeck_request_started", "run, request", "request.messages.clear(); request.parameters['n'] = 3"),
    "request, before it is stored": (
        "limbeck_request_finished",
        "run, request, response",
        "request.messages[0]['content'] = '***'; response.generations.clear()",
    ),
    "rows": ("limbeck_rows_written", "run, rows", "rows[0]['answer'] = '***'; rows.clear()"),
    "report": ("limbeck_pipeline_finished", "pipeline, report", "report.steps.clear()"),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("how", [TASK, PIPELINE], ids=["task", "pipeline"])
def test_what_an_observer_changes_is_its_own_copy(what: str, how: str, tmp_path: Path) -> None:
    hook, arguments, act = CHANGES[what]
    assert seen(tmp_path, hook, arguments, act, how=how) == []
    with sqlite3.connect(next((tmp_path / "run").glob("*ledger*"))) as ledger:
        assert "***" not in "".join(ledger.iterdump())


def test_the_error_of_a_row_is_not_an_observers_to_change(tmp_path: Path) -> None:
    how = """
register_plugin(Odd())
llm = ScriptedLLM(script=[TransientError("down"), *"01234"], max_attempts=1)
first, *rows = list(Ask(llm=llm, on_error="keep").run([{"question": "first"}, *questions(5)], run_dir="run"))
assert first["distilabel_metadata"]["error_ask"]["message"] == "down", first
assert first["question"] == "first"
"""
    act = "error.args = ('***',); error.usage = 7; row['question'] = '***'"
    assert seen(tmp_path, "limbeck_row_failed", "row, error", act, how=how) == []


@pytest.mark.parametrize(
    "act", ["run.stats.rows_out = 7", "run.stats = None", "del run.stats.cost", "run.stats.count_cost(7.0)"]
)
def test_the_counters_of_a_run_can_only_be_read(act: str, tmp_path: Path) -> None:
    (problem,) = seen(tmp_path, "limbeck_rows_written", "run", act, how=PIPELINE)
    assert "Error" in problem
