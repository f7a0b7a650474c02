"""Any graph gives the rows that a plain reading of it gives, in the same order, however long its answers take.

Covers `_pipeline.run.items.lineage`, `_pipeline.run.nodes.global_step`, `_pipeline.run.nodes.in_order` and
`_pipeline.run.nodes.join`.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck import GeneratorTask, GlobalStep, Pipeline, Task, join, router
from limbeck._pipeline.graph.layout import regions_of
from limbeck.errors import ConfigurationError

from ..flows import First, Mark, Multiply, Reverse, SayingLLM, column, load, say, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row

KINDS = ["mark", "multiply", "say", "grouped", "route", "join", "reverse"]


def number(row: Row) -> int:
    """A number that depends on what the row has been through."""
    shown = {name: value for name, value in row.items() if name != "distilabel_metadata"}
    return zlib.crc32(repr(sorted(shown.items())).encode())


@st.composite
def graphs(draw: Any) -> Pipeline:
    """A pipeline of one or two sources and up to seven steps, each after one or two of those before it."""
    p = Pipeline(name="any")
    sources = [p.add(load(texts(draw(st.integers(0, 4))), name=f"source{n}")) for n in range(draw(st.integers(1, 2)))]
    placed: list[Any] = list(sources)
    for place in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(KINDS))
        most = min(2, len(placed)) if kind != "join" else 2
        before = draw(st.lists(st.sampled_from(range(len(placed))), min_size=1, max_size=most, unique=True))
        made = _made(draw, kind, f"{kind}{place}", len(before))
        for each in before:
            p.connect(placed[each], made)
        placed.append(made)
    for name in [name for name in p.steps if name.startswith("route")]:
        _follow_routes(p, name)
    return p


def _made(draw: Any, kind: str, name: str, branches: int) -> Any:
    if kind == "multiply":
        return Multiply(name=name, times=draw(st.integers(0, 3)))
    if kind in ("say", "grouped"):
        llm = SayingLLM(model=name, seed=draw(st.integers(0, 99)))
        return say(name, llm=llm, num_generations=draw(st.integers(1, 3)), group_generations=kind == "grouped")
    if kind == "reverse":
        return Reverse(name=name)
    if kind == "route":
        return router(lambda _row: [], name=name)
    return join(name=name) if kind == "join" and branches > 1 else Mark(name=name)


def _follow_routes(p: Pipeline, name: str) -> None:
    """Have a router send each row to some of those that follow it, by what the row holds."""
    following = p.after(name)
    p.steps[name].function = lambda row: [to for place, to in enumerate(following) if number(row) >> place & 1]


def read_plainly(p: Pipeline) -> dict[str, list[Row]]:
    """What each leaf gives: one root after another, one step after another, with nothing at the same time."""
    leaves: dict[str, list[Row]] = {name: [] for name in p.leaves}
    given: dict[str, list[Row]] = defaultdict(list)
    for origin, region in regions_of(p.steps, p.edges).items():
        step = p.steps[origin]
        rows = next(step.process(given[origin]), []) if isinstance(step, GlobalStep) else list(step.data)
        for row in rows:
            arrived = _through(p, origin, row, parts=region.parts)
            for name in region.exits:
                whole = isinstance(p.steps[name], GlobalStep) and name != origin
                (given[name] if whole else leaves[name]).extend(arrived[name])
    return leaves


def _through(p: Pipeline, origin: str, row: Row, parts: Any) -> dict[str, list[Row]]:
    """What came of one root, at each exit, in order."""
    steps = p.steps
    waiting: dict[str, list[tuple[tuple[int, ...], dict[str, Any], str, Row]]] = defaultdict(list)
    waiting[origin] = [((), {}, "", row)]
    out: dict[str, list[tuple[tuple[int, ...], Row]]] = defaultdict(list)
    for name, step in steps.items():
        items = sorted(waiting[name], key=lambda item: item[0])
        if isinstance(step, GlobalStep) and name != origin:
            out[name] = [(order, each) for order, _, _, each in items]
            continue
        if hasattr(step, "joined"):
            items = _joined(p, name, items)
        for order, parted, _, each in items:
            made = [each] if name == origin or hasattr(step, "joined") else _made_of(step, each)
            for place, result in enumerate(made):
                at = order if len(made) == 1 else (*order, place)
                marked = dict(parted)
                marked |= {join: (at, marked, result) for join, where in parts.items() if where == name}
                names = step.destinations(result) if hasattr(step, "destinations") else p.after(name)
                for to in names:
                    number = p.before(to).index(name)
                    meets = len(p.before(to)) > 1 and not hasattr(steps[to], "joined")
                    waiting[to].append(((number, *at) if meets else at, marked, name, dict(result)))
                if not p.after(name):
                    out[name].append((at, result))
    return {name: [each for _, each in sorted(found, key=lambda found: found[0])] for name, found in out.items()} | {
        name: [] for name in [*p.leaves, *steps] if name not in out
    }


def _joined(p: Pipeline, name: str, items: list[Any]) -> list[Any]:
    groups: dict[tuple[int, ...], list[Any]] = defaultdict(list)
    for item in items:
        groups[item[1][name][0]].append(item)
    made = []
    for group in groups.values():
        order, parted, row = group[0][1][name]
        branches = [[each[3] for each in group if each[2] == before] for before in p.before(name)]
        try:
            joined = p.steps[name].joined(row, branches)
        except ValueError as exc:
            error = {"type": "RowError", "message": f"Join {name!r}: {exc}.", "attempts": 0}
            joined = {**row, "distilabel_metadata": {**row.get("distilabel_metadata", {}), f"error_{name}": error}}
        made.append((order, parted, "", joined))
    return made


def _made_of(step: Any, row: Row) -> list[Row]:
    if hasattr(step, "destinations"):
        return [row]
    if isinstance(step, Task):
        return next(step.process([row]))
    return [each for chunk in step.process([dict(row)]) for each in chunk]


@given(p=graphs())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_graph_gives_what_a_plain_reading_gives(p: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        p.check()
    except ConfigurationError:
        return  # a join of several sources, a router that leads nowhere
    result = p.run(run_dir=tmp_path_factory.mktemp("run"))
    expected = read_plainly(p)
    assert {name: list(result[name]) for name in p.leaves} == expected


@pytest.fixture
def _own_directory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_own_directory")
def test_a_step_that_needs_it_gets_its_rows_in_their_order() -> None:
    llm = SayingLLM(seed=7)
    result = Pipeline(texts(200), say("a", llm=llm, num_generations=2), First(n=21), Mark(name="m")).run()
    assert column(result, "text") == [f"t{n // 2}" for n in range(21)]


@pytest.mark.usefixtures("_own_directory")
def test_rows_of_a_second_source_wait_for_those_of_the_first() -> None:
    with Pipeline("p") as p:
        one, two = load(texts(5), name="one"), load([{"text": "late"}] * 5, name="two")
        one >> say("a", llm=SayingLLM(seed=1)) >> First(n=7, name="first")
        p.connect(two, p.steps["first"])
    assert column(p.run(), "text") == ["t0", "t1", "t2", "t3", "t4", "late", "late"]


@pytest.mark.usefixtures("_own_directory")
def test_what_leads_only_to_a_step_that_wants_no_more_is_stopped() -> None:
    read = 0

    def endless() -> Any:
        nonlocal read
        while True:
            read += 1
            yield {"text": f"t{read}"}

    llm = SayingLLM()
    result = Pipeline(endless(), say("a", llm=llm), First(n=3)).run()
    assert (column(result, "text"), result.report.finished) == (["t1", "t2", "t3"], True)


@pytest.mark.usefixtures("_own_directory")
def test_the_seeds_of_a_task_that_leads_only_to_a_step_that_wants_no_more_are_stopped() -> None:
    drawn = 0

    class Endless(GeneratorTask):
        @property
        def outputs(self) -> list[str]:
            return ["said"]

        def seeds(self) -> Iterator[Row]:
            nonlocal drawn
            while True:
                drawn += 1
                yield {"text": f"t{drawn}"}

        def format_input(self, input: Row) -> Any:
            return [{"role": "user", "content": input["text"]}]

        def format_output(self, output: str | None, input: Row) -> Row:
            return {"said": output}

    result = Pipeline(Endless(llm=SayingLLM()), First(n=3)).run()
    assert (column(result, "said"), result.report.finished) == (["said(t1)", "said(t2)", "said(t3)"], True)
    assert drawn < 10_000


@pytest.mark.usefixtures("_own_directory")
def test_what_leads_elsewhere_too_goes_on() -> None:
    with Pipeline("p") as p:
        load(texts(3000)) >> [First(n=2, name="first"), Mark(name="all")]
    result = p.run()
    assert (len(list(result["first"])), len(list(result["all"]))) == (2, 3000)


@pytest.mark.usefixtures("_own_directory")
def test_the_columns_of_a_source_are_renamed_as_it_says() -> None:
    source = load([{"a": 1}], output_mappings={"a": "b"})
    assert Pipeline(source, Mark(name="m")).run().to_list() == [{"b": 1, "marks": ["m"]}]
