"""Conditions and values computed from a row: by an expression, which is never code, or a function."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from limbeck import Pipeline
from limbeck.errors import ConfigurationError, MissingColumnError, RowError
from limbeck_data import FilterRows, MapRows

from .rows import through


class Point(NamedTuple):
    """A value of a row that stays what it is."""

    x: int


ROWS = [{"score": 4, "topic": "a"}, {"score": 4, "topic": "c"}, {"score": 2, "topic": "a"}]


def test_rows_go_through_for_which_an_expression_is_true() -> None:
    assert through(FilterRows(condition='score > 3 and topic in ["a", "b"]'), ROWS) == ROWS[:1]


def test_rows_go_through_for_which_a_function_is_true() -> None:
    assert through(FilterRows(condition=lambda row: row["score"] > 3), ROWS) == ROWS[:2]


def test_the_columns_of_an_expression_are_what_the_step_needs() -> None:
    assert FilterRows(condition="a.x > b[0] | length and c is defined and (d | default(1)) < 2").inputs == {
        "a": True,
        "b": True,
        "c": False,
        "d": False,
    }
    assert FilterRows(condition=lambda row: row["a"]).inputs == {}


@pytest.mark.parametrize("name", ["self", "range", "dict", "joiner"])
def test_a_column_may_have_a_name_of_jinjas(name: str) -> None:
    row = {name: "S"}
    step = MapRows(columns={"b": name})
    assert step.inputs == {name: True}
    assert through(step, [row]) == [{**row, "b": "S"}]
    assert through(FilterRows(condition=f'{name} == "S"'), [row, {name: "T"}]) == [row]
    with pytest.raises(MissingColumnError, match=f"needs the column `{name}`"):
        Pipeline([{"x": 1}], FilterRows(condition=name)).check()


@pytest.mark.parametrize("condition", ["score >", "score }} {{ 1", "import os", ""])
def test_what_is_no_expression_is_refused_when_the_step_is_made(condition: str) -> None:
    with pytest.raises(ConfigurationError, match="`condition` is not an expression"):
        FilterRows(condition=condition)


@pytest.mark.parametrize("condition", ["score.__class__.__mro__", "''.__class__.__mro__", "topic.format.__globals__.x"])
def test_an_expression_cannot_reach_into_the_interpreter(condition: str) -> None:
    with pytest.raises(RowError, match=r"SecurityError|UndefinedError"):
        through(FilterRows(condition=f"({condition}) == 1"), ROWS)


def test_a_row_of_the_wrong_type_is_an_error_of_that_row() -> None:
    with pytest.raises(
        RowError,
        match=r"`condition` cannot be computed: TypeError: '>' not .* \(in 'score > 3', `score` holds NoneType\)",
    ):
        through(FilterRows(condition="score > 3"), [{"score": None}])


def test_columns_are_computed_from_the_row_as_it_came() -> None:
    step = MapRows(columns={"score": "score * 10", "twice": "score * 2", "loud": lambda row: row["topic"].upper()})
    assert through(step, ROWS[:1]) == [{"score": 40, "topic": "a", "twice": 8, "loud": "A"}]
    assert (step.inputs, step.outputs) == ({"score": True}, ["score", "twice", "loud"])


def test_what_jinja_makes_lazily_is_a_list_in_the_row() -> None:
    assert through(MapRows(columns={"up": "tags | map('upper')"}), [{"tags": ["x", "y"]}])[0]["up"] == ["X", "Y"]


def test_an_expression_that_gives_nothing_is_an_error_of_its_row() -> None:
    with pytest.raises(RowError, match="The expression for the column 'x' gives nothing"):
        through(MapRows(columns={"x": "of.missing"}), [{"of": {}}])


def test_a_column_that_is_no_expression_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigurationError, match="The column 'x' is not an expression"):
        MapRows(columns={"x": "1 +"})


@pytest.mark.parametrize("key", ["items", "values", "keys", "copy", "get"])
def test_a_key_with_the_name_of_a_method_is_the_key(key: str) -> None:
    rows: list[dict[str, Any]] = [{"of": {key: []}}, {"of": {key: [1]}}]
    assert through(FilterRows(condition=f"of.{key}"), rows) == rows[1:]
    assert through(FilterRows(condition=f"of['{key}'] | length == 0"), rows) == rows[:1]
    assert [row["x"] for row in through(MapRows(columns={"x": f"of.{key}"}), rows)] == [[], [1]]


@pytest.mark.parametrize("expression", ["of.items", "of['items']", "of | attr('items')", "text.title", "list.count"])
def test_a_method_is_neither_true_nor_a_value(expression: str) -> None:
    row: dict[str, Any] = {"of": {"a": 1}, "text": "x", "list": [1]}
    assert through(FilterRows(condition=expression), [row]) == []
    with pytest.raises(RowError, match="gives nothing"):
        through(MapRows(columns={"x": expression}), [row])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("of.items()", [("items", 1)]),
        ("of.values()", [1]),
        ("text.upper()", "<A>"),
        ("text | e", "&lt;a&gt;"),
        ("of | tojson", '{"items": 1}'),
        ("text | tojson", '"<a>"'),
    ],
)
def test_what_a_call_or_a_filter_gives_is_a_plain_value(expression: str, value: object) -> None:
    (row,) = through(MapRows(columns={"x": expression}), [{"of": {"items": 1}, "text": "<a>"}])
    assert row["x"] == value
    assert type(row["x"]) in (str, list)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("range(3)", [0, 1, 2]),
        ("[of.items()]", [[("a", 1)]]),
        ('{"u": ks | map("string")}', {"u": ["1", "2"]}),
        ('{"u": [{"v": ks | select("odd")}, range(1)]}', {"u": [{"v": [1]}, [0]]}),
        ("ks | batch(1)", [[1], [2]]),
        ("(ks | map('string'), 1)", (["1", "2"], 1)),
        ("[[of] | groupby('a')]", [[(1, [{"a": 1}])]]),
        ("[text | e]", ["&lt;"]),
        ("{(text | e): text | e}", {"&lt;": "&lt;"}),
        ("[other]", [Point(1)]),
    ],
)
def test_what_is_lazy_or_marked_is_plain_at_any_depth(expression: str, value: object) -> None:
    row = {"ks": [1, 2], "of": {"a": 1}, "text": "<", "other": Point(1)}
    (made,) = through(MapRows(columns={"x": expression}), [row])
    assert repr(made["x"]) == repr(value)  # Jinja's own types are equal to Python's


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("{'u': [y, none_such]}", "nothing"),
        ("[[range]]", "a function"),
        ("{'u': y.real}", "nothing"),
        ("cycler(1, 2)", "a Cycler"),
        ("[namespace(a=1)]", "a Namespace"),
    ],
)
def test_what_no_row_can_hold_is_an_error_of_its_row_at_any_depth(expression: str, what: str) -> None:
    with pytest.raises(RowError, match=f"The expression for the column 'x' gives {what}"):
        through(MapRows(columns={"x": expression}), [{"y": 1}])


@pytest.mark.parametrize("expression", ["range", "dict"])
def test_a_function_of_jinja_is_no_value(expression: str) -> None:
    with pytest.raises(RowError, match="gives a function"):
        through(MapRows(columns={"x": expression}), [{"y": 1}])


def test_a_list_with_something_missing_in_it_is_an_error_of_its_row() -> None:
    with pytest.raises(RowError, match="gives nothing"):
        through(MapRows(columns={"x": "of | map(attribute='items')"}), [{"of": [{"items": 1}, {"a": 1}]}])
