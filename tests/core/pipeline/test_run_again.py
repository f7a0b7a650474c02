"""Running one pipeline more than once, or where its steps are made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, step
from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


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
