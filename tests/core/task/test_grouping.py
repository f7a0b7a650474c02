"""Rows and groups, against a second, plain statement of the rules, over whatever rows and failures hypothesis finds."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadRequestError
from limbeck.types import Capabilities, GenerationResponse
from support.questions import METADATA, Ask, processed, response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.types import ChatType, GenerationRequest, Row

Plan: TypeAlias = list[list[str]]
"""For each row, for each sample, what becomes of it: "fine", "unreadable" or "refused"."""

REFUSED = {"type": "BadRequestError", "message": "refused", "attempts": 1}
UNREADABLE = {
    "type": "OutputError",
    "message": "`format_output` of task 'pair' raised ValueError: unreadable",
    "attempts": 1,
}


class Pair(Ask):
    """Two outputs; the text "unreadable" cannot be read."""

    @property
    def outputs(self) -> list[str]:
        return ["second", "first"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": str(input["question"])}]

    def format_output(self, output: str | None, input: Row) -> Row:
        if output == "unreadable":
            raise ValueError("unreadable")
        return {"first": output, "second": input["question"]}


class Planned:
    """Answers as planned; a row's question is its place in the plan."""

    model_name = "planned"
    max_concurrency = 1  # so that the samples of a row are asked for in their order

    def __init__(self, plan: Plan) -> None:
        self._left = [list(samples) for samples in plan]

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        left = self._left[int(str(request.messages[0].get("content")))]
        said = [left.pop(0) for _ in range(request.num_generations)]
        if "refused" in said:
            raise BadRequestError("refused")
        return response(*said)


class PlannedNatively(Planned):
    """The same, with all samples of a row in one response."""

    capabilities = Capabilities(native_n=True)
    max_concurrency = 8


def expected_rows(rows: list[Row], plan: Plan, *, grouped: bool, drop: bool, raw: bool) -> list[Row]:
    """The rules, written down once more without looking at the code."""
    result: list[Row] = []
    for row, samples in zip(rows, plan, strict=True):
        columns = [expected_sample(row, said, raw=raw) for said in samples]
        failures = [said != "fine" for said in samples]
        if grouped:
            if drop and all(failures):
                continue
            metadata = [sample.pop(METADATA, {}) for sample in columns]
            lists: Row = {name: [sample[name] for sample in columns] for name in ("second", "first")}
            if any(metadata):
                lists[METADATA] = metadata
            result.append(with_inputs(row, lists))
        else:
            result += [
                with_inputs(row, sample)
                for sample, failure in zip(columns, failures, strict=True)
                if not (drop and failure)
            ]
    return result


def expected_sample(row: Row, said: str, *, raw: bool) -> Row:
    """The outputs and the metadata of one generation."""
    fine = said == "fine"
    metadata = earlier_metadata(row)
    if raw:
        metadata["raw_output_pair"] = None if said == "refused" else said
    if not fine:
        metadata["error_pair"] = REFUSED if said == "refused" else UNREADABLE
    sample: Row = {"second": row["question"] if fine else None, "first": "fine" if fine else None}
    if metadata:
        sample[METADATA] = metadata
    return sample


def earlier_metadata(row: Row) -> Row:
    """What earlier tasks left, as one dict."""
    earlier = copy.deepcopy(row.get(METADATA) or {})
    if isinstance(earlier, list):
        names = dict.fromkeys(name for each in earlier for name in each)
        return {name: [each.get(name) for each in earlier] for name in names}
    assert isinstance(earlier, dict)
    return earlier


def with_inputs(row: Row, made: Row) -> Row:
    """The input columns first, then what was made, then the model's name."""
    kept = {name: value for name, value in row.items() if name not in ("second", "first", METADATA, "model_name")}
    return {**kept, **made, "model_name": "planned"}


_entry = st.dictionaries(st.sampled_from(["raw_output_a", "error_a", "raw_output_b"]), st.text(max_size=3), max_size=3)
_extra: Mapping[str, Any] = {
    "before": st.integers(),
    "second": st.none(),
    "model_name": st.just("an earlier model"),
    METADATA: st.one_of(st.none(), _entry, st.lists(_entry, max_size=3)),
    "nested": st.dictionaries(st.text(max_size=2), st.lists(st.integers(), max_size=2), max_size=2),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Row], Plan]:
    """Rows with any of the extra columns, around the question, in any order; and a plan for their samples."""
    samples = draw(st.integers(1, 4))
    rows: list[Row] = []
    for place in range(draw(st.integers(0, 5))):
        names = draw(st.permutations(["question", *draw(st.sets(st.sampled_from(sorted(_extra))))]))
        rows.append({name: place if name == "question" else draw(_extra[name]) for name in names})
    outcome = st.sampled_from(["fine", "fine", "unreadable", "refused"])
    return rows, [draw(st.lists(outcome, min_size=samples, max_size=samples)) for _ in rows]


def assert_same(result: list[Row], expected: list[Row]) -> None:
    assert result == expected
    assert [list(row) for row in result] == [list(row) for row in expected]


@settings(deadline=None)
@given(case=cases(), grouped=st.booleans(), drop=st.booleans(), raw=st.booleans())
def test_rows_and_groups_follow_the_rules(
    case: tuple[list[Row], Plan], *, grouped: bool, drop: bool, raw: bool
) -> None:
    rows, plan = case
    given_rows = copy.deepcopy(rows)
    task = Pair(
        llm=Planned(plan),
        num_generations=len(plan[0]) if plan else 1,
        group_generations=grouped,
        on_error="drop" if drop else "keep",
        add_raw_output=raw,
    )
    assert_same(processed(task, rows), expected_rows(rows, plan, grouped=grouped, drop=drop, raw=raw))
    assert rows == given_rows


@settings(deadline=None, max_examples=50)
@given(case=cases(), grouped=st.booleans(), drop=st.booleans())
def test_a_backend_with_native_n_makes_no_difference_but_that_a_refusal_is_of_all_samples(
    case: tuple[list[Row], Plan], *, grouped: bool, drop: bool
) -> None:
    rows, plan = case
    plan = [["refused"] * len(samples) if "refused" in samples else samples for samples in plan]
    task = Pair(
        llm=PlannedNatively(plan),
        num_generations=len(plan[0]) if plan else 1,
        group_generations=grouped,
        on_error="drop" if drop else "keep",
    )
    assert_same(processed(task, rows), expected_rows(rows, plan, grouped=grouped, drop=drop, raw=True))


@settings(deadline=None, max_examples=50)
@given(case=cases(), grouped=st.booleans())
def test_a_stream_gives_the_rows_of_process(case: tuple[list[Row], Plan], *, grouped: bool) -> None:
    rows, plan = case
    task = Pair(llm=Planned(plan), num_generations=len(plan[0]) if plan else 1, group_generations=grouped)
    assert_same(list(task.run(rows)), expected_rows(rows, plan, grouped=grouped, drop=False, raw=True))


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(
        st.one_of(st.none(), st.text(max_size=3), st.lists(st.integers(), max_size=2)), min_size=1, max_size=4
    )
)
def test_a_value_that_is_a_list_is_one_value_of_a_group(values: list[Any]) -> None:
    class Listed(Ask):
        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": values[int(output or "")]}

    class Counting(Planned):
        def __init__(self) -> None:
            super().__init__([[str(place) for place in range(len(values))]])

    task = Listed(llm=Counting(), num_generations=len(values), group_generations=True)
    (row,) = processed(task, [{"question": 0}])
    assert row["answer"] == values
