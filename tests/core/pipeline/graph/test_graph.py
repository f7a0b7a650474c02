"""Building a pipeline: what can be joined to what, and what is wrong before a row has moved.

Covers `_pipeline.graph.columns`, `_pipeline.graph.drawing`, `_pipeline.graph.kinds`, `_pipeline.graph.layout` and
`_pipeline.pipeline`.
"""

from __future__ import annotations

from typing import Any

import pytest

from limbeck import Pipeline, join, router
from limbeck._pipeline.graph.graph import Graph
from limbeck._pipeline.run.options import PipelineOptions
from limbeck._pipeline.run.streaming import PipelineStream
from limbeck.errors import ConfigurationError, MissingColumnError
from limbeck.steps import LoadDataFromDicts

from ..flows import Collect, Mark, Multiply, Reverse, Say, SayingLLM, say, texts


def load(**fields: Any) -> LoadDataFromDicts:
    return LoadDataFromDicts(data=texts(2), **fields)


def test_steps_made_in_the_block_join_the_pipeline_and_arrows_make_edges() -> None:
    with Pipeline("p") as p:
        first, left, right, last = load(name="first"), Mark(name="left"), Mark(name="right"), Collect(name="last")
        first >> [left, right] >> last
    assert list(p.steps) == ["first", "left", "right", "last"]
    assert p.edges == [("first", "left"), ("first", "right"), ("left", "last"), ("right", "last")]


def test_the_list_form_is_a_chain() -> None:
    p = Pipeline(load(name="a"), Mark(name="b"), Collect(name="c"), name="chain")
    assert (p.name, p.edges, p.leaves) == ("chain", [("a", "b"), ("b", "c")], ["c"])


def test_rows_before_a_step_become_a_source() -> None:
    with Pipeline("p") as p:
        texts(3) >> Mark(name="mark")
    assert p.edges == [("rows", "mark")]
    assert p.steps["rows"].outputs == ["text"]


def test_a_step_outside_a_block_belongs_to_no_pipeline() -> None:
    with Pipeline("p") as p:
        pass
    Mark(name="stray")
    assert p.steps == {}


def test_an_arrow_outside_a_block_says_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r"`>>` joins steps inside `with Pipeline\(…\):`"):
        Mark(name="a") >> Mark(name="b")


def test_an_unnamed_repeat_gets_a_name_of_its_own() -> None:
    p = Pipeline(load(), Mark(), Mark(), Mark())
    assert list(p.steps) == ["load-data-from-dicts", "mark", "mark-2", "mark-3"]


