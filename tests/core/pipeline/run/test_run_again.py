"""Running one pipeline more than once, or where its steps are made."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import PrivateAttr

from limbeck import Pipeline, Step, step
from limbeck.errors import ConfigurationError
from support.questions import PATIENCE, run_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from limbeck.types import Row


@step()
def keep(row: Any) -> Any:
    return row


def numbers(count: int) -> list[Any]:
    return [{"n": number} for number in range(count)]


def test_a_pipeline_runs_inside_the_block_that_builds_it(tmp_path: Path) -> None:
    with Pipeline("inside") as pipeline:
        numbers(3) >> keep()
        assert pipeline.run(run_dir=tmp_path).to_list() == numbers(3)
    assert list(pipeline.steps) == ["rows", "keep"]


def test_rows_given_to_a_run_inside_the_block_do_not_become_a_part_of_the_pipeline(tmp_path: Path) -> None:
    with Pipeline("inside") as pipeline:
        keep()
        assert pipeline.run(iter(numbers(3)), run_dir=tmp_path).to_list() == numbers(3)
    assert list(pipeline.steps) == ["keep"]


def test_a_step_made_behind_a_run_joins_the_block_all_the_same(tmp_path: Path) -> None:
    with Pipeline("inside") as pipeline:
        numbers(1) >> (first := keep())
        pipeline.run(run_dir=tmp_path)
        first >> keep(name="second")
    assert list(pipeline.steps) == ["rows", "keep", "second"]


def test_a_list_is_a_source_as_often_as_it_is_asked(tmp_path: Path) -> None:
    pipeline = Pipeline(numbers(3), keep())
    assert pipeline.run(run_dir=tmp_path).to_list() == pipeline.run(run_dir=tmp_path).to_list() == numbers(3)


def test_an_iterator_that_is_used_up_is_told_and_costs_no_output(tmp_path: Path) -> None:
    pipeline = Pipeline(iter(numbers(3)), keep())
    pipeline.run(run_dir=tmp_path)
    before = (tmp_path / "outputs" / "keep.jsonl").read_bytes()
    with pytest.raises(ConfigurationError, match=r"The rows of 'rows' come from an iterator, and an earlier run"):
        pipeline.run(run_dir=tmp_path)
    assert (tmp_path / "outputs" / "keep.jsonl").read_bytes() == before


def test_an_async_iterator_that_is_used_up_is_told(tmp_path: Path) -> None:
    async def arriving() -> AsyncIterator[Any]:
        for row in numbers(3):
            yield row

    async def run_twice() -> None:
        pipeline = Pipeline(arriving(), keep())
        assert (await pipeline.arun(run_dir=tmp_path)).to_list() == numbers(3)
        with pytest.raises(ConfigurationError, match="come from an iterator"):
            await pipeline.arun(run_dir=tmp_path)

    asyncio.run(run_twice())


def test_a_run_that_could_not_begin_leaves_its_directory_free(tmp_path: Path) -> None:
    class Unable(keep):  # type: ignore[misc,valid-type]  # `@step` gives a class that is made at run time
        def load(self) -> None:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Pipeline(numbers(1), Unable()).run(run_dir=tmp_path)
    assert Pipeline(numbers(1), keep()).run(run_dir=tmp_path).to_list() == numbers(1)


class Unloaded(Step):
    """Says when it is unloaded, which is when a run is over but for its report, and has that wait for who reads it.

    Attributes:
        pipe: where the report is written before it takes its place.
    """

    pipe: str

    _unloaded: threading.Event = PrivateAttr(default_factory=threading.Event)

    @property
    def unloaded(self) -> threading.Event:
        return self._unloaded

    def unload(self) -> None:
        os.mkfifo(self.pipe)
        self._unloaded.set()

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield inputs


def begin_elsewhere(folder: Path) -> str:
    """What another process says that begins a run in `folder`."""
    program = (
        "import sys; from limbeck import Pipeline, step; from limbeck.errors import LedgerError\n"
        "try: Pipeline([{'n': 1}], step()(lambda row: row)(name='keep')).run(run_dir=sys.argv[1])\n"
        "except LedgerError as exc: print(exc)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout


def test_no_other_run_can_begin_in_the_directory_before_the_report_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "report.new"
    kept = Unloaded(name="kept", pipe=str(pipe))
    running = run_in_thread(lambda: Pipeline(numbers(3), kept, name="first").run(run_dir=tmp_path))
    assert kept.unloaded.wait(PATIENCE)
    said = begin_elsewhere(tmp_path)
    report = json.loads(pipe.read_text(encoding="utf-8"))
    running.join(PATIENCE)
    assert "Another process is running in" in said
    assert (report["pipeline"], report["finished"], running.is_alive()) == ("first", True, False)
