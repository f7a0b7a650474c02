"""Running a pipeline: what comes out, of which rows, in which order, and how it can be had.

Covers `_pipeline.run.network`, `_pipeline.run.nodes.sink`, `_pipeline.run.nodes.source`, `_pipeline.run.result`,
`_pipeline.run.runner`, `_pipeline.run.streaming` and `_pipeline.directory.report`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import GeneratorStep, GeneratorTask, Pipeline, Step, hookimpl, join, router, step
from limbeck.errors import ConfigurationError, MissingColumnError, PluginContractError

from ..flows import Collect, Mark, Multiply, Reverse, Say, SayingLLM, column, load, say, texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from limbeck.types import Row


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# What comes out


def test_rows_go_through_a_chain_of_tasks_in_order() -> None:
    result = Pipeline(texts(50), say("a", llm=SayingLLM(seed=1, model="a")), say("b", to="twice")).run()
    rows = result.to_list()
    assert column(rows, "text") == [f"t{n}" for n in range(50)]
    assert column(rows, "by_a") == [f"a(t{n})" for n in range(50)]
    assert rows[3]["distilabel_metadata"] == {"raw_output_a": "a(t3)", "raw_output_b": "b(t3)"}


def test_a_pipeline_gives_the_rows_that_its_task_gives_alone() -> None:
    shapes: list[dict[str, Any]] = [{}, {"num_generations": 3}, {"num_generations": 3, "group_generations": True}]
    for fields in shapes:
        alone = next(say("a", **fields).process(texts(4)))
        assert Pipeline(texts(4), say("a", **fields)).run().to_list() == alone


def test_several_generations_are_several_rows_for_the_next_step() -> None:
    rows = Pipeline(texts(2), say("a", num_generations=2), Mark(name="m")).run().to_list()
    assert [(row["text"], row["marks"]) for row in rows] == [(f"t{n // 2}", ["m"]) for n in range(4)]


def test_a_step_may_give_none_one_or_several_rows() -> None:
    rows = [{"text": "a", "times": 0}, {"text": "b", "times": 1}, {"text": "c", "times": 3}]
    result = Pipeline(rows, Multiply()).run()
    assert [(row["text"], row["part"]) for row in result] == [("b", 0), ("c", 0), ("c", 1), ("c", 2)]


def test_branches_get_a_copy_of_each_row_and_meet_in_the_order_of_the_edges() -> None:
    with Pipeline("p") as p:
        left, right, last = Mark(name="left"), Mark(name="right"), Mark(name="last")
        load(texts(2)) >> [left, right] >> last
    assert [(row["text"], row["marks"]) for row in p.run()] == [
        ("t0", ["left", "last"]),
        ("t0", ["right", "last"]),
        ("t1", ["left", "last"]),
        ("t1", ["right", "last"]),
    ]


def test_a_router_sends_rows_where_their_condition_says() -> None:
    with Pipeline("p") as p:
        odd, even, both = Mark(name="odd"), Mark(name="even"), Mark(name="both")
        by = router(odd=lambda row: int(row["text"][1:]) % 2, both=lambda row: row["text"] == "t3", even=None)
        texts(4) >> by >> [odd, even, both]
    result = p.run()
    taken = {leaf: column(result[leaf], "text") for leaf in ("odd", "even", "both")}
    assert taken == {"odd": ["t1", "t3"], "even": ["t0", "t2"], "both": ["t3"]}


def test_a_routers_expression_reads_the_rows_columns() -> None:
    pytest.importorskip("jinja2")
    with Pipeline("p") as p:
        [{"n": 1}, {"n": 5}] >> router(high="n > 3", low=None) >> [Mark(name="high"), Mark(name="low")]
    result = p.run()
    assert (column(result["high"], "n"), column(result["low"], "n")) == ([5], [1])


def test_a_router_that_names_a_stranger_stops_the_run() -> None:
    with Pipeline("p") as p:
        texts(1) >> router(lambda _row: "nobody") >> Mark(name="m")
    with pytest.raises(ConfigurationError, match="sends row 0 to 'nobody', which does not follow it; 'm' does"):
        p.run()


def test_a_router_that_names_what_is_no_name_stops_the_run() -> None:
    with Pipeline("p") as p:
        texts(1) >> router(lambda _row: [["m"]]) >> Mark(name="m")
    with pytest.raises(ConfigurationError, match=r"sends row 0 to \['m'\], which does not follow it; 'm' does"):
        p.run()


def test_a_row_that_no_route_takes_leaves_and_is_counted() -> None:
    with Pipeline("p") as p:
        texts(3) >> router(lambda row: "m" if row["text"] == "t1" else None) >> Mark(name="m")
    result = p.run()
    assert column(result, "text") == ["t1"]
    assert (result.report["router"].rows_in, result.report["router"].rows_out) == (3, 1)


def test_a_join_makes_one_row_of_what_came_of_one() -> None:
    with Pipeline("p") as p:
        small, large = say("small", to="said"), say("large", to="said", llm=SayingLLM(seed=2, model="large"))
        load(texts(20)) >> [small, large] >> join(group=["said"])
    rows = p.run().to_list()
    assert column(rows, "said") == [[f"small(t{n})", f"large(t{n})"] for n in range(20)]
    assert column(rows, "model_name") == [["small", "large"]] * 20
    assert rows[0]["distilabel_metadata"] == {"raw_output_small": "small(t0)", "raw_output_large": "large(t0)"}


def test_a_join_takes_every_row_of_a_branch_and_none_for_a_branch_without() -> None:
    with Pipeline("p") as p:
        many, none = say("many", to="said", num_generations=2), Multiply(name="none", times=0)
        load(texts(1)) >> [many, none] >> join(group=["said"])
    (row,) = p.run()
    assert row["said"] == ["many(t0)", "many(t0)", None]


def test_rows_are_joined_by_the_row_at_which_their_branches_parted() -> None:
    with Pipeline("p") as p:
        parts, left, right = Multiply(name="parts", times=2), say("left"), say("right")
        texts(2) >> parts >> [left, right] >> join()
    assert [(row["text"], row["part"], row["by_left"], row["by_right"]) for row in p.run()] == [
        (f"t{n}", part, f"left(t{n})", f"right(t{n})") for n in range(2) for part in range(2)
    ]


def test_rows_that_differ_in_a_column_that_is_not_grouped_fail_as_data() -> None:
    with Pipeline("p") as p:
        load(texts(1)) >> [say("a", to="said"), say("b", to="said")] >> join(name="j")
    result = p.run()
    (row,) = result
    assert "differ in the column `said`" in row["distilabel_metadata"]["error_j"]["message"]
    assert result.report["j"].rows_failed == 1


def test_joins_may_be_nested() -> None:
    with Pipeline("p") as p:
        a, b, c = say("a"), say("b"), say("c")
        inner, outer = join(name="inner"), join(name="outer")
        source = load(texts(5))
        source >> [a, b] >> inner
        source >> c
        [inner, c] >> outer
    for n, row in enumerate(p.run()):
        assert (row["by_a"], row["by_b"], row["by_c"]) == (f"a(t{n})", f"b(t{n})", f"c(t{n})")


def test_a_global_step_is_given_all_rows_at_once() -> None:
    result = Pipeline(texts(300), Mark(name="m"), Reverse(), say("a")).run()
    assert column(result, "by_a") == [f"a(t{n})" for n in reversed(range(300))]


def test_the_rows_of_several_sources_come_one_source_after_the_other() -> None:
    with Pipeline("p") as p:
        first, second = load(texts(3), name="one"), load(texts(2), name="two")
        [first, second] >> Mark(name="m")
    assert column(p.run(), "text") == ["t0", "t1", "t2", "t0", "t1"]


def test_a_task_that_makes_its_own_rows_may_begin_a_pipeline() -> None:
    class Seeds(GeneratorTask):
        @property
        def outputs(self) -> list[str]:
            return ["said"]

        def seeds(self) -> list[Row]:
            return texts(3)

        def format_input(self, input: Row) -> Any:
            return [{"role": "user", "content": input["text"]}]

        def format_output(self, output: str | None, input: Row) -> Row:
            return {"said": output}

    result = Pipeline(Seeds(llm=SayingLLM()), Mark(name="m")).run()
    assert column(result, "said") == ["said(t0)", "said(t1)", "said(t2)"]


def test_mappings_rename_columns_of_plain_steps_too() -> None:
    @step(inputs=["x"], outputs=["y"])
    def double(row: Row) -> Row:
        return {**row, "y": row["x"] * 2}

    named = double(input_mappings={"x": "text"}, output_mappings={"y": "long"})
    assert Pipeline([{"text": "a"}], named).run().to_list() == [{"text": "a", "long": "aa"}]


def test_unordered_rows_are_the_same_rows() -> None:
    p = Pipeline(texts(100), say("a", llm=SayingLLM(seed=3, model="a"), num_generations=2))
    ordered, unordered = p.run().to_list(), list(p.stream(ordered=False))
    key = json.dumps
    assert sorted(map(key, ordered)) == sorted(map(key, unordered))


# How rows are given


def test_an_iterator_is_taken_as_it_is() -> None:
    assert column(Pipeline(iter(texts(3)), Mark(name="m")).run(), "text") == ["t0", "t1", "t2"]


def test_rows_may_be_given_when_it_is_run() -> None:
    p = Pipeline(Mark(name="m"), name="p")
    assert column(p.run(texts(2)), "text") == ["t0", "t1"]
    assert column(p.stream(texts(1)), "text") == ["t0"]


def test_rows_for_a_pipeline_with_sources_of_its_own_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="has sources of its own"):
        Pipeline(texts(1), Mark()).run(texts(1))


async def _slowly(rows: list[Row]) -> AsyncIterator[Row]:
    for row in rows:
        await asyncio.sleep(0)
        yield row


def test_async_iterables_are_read_on_the_callers_loop() -> None:
    async def scene() -> tuple[list[Row], list[Row]]:
        p = Pipeline(Mark(name="m"), name="p")
        result = await p.arun(_slowly(texts(3)))
        return result.to_list(), [row async for row in p.stream(_slowly(texts(2)))]

    ran, streamed = asyncio.run(scene())
    assert (column(ran, "text"), column(streamed, "text")) == (["t0", "t1", "t2"], ["t0", "t1"])


def test_an_async_iterable_without_a_loop_is_refused_and_leaves_nothing_behind() -> None:
    with pytest.raises(ConfigurationError, match=r"use `await pipeline.arun\(rows\)`"):
        Pipeline(Mark(name="m")).run(_slowly(texts(1)), run_dir="kept")
    assert Pipeline(Mark(name="m")).run(texts(1), run_dir="kept").to_list()


def test_a_source_is_read_no_further_than_rows_are_taken() -> None:
    read = 0

    def endless() -> Iterator[Row]:
        nonlocal read
        while True:
            read += 1
            yield {"text": "t"}

    with Pipeline(endless(), Mark(name="a"), Mark(name="b")).stream() as stream:
        for _ in range(10):
            next(stream)
    assert read < 20_000


def test_a_column_that_no_row_of_an_iterator_has_stops_the_run_before_a_call() -> None:
    llm = SayingLLM()
    with pytest.raises(MissingColumnError, match="on the way rows -> mark -> say"):
        Pipeline(iter([{"other": 1}] * 300), Mark(), Say(llm=llm)).run()
    assert llm.asked == []


def test_a_column_that_comes_late_is_waited_for() -> None:
    rows = [{"other": 1}] * 5 + texts(2)
    result = Pipeline(iter(rows), say("a")).run()
    assert column(result, "by_a") == [None] * 5 + ["a(t0)", "a(t1)"]
    assert result.report["a"].failures == {"RowError": 5}


def test_no_rows_are_no_error() -> None:
    assert Pipeline(iter(()), Mark(), Reverse(), say("a")).run().to_list() == []


# What a run gives


def test_each_leaf_has_its_rows_and_a_file_in_the_run_directory() -> None:
    with Pipeline("p") as p:
        load(texts(2)) >> [Mark(name="one"), Mark(name="two")]
    result = p.run(run_dir="kept")
    assert result.leaves == ["one", "two"]
    assert [
        json.loads(line) for line in Path("kept/outputs/two.jsonl").read_text(encoding="utf-8").splitlines()
    ] == list(result["two"])
    with pytest.raises(ConfigurationError, match="The pipeline has 2 leaves"):
        result.to_list()
    with pytest.raises(ConfigurationError, match=r"There is no leaf 'tow'\. Did you mean `two`"):
        result["tow"]


def test_more_rows_than_are_kept_in_memory_are_kept_all_the_same() -> None:
    rows = Pipeline(({"n": n} for n in range(25_000)), Mark(name="m")).run().to_list()
    assert column(rows, "n") == list(range(25_000))


def test_rows_beyond_those_that_cannot_be_written_to_a_file_are_kept_in_their_place() -> None:
    def rows() -> Iterator[Row]:
        for n in range(25_000):
            yield {"n": n, "lock": threading.Lock() if 15_000 < n < 16_000 else None}

    kept = Pipeline(rows(), Mark(name="m")).run().to_list()
    assert column(kept, "n") == list(range(25_000))
    assert [row["n"] for row in kept if row["lock"] is not None] == list(range(15_001, 16_000))


def test_a_stream_is_of_one_leaf() -> None:
    with Pipeline("p") as p:
        load(texts(2)) >> [Mark(name="one"), Mark(name="two")]
    with pytest.raises(ConfigurationError, match=r"has 2 leaves \(one, two\)"):
        p.stream()


def test_a_run_without_a_directory_makes_one(tmp_path: Path) -> None:
    result = Pipeline(texts(1), Mark(), name="my run").run()
    assert result.run_dir is not None
    assert result.run_dir.parent.name == "runs"
    assert result.run_dir.name.startswith("my-run-")
    noted = json.loads((result.run_dir / "run.json").read_text(encoding="utf-8"))
    assert (noted["name"], "limbeck-core" in noted["versions"]) == ("my run", True)


def test_a_run_that_cannot_begin_leaves_no_directory(tmp_path: Path) -> None:
    class Unloadable(Mark):
        def load(self) -> None:
            raise ConfigurationError("no weights")

    with pytest.raises(ConfigurationError, match="no weights"):
        Pipeline(texts(1), Unloadable()).run()
    assert list(tmp_path.iterdir()) == []


def test_a_sink_gets_the_rows_in_order_and_is_opened_first_and_closed_last() -> None:
    sink = Collect(name="out")
    result = Pipeline(texts(500), say("a", llm=SayingLLM(seed=4, model="a")), sink).run()
    assert column(sink.written, "text") == [f"t{n}" for n in range(500)]
    assert sink.events == ["open replace=False", "load", "close finished=True", "unload"]
    assert column(result, "text") == column(sink.written, "text")
    assert result.report["out"].rows_in == 500


def test_a_stream_gives_what_its_sink_has_written() -> None:
    sink = Collect()
    assert column(Pipeline(texts(3), sink).stream(), "text") == column(sink.written, "text") == ["t0", "t1", "t2"]


def test_steps_are_loaded_once_and_unloaded_even_after_a_failure() -> None:
    events: list[str] = []

    class Noting(Step):
        def load(self) -> None:
            events.append("load")

        def unload(self) -> None:
            events.append("unload")

        def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
            raise ValueError("no")

    with pytest.raises(Exception, match="no"):
        Pipeline(texts(2), Noting(on_error="raise")).run()
    assert events == ["load", "unload"]


def test_the_report_says_what_each_step_yielded() -> None:
    result = Pipeline(texts(3), say("a", num_generations=2), Mark(name="m"), name="p").run(run_dir="kept")
    report = result.report
    assert [(each.name, each.kind, each.rows_in, each.rows_out) for each in report.steps] == [
        ("rows", "source", 3, 3),
        ("a", "task", 3, 6),
        ("m", "step", 6, 6),
    ]
    assert (report.finished, report.error, report["a"].requests, report["a"].model_name) == (True, None, 6, "a")
    assert report["m"].after == ["a"]
    kept = json.loads(Path("kept/report.json").read_text(encoding="utf-8"))
    assert kept == report.to_dict()
    assert "a (task): 3 in, 6 out, 6 requests" in str(report)


def test_observers_are_told_of_every_step_of_this_run_only() -> None:
    class Watching:
        def __init__(self) -> None:
            self.heard: list[str] = []

        @hookimpl
        def limbeck_pipeline_started(self, pipeline: Any) -> None:
            self.heard.append(f"pipeline {pipeline.name} {list(pipeline.steps)}")

        @hookimpl
        def limbeck_run_started(self, run: Any) -> None:
            self.heard.append(f"{run.kind} {run.task}")

        @hookimpl
        def limbeck_pipeline_finished(self, pipeline: Any, report: Any, error: Any) -> None:
            self.heard.append(f"finished {report.finished} {error}")

    watching = Watching()
    p = Pipeline(texts(1), say("a"), Mark(name="m"), name="p")
    p.run(observers=[watching])
    p.run()
    assert sorted(watching.heard) == sorted(
        ["pipeline p ['rows', 'a', 'm']", "source rows", "task a", "step m", "finished True None"]
    )


def test_a_misspelt_hook_of_an_observer_is_refused() -> None:
    class Wrong:
        @hookimpl
        def limbeck_run_begun(self, run: Any) -> None:
            pass

    with pytest.raises(PluginContractError, match="limbeck_run_begun"):
        Pipeline(texts(1), Mark()).run(observers=[Wrong()])


def test_what_a_source_declares_is_what_the_rows_are_checked_against() -> None:
    class Declaring(GeneratorStep):
        @property
        def outputs(self) -> list[str]:
            return ["other"]

        def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:
            raise AssertionError("nothing is to be read")

    with pytest.raises(MissingColumnError):
        Pipeline(Declaring(), say("a")).run()
