"""A run directory that is used again: no answer is bought twice, and the output is the same.

Covers `_pipeline.directory.run_folder`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from limbeck import Pipeline, Step, join, router, task
from limbeck.errors import RowFailedError
from limbeck.testing import replay

from ..flows import Mark, Multiply, SayingLLM, column, load, say, texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.types import Row


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def branched(rows: list[Row], llm: SayingLLM) -> Pipeline:
    """Fan-out, router and fan-in."""
    with Pipeline("branched") as p:
        parts = Multiply(name="parts", times=2)
        a, b, c = (say(name, llm=llm, to="said") for name in "abc")
        chosen = router(a=lambda row: row["part"] == 0, b=lambda row: row["text"] != "t3", c=None)
        (
            load(rows)
            >> parts
            >> Mark(name="marks")
            >> chosen
            >> [a, b, c]
            >> join(group=["said"])
            >> say("last", llm=llm)
        )
    return p


def test_a_finished_run_is_made_again_without_a_call() -> None:
    first, second = SayingLLM(seed=1), SayingLLM(seed=2)
    before = branched(texts(20), first).run(run_dir="kept").to_list()
    result = branched(texts(20), second).run(run_dir="kept")
    assert result.to_list() == before
    assert (len(first.asked) > 20, second.asked) == (True, [])
    assert result.report["last"].reused == result.report["last"].rows_in


def test_a_run_that_was_stopped_goes_on_where_it_was() -> None:
    undisturbed = SayingLLM(seed=1)
    whole = branched(texts(30), undisturbed).run().to_list()
    first, second = SayingLLM(seed=1), SayingLLM(seed=2)
    with branched(texts(30), first).stream(run_dir="kept") as stream:
        for _ in range(7):
            next(stream)
    resumed = branched(texts(30), second).run(run_dir="kept").to_list()
    assert resumed == whole
    assert len(undisturbed.asked) <= len(first.asked) + len(second.asked)
    assert len(first.asked) + len(second.asked) <= len(undisturbed.asked) + first.max_concurrency


def test_only_rows_that_are_new_are_asked_for() -> None:
    Pipeline(texts(5), say("a"), say("b")).run(run_dir="kept")
    llm = SayingLLM(model="a")
    rows = [{"text": "new"}, *texts(5)]
    result = Pipeline(rows, say("a", llm=llm), say("b")).run(run_dir="kept")
    assert llm.asked == ["new"]
    assert column(result, "by_b") == [f"b({row['text']})" for row in rows]


class Drawn(Step):
    """Adds a random number; dear, so it is stored."""

    stored: ClassVar[bool] = True
    calls: ClassVar[list[str]] = []

    @property
    def outputs(self) -> list[str]:
        return ["drawn"]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            self.calls.append(row["text"])
            yield [{**row, "drawn": random.random()}]


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    Drawn.calls.clear()


def test_a_stored_steps_results_are_taken_from_the_ledger() -> None:
    before = Pipeline(texts(10), Drawn()).run(run_dir="kept").to_list()
    Drawn.calls.clear()
    result = Pipeline(texts(10), Drawn()).run(run_dir="kept")
    assert (result.to_list(), Drawn.calls, result.report["drawn"].reused) == (before, [], 10)


def test_a_new_version_of_a_step_is_run_again_and_so_is_what_depends_on_it() -> None:
    class Suffix(Step):
        stored = True

        @property
        def outputs(self) -> list[str]:
            return []

        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            for row in inputs:
                yield [{**row, "text": row["text"] + self.version}]

    class Newer(Suffix):
        version = "2"

    Newer.__qualname__ = Suffix.__qualname__
    Pipeline(texts(3), say("a"), Suffix(name="s"), say("b")).run(run_dir="kept")
    first, second = SayingLLM(model="a"), SayingLLM(model="b")
    rows = Pipeline(texts(3), say("a", llm=first), Newer(name="s"), say("b", llm=second)).run(run_dir="kept").to_list()
    assert (first.asked, sorted(second.asked)) == ([], ["t02", "t12", "t22"])
    assert column(rows, "by_b") == ["b(t02)", "b(t12)", "b(t22)"]


def test_equal_rows_keep_their_own_stored_results() -> None:
    before = Pipeline([{"text": "same"}] * 5, Drawn()).run(run_dir="kept").to_list()
    assert len(set(column(before, "drawn"))) == 5
    assert Pipeline([{"text": "same"}] * 5, Drawn()).run(run_dir="kept").to_list() == before


def test_a_result_that_json_would_change_is_made_again() -> None:
    class Tuples(Drawn):
        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            for row in inputs:
                self.calls.append(row["text"])
                yield [{**row, "drawn": (1, 2)}]

    for _ in range(2):
        assert column(Pipeline(texts(1), Tuples()).run(run_dir="kept"), "drawn") == [(1, 2)]
    assert Tuples.calls == ["t0", "t0"]


def test_failed_rows_are_tried_again_and_written_down_anew() -> None:
    class Moody(Mark):
        broken: ClassVar[bool] = True

        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            if self.broken and inputs[0]["text"] == "t1":
                raise ValueError("not today")
            yield from super().process(inputs)

    llm = SayingLLM(model="a")
    first = Pipeline(texts(3), say("a", llm=llm), Moody(name="moody")).run(run_dir="kept")
    failed = first.failed
    Moody.broken = False
    second = Pipeline(texts(3), say("a", llm=llm), Moody(name="moody")).run(run_dir="kept")
    assert (len(failed), second.failed, len(llm.asked)) == (1, [], 3)


def test_a_run_that_a_row_stopped_keeps_the_answers_it_has() -> None:
    class Strict(Mark):
        fine: ClassVar[bool] = False

        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            if not self.fine and inputs[0]["text"] == "t2":
                raise ValueError("stop")
            yield from super().process(inputs)

    llm = SayingLLM(model="a")
    with pytest.raises(RowFailedError):
        Pipeline(texts(3), say("a", llm=llm), Strict(on_error="raise")).run(run_dir="kept")
    Strict.fine = True
    assert len(Pipeline(texts(3), say("a", llm=llm), Strict(on_error="raise")).run(run_dir="kept").to_list()) == 3
    assert len(llm.asked) == 3


def test_a_pipeline_is_replayed_without_its_models() -> None:
    before = branched(texts(5), SayingLLM(seed=1)).run(run_dir="kept").to_list()
    silent = SayingLLM()
    with replay("kept"):
        replayed = list(branched(texts(5), silent).stream())
    assert (replayed, silent.asked) == (before, [])


def test_what_was_made_from_a_run_directory_is_replaced_by_a_run_in_it(tmp_path: Path) -> None:
    from ..flows import Collect

    class File(Collect):
        def targets(self) -> list[str]:
            return [str(tmp_path / "out.jsonl")]

    first, second, stranger = File(), File(), File()
    Pipeline(texts(1), say("a"), first).run(run_dir="kept")
    Pipeline(texts(1), say("a"), second).run(run_dir="kept")
    Pipeline(texts(1), say("a"), stranger).run(run_dir="other")
    opened: list[Any] = [sink.events[0] for sink in (first, second, stranger)]
    assert opened == ["open replace=False", "open replace=True", "open replace=False"]


class TagInPlace(Step):
    """Changes the list in its row; stored."""

    stored: ClassVar[bool] = True

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            row["tags"].append("tagged")
            yield [row]


def test_the_results_of_a_step_that_changes_its_rows_in_place_are_found_again() -> None:
    def run() -> Any:
        return Pipeline([{"tags": []} for _ in range(3)], TagInPlace(name="tag")).run(run_dir="kept")

    first, second = run(), run()
    assert (first.report["tag"].reused, second.report["tag"].reused) == (0, 3)
    assert first.to_list() == second.to_list() == [{"tags": ["tagged"]}] * 3


def test_a_branch_that_changes_its_rows_in_place_has_nothing_asked_for_twice() -> None:
    @task(inputs=["tags"], outputs=["said"])
    def count_tags(row: Row) -> str:
        return str(len(row["tags"]))

    def run() -> SayingLLM:
        llm = SayingLLM(seed=3)
        with Pipeline("branches") as pipeline:
            load([{"tags": []} for _ in range(20)]) >> [TagInPlace(name="tag"), count_tags(name="count", llm=llm)]
        pipeline.run(run_dir="kept")
        return llm

    assert (run().asked, run().asked) == (["0"] * 20, [])
