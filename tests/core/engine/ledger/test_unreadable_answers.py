"""Stored answers that a task cannot read: read anew first, and asked for again where that does not help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline
from limbeck.errors import LimbeckWarning, RowFailedError
from limbeck.testing import ScriptedLLM
from support.questions import METADATA, Ask, questions

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row


class Number(Ask):
    """Takes numbers alone.

    Attributes:
        base: of the numbers; how an answer is read does not change what is asked.
    """

    base: int = 10

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": int(output or "", self.base)}


def run(run_dir: Path, *script: Any, rows: int = 3, **fields: Any) -> tuple[list[Any], int, int]:
    """The answers, how many requests they took, and how many were taken from the ledger."""
    llm = ScriptedLLM(script=list(script), max_concurrency=1)
    with Number(llm=llm, name="ask", **fields).run(questions(rows), run_dir=run_dir) as stream:
        answers = [row["answer"] for row in stream]
    return answers, stream.stats.requests, stream.stats.reused


def test_the_same_call_again_asks_for_what_could_not_be_read_until_it_can(tmp_path: Path) -> None:
    assert run(tmp_path, "1", "one", "3") == ([1, None, 3], 3, 0)
    assert run(tmp_path, "two") == ([1, None, 3], 1, 2)
    assert run(tmp_path, "2") == ([1, 2, 3], 1, 2)
    assert run(tmp_path) == ([1, 2, 3], 0, 3)


def test_what_can_be_read_now_is_not_bought_again(tmp_path: Path) -> None:
    run(tmp_path, "1", "ff", "3")
    with pytest.warns(LimbeckWarning, match="base: 10 -> 16"):
        assert run(tmp_path, base=16) == ([1, 255, 3], 0, 3)


def test_of_several_samples_those_that_cannot_be_read_are_asked_for(tmp_path: Path) -> None:
    assert run(tmp_path, "1", "two", "3", rows=1, num_generations=3) == ([1, None, 3], 3, 0)
    assert run(tmp_path, "2", rows=1, num_generations=3) == ([1, 2, 3], 1, 2)


def test_a_run_that_stops_at_the_first_failure_comes_past_it(tmp_path: Path) -> None:
    with pytest.raises(RowFailedError):
        run(tmp_path, "one", rows=1, on_error="raise")
    assert run(tmp_path, "1", rows=1, on_error="raise") == ([1], 1, 0)


def test_an_answer_is_read_once_a_run(tmp_path: Path) -> None:
    seen = []

    class Counting(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            seen.append(output)
            return {"answer": output}

    for script in (["a", "b"], []):
        seen.clear()
        llm = ScriptedLLM(script=script, max_concurrency=1)
        list(Counting(llm=llm, name="ask").run(questions(2), run_dir=tmp_path))
        assert seen == ["a", "b"]


def test_reparse_and_a_re_run_of_others_leave_it_failed(tmp_path: Path) -> None:
    run(tmp_path, "one", rows=1)
    task = Number(llm=ScriptedLLM(script=[], max_concurrency=1), name="ask")
    for stream in (
        task.reparse(questions(1), run_dir=tmp_path),
        task.rerun(questions(1), run_dir=tmp_path, where="finish_reason = 'length'"),
    ):
        (row,) = stream
        assert row[METADATA]["error_ask"]["type"] == "OutputError"


def test_the_answers_of_a_cache_that_cannot_be_read_are_asked_for(tmp_path: Path) -> None:
    run(tmp_path / "first", "one", rows=1)
    stream = Number(llm=ScriptedLLM(script=["1"]), name="ask").run(
        questions(1), run_dir=tmp_path / "second", cache=tmp_path / "first"
    )
    assert [row["answer"] for row in stream] == [1]


def test_a_pipeline_asks_for_them_too(tmp_path: Path) -> None:
    def made(*script: str) -> list[Any]:
        with Pipeline("numbers") as pipeline:
            questions(2) >> Number(name="ask", llm=ScriptedLLM(script=list(script), max_concurrency=1))
        return [row["answer"] for row in pipeline.run(run_dir=tmp_path)]

    assert made("1", "two") == [1, None]
    assert made("2") == [1, 2]