def test_two_steps_of_the_same_given_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="has a step named 'a' already"):
        Pipeline(load(), Mark(name="a"), Mark(name="a"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Pipeline(name="empty"), "has no steps"),
        (lambda: Pipeline(Mark(name="a"), Mark(name="b")), "Nothing leads to the step 'a', and it is no source"),
        (lambda: Pipeline(load(), 7), "not from `int`"),
        (lambda: Pipeline({"text": "one"}, Mark()), "not from one row"),
        (lambda: Pipeline(load(name="a"), load(name="b")), "'b' is a source: it takes no rows"),
        (lambda: Pipeline(load(), Collect(name="s"), Mark(name="b")), "'s' is a sink: it gives no rows on"),
        (lambda: Pipeline(load(), join(name="j")), "The join 'j' has 1 branch to join"),
        (lambda: Pipeline(load(), router(hard="text"), Mark(name="soft")), "has a route to 'hard', which does not"),
    ],
)
def test_what_is_wrong_is_told(build: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build().check()


def test_a_step_connected_to_nothing_is_told() -> None:
    p = Pipeline(load(), Mark(name="a"))
    p.add(Mark(name="orphan"))
    with pytest.raises(ConfigurationError, match="'orphan' of the pipeline 'pipeline' is connected to nothing"):
        p.check()


def test_a_circle_is_told_with_its_steps() -> None:
    p = Pipeline(load(name="a"), Mark(name="b"), Mark(name="c"))
    p.connect(p.steps["c"], p.steps["b"])
    with pytest.raises(ConfigurationError, match=r"goes in a circle: (b -> c -> b|c -> b -> c)"):
        p.check()


def test_an_edge_is_made_once() -> None:
    p = Pipeline(load(name="a"), Mark(name="b"))
    with pytest.raises(ConfigurationError, match="'a' leads to 'b' already"):
        p.connect(p.steps["a"], p.steps["b"])


def test_a_missing_column_is_told_with_the_whole_way() -> None:
    p = Pipeline(load(), Mark(name="mark"), say("one"), Say(name="two", llm=SayingLLM(), input_mappings={"text": "by"}))
    with pytest.raises(MissingColumnError) as caught:
        p.check()
    assert "needs the column `by`" in str(caught.value)
    assert "on the way load-data-from-dicts -> mark -> one -> two" in str(caught.value)
    assert caught.value.path == ["load-data-from-dicts", "mark", "one", "two"]


def test_a_column_that_only_one_branch_adds_is_missing_where_they_meet() -> None:
    with Pipeline("p") as p:
        left, right = say("left"), Mark(name="right")
        load(name="load") >> [left, right]
        [left, right] >> Say(name="next", llm=SayingLLM(), input_mappings={"text": "by_left"})
    with pytest.raises(MissingColumnError, match="on the way load -> right -> next"):
        p.check()


def test_a_join_has_the_columns_of_all_branches() -> None:
    with Pipeline("p") as p:
        left, right = say("left"), say("right")
        load() >> [left, right] >> join() >> Say(name="n", llm=SayingLLM(), input_mappings={"text": "by_right"})
    p.check()


def test_dropped_columns_are_gone() -> None:
    class Drop(Mark):
        @property
        def dropped(self) -> list[str]:
            return ["text"]

    with pytest.raises(MissingColumnError, match="needs the column `text`"):
        Pipeline(load(), Drop(), say("one")).check()


def test_a_join_of_rows_of_different_sources_is_refused() -> None:
    with Pipeline("p") as p:
        [load(name="a"), load(name="b")] >> join(name="j")
    with pytest.raises(ConfigurationError, match="'j' puts together again what came of one row"):
        p.run(run_dir=None)


def test_a_pipeline_is_drawn_as_mermaid() -> None:
    p = Pipeline(load(name='a"b'), say("one"), Reverse(), Collect(name="out"))
    assert p.draw() == (
        "flowchart LR\n"
        '    s0(["a#34;b"])\n'
        '    s1[["one"]]\n'
        '    s2[/"reverse"/]\n'
        '    s3[("out")]\n'
        "    s0 --> s1\n"
        "    s1 --> s2\n"
        "    s2 --> s3\n"
    )


@pytest.mark.workspace
def test_a_pipeline_is_drawn_as_svg() -> None:
    pytest.importorskip("networkx")
    pytest.importorskip("matplotlib")
    picture = Pipeline(load(name="first"), Multiply(name="second", times=2)).draw("svg")
    assert picture.startswith("<?xml")
    assert all(f"<!-- {name} -->" in picture for name in ("first", "second"))


def test_an_unknown_format_of_a_picture_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'mermaid' or 'svg', not as 'png'"):
        Pipeline(load(), Mark()).draw("png")


def test_a_condition_that_is_no_expression_is_told_with_its_place() -> None:
    pytest.importorskip("jinja2")
    with pytest.raises(ConfigurationError, match=r"The route to 'hard' is not an expression: .* \(in 'a >'\)"):
        router(hard="a >")


def test_a_router_needs_routes_or_a_function() -> None:
    with pytest.raises(ConfigurationError, match="either `routes`"):
        router()


def test_a_graph_runs_without_a_pipeline_around_it() -> None:
    graph = Graph(name="bare")
    graph.connect(load(name="load"), Mark(name="mark"))
    graph.check()
    assert len(list(PipelineStream(graph, None, PipelineOptions()))) == 2


def test_a_pipeline_that_was_read_can_be_built_on() -> None:
    p = Pipeline.from_dict({"steps": [{"step": "load-data-from-dicts", "data": texts(2)}]})
    with p:
        p.steps["load-data-from-dicts"] >> Mark(name="mark")
    assert (type(p), p.leaves) == (Pipeline, ["mark"])
