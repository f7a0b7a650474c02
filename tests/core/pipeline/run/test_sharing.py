"""Who works when: processes for what is bound to the CPU, one window for all tasks of an LLM, room for the rows.

Covers `_pipeline.run.items.outlets`, `_pipeline.run.items.processing` and `_pipeline.run.items.spill`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import PrivateAttr

from limbeck import LLM, Pipeline, Step, router, step
from limbeck._pipeline.run.items.lineage import Item, Origin
from limbeck._pipeline.run.items.spill import SpillingQueue
from limbeck.errors import ConfigurationError
from limbeck.testing.llms import respond

from ..flows import Crunch, Mark, SayingLLM, column, load, say, texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.types import GenerationRequest, GenerationResponse, Row


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@step()
def tag_in_place(row: Row) -> Row:
    row["tags"].append("tagged")
    row["deep"][0]["tagged"] = True
    return row


@step()
def tag_and_fail(row: Row) -> Row:
    row["tags"].append("half done")
    raise ValueError("no")


@step(all_rows=True)
def tag_all_in_place(rows: list[Row]) -> list[Row]:
    for row in rows:
        row["tags"].append("tagged")
    return rows


def tagless(count: int) -> list[Row]:
    """Rows with lists and dicts in them."""
    return [{"text": f"t{n}", "tags": [], "deep": [{}]} for n in range(count)]


@pytest.mark.parametrize("changing", [tag_in_place, tag_and_fail, tag_all_in_place])
def test_what_a_step_changes_in_place_no_other_branch_sees_nor_the_source(changing: Any) -> None:
    rows = tagless(50)
    with Pipeline("branches") as pipeline:
        load(rows) >> [changing(name="first"), Mark(name="marks"), changing(name="last")]
    result = pipeline.run()
    assert [{**row, "marks": ["marks"]} for row in tagless(50)] == list(result["marks"])
    assert rows == tagless(50)


def test_a_step_that_changes_its_row_in_place_passes_the_change_on() -> None:
    rows = Pipeline(tagless(2), tag_in_place(), tag_in_place(name="again")).run().to_list()
    assert column(rows, "tags") == [["tagged", "tagged"]] * 2


def test_samples_of_one_row_are_changed_each_for_itself() -> None:
    rows = Pipeline(tagless(1), say("a", num_generations=3), tag_in_place()).run().to_list()
    assert column(rows, "tags") == [["tagged"]] * 3


def test_a_function_of_a_router_changes_nothing() -> None:
    def change(row: Row) -> str:
        row["text"] = "changed"
        row["tags"].append("routed")
        return "m"

    with Pipeline("routed") as pipeline:
        load(tagless(1)) >> router(change) >> [Mark(name="m"), Mark(name="n")]
    assert list(pipeline.run()["m"]) == [{**tagless(1)[0], "marks": ["m"]}]


def test_a_row_on_which_a_step_fails_half_way_is_kept_as_it_came() -> None:
    result = Pipeline(tagless(1), tag_and_fail()).run()
    assert (column(result, "tags"), [row["tags"] for row in result.failed]) == ([[]], [[]])


def test_a_step_that_is_bound_to_the_cpu_works_in_other_processes_and_keeps_the_order() -> None:
    rows = Pipeline(texts(200), Crunch(name="c"), Mark(name="m")).run().to_list()
    assert column(rows, "text") == [f"t{n}" for n in range(200)]
    assert os.getpid() not in column(rows, "process")
    assert all(column(rows, "was_loaded"))


def test_a_row_that_fails_in_another_process_fails_as_data() -> None:
    rows = Pipeline([{"text": "t0"}, {"text": "raise"}], Crunch(name="c")).run().to_list()
    assert rows[1]["process"] is None
    assert rows[1]["distilabel_metadata"]["error_c"]["message"] == "Step 'c' raised ValueError: cannot crunch it"


def test_a_process_that_dies_stops_the_run_and_is_told() -> None:
    with pytest.raises(ConfigurationError, match="The step 'c' could not be run: BrokenProcessPool"):
        Pipeline([{"text": "die"}], Crunch(name="c")).run()


def test_a_step_that_cannot_be_sent_to_another_process_is_told_before_a_row_moves() -> None:
    class Local(Crunch):
        pass

    with pytest.raises(ConfigurationError, match=r"The step 'local' is `cpu_bound`, and cannot be sent"):
        Pipeline(texts(1), Local()).run()


class _CountingLLM(LLM):
    """Answers when the loop has gone round; notes how many requests it had at once, and from whom."""

    _now: int = PrivateAttr(default=0)
    _most: int = PrivateAttr(default=0)
    _order: list[str] = PrivateAttr(default_factory=list)

    @property
    def model_name(self) -> str:
        return "counting"

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        import asyncio

        self._now += 1
        self._most = max(self._most, self._now)
        prompt = str(request.messages[-1]["content"])
        self._order.append("second" if prompt.startswith("answer") else "first")
        await asyncio.sleep(0)
        self._now -= 1
        return respond(f"answer to {prompt}")


def test_tasks_of_the_same_llm_share_its_window_in_turn() -> None:
    llm = _CountingLLM(max_concurrency=4)
    second = say("second", llm=llm)
    second.input_mappings["text"] = "by_first"
    Pipeline(texts(400), say("first", llm=llm), second).run()
    assert llm._most <= 4
    assert 50 <= llm._order[:400].count("second") <= 250


def test_rows_beyond_a_queues_capacity_are_kept_and_come_in_order() -> None:
    root = Origin("source").next_root()
    line = SpillingQueue(3)
    given: list[Row] = [{"n": n, "text": "x" * 1000} for n in range(50)]
    taken: list[Any] = []
    for place, row in enumerate(given):
        line.put(Item(root, str(place), (), row))
        if place % 3 == 2:
            taken.append(line.get())
    while len(line):
        taken.append(line.get())
    line.close()
    assert [(item.id, item.row) for item in taken] == [(str(row["n"]), row) for row in given]


def test_a_slow_step_gives_its_rows_on_one_by_one() -> None:
    import time

    class Slow(Step):
        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            time.sleep(0.03)
            yield inputs

    llm = SayingLLM()
    with Pipeline(texts(1000), Slow(), say("a", llm=llm)).stream() as stream:
        next(stream)
        assert len(llm.asked) < 500
