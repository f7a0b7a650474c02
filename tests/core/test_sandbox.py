"""The sandbox that templates and expressions share: keys before methods, methods only when they are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Undefined

from limbeck import router
from limbeck.sandbox import columns_in, sandbox


def value_of(expression: str, **row: Any) -> Any:
    return sandbox().compile_expression(expression, undefined_to_none=False)(row)


class Record(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


PLAIN = ["text", 5, 1.5, True, [1], (1,), {"a": 1}, {1}, b"x", None, Record(a=1), date(2024, 1, 1)]


@given(st.sampled_from(PLAIN), st.data())
def test_no_method_of_any_plain_value_is_ever_given(value: Any, data: st.DataObject) -> None:
    methods = [name for name in dir(value) if callable(getattr(value, name)) and not name.startswith("_")]
    name = data.draw(st.sampled_from(methods or ["missing"]))
    for expression in (f"x.{name}", f"x['{name}']", f"x | attr('{name}')", f"[x] | map(attribute='{name}') | first"):
        assert isinstance(value_of(expression, x=value), Undefined)


@pytest.mark.parametrize("record", [{"items": 0, "get": "x"}, Record(items=0, get="x")], ids=["dict", "mapping"])
def test_a_key_is_given_whatever_its_name(record: Any) -> None:
    assert (value_of("x.items", x=record), value_of("x['get']", x=record)) == (0, "x")


def test_what_a_type_of_the_library_knows_of_itself_is_given() -> None:
    assert value_of("x.year", x=date(2024, 1, 1)) == 2024


def test_methods_can_be_called() -> None:
    assert value_of("x.isoformat()", x=date(2024, 1, 1)) == "2024-01-01"
    assert value_of("x.split(',') | map('upper') | list", x="a,b") == ["A", "B"]
    assert value_of("x.get('b', 7)", x={"get": 1}) == 7


def test_jinjas_own_objects_keep_their_attributes_and_methods() -> None:
    source = (
        "{% for x in xs %}{{ loop.index }}{{ loop.cycle('a', 'b') }}{% endfor %}{% set n = namespace(i=3) %}{{ n.i }}"
    )
    assert sandbox().from_string(source).render(xs=[1, 2]) == "1a2b3"


@pytest.mark.parametrize("key", ["items", "values", "keys"])
def test_a_route_looks_at_the_key(key: str) -> None:
    step = router(full=f"order.{key}", rest=None)
    assert step.destinations({"order": {key: []}}) == ["rest"]
    assert step.destinations({"order": {key: [1]}}) == ["full"]
    assert step.destinations({"order": {}}) == ["rest"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [("self", "S"), ("self == 'S'", True), ("[self] | first", "S"), ("self.lower()", "s"), ("x if self else 1", "X")],
)
def test_self_is_the_column_of_that_name(expression: str, value: object) -> None:
    assert value_of(expression, self="S", x="X") == value


def test_self_is_undefined_without_such_a_column_and_whatever_a_template_makes_of_it() -> None:
    assert isinstance(value_of("self"), Undefined)
    source = "{% for self in xs %}{{ self }}{% endfor %}"
    assert sandbox().from_string(source).render({"xs": [1, 2], "self": "S"}) == "12"


def rendered(source: str, **row: Any) -> str:
    return sandbox().from_string(source).render(row)


@pytest.mark.parametrize("call", ["self.title()", "self['title']()", "self.title() | upper | lower"])
def test_a_block_of_the_template_is_called_by_self(call: str) -> None:
    source = "{% block title %}of {{ x }}{% endblock %}, {{ CALL }}".replace("CALL", call)
    assert rendered(source, x="a") == "of a, of a"
    assert columns_in(sandbox().parse(source)) == ("x",)


def test_a_block_may_call_another_and_self_is_a_column_beside_it() -> None:
    source = "{% block a %}{{ self }}{% endblock %}{% block b %}{{ self.a() }}{{ self.b }}{% endblock %}"
    assert rendered(source, self={"b": 1}) == "{'b': 1}{'b': 1}1"
    assert columns_in(sandbox().parse(source)) == ("self",)


def test_self_without_a_block_of_that_name_is_a_column_beside_blocks() -> None:
    source = "{% block a %}1{% endblock %}{{ self.a() }}{{ self.b }}{{ self.upper() }}{{ self }}"
    assert rendered(source, self="s") == "11Ss"
    assert columns_in(sandbox().parse(source)) == ("self",)


def test_what_jinja_keeps_of_a_block_is_out_of_reach() -> None:
    for inside in ("_context", "__class__", "_TemplateReference__context", "_stack"):
        source = "{% block a %}{% endblock %}{{ self.a() }}[{{ self.a.INSIDE }}{{ self.INSIDE }}]".replace(
            "INSIDE", inside
        )
        assert rendered(source, self={"a": {}}) == "[]"


@pytest.mark.parametrize("name", ["self", "range", "dict", "namespace", "joiner", "cycler", "lipsum"])
def test_a_name_of_jinjas_is_looked_up_in_the_row_where_it_is_not_called(name: str) -> None:
    def columns(source: str) -> tuple[str, ...]:
        return columns_in(sandbox().parse(source))

    assert columns(f"{{{{ x }}}} {{{{ {name} }}}}") == ("x", name)
    assert columns(f"{{{{ x in {name} }}}}{{{{ {name}.y }}}}") == ("x", name)
    assert columns(f"{{% set {name} = 1 %}}{{{{ {name} }}}}") == ()
    assert value_of(name, **{name: 7}) == 7


def test_a_function_of_jinjas_that_is_called_is_no_column() -> None:
    tree = sandbox().parse("{% set n = namespace(i=0) %}{% for i in range(x) %}{{ dict(a=y) }}{% endfor %}")
    assert columns_in(tree) == ("x", "y")


@pytest.mark.parametrize(
    ("expression", "row"),
    [
        ("x ** y", {"x": 2**63, "y": 2**63}),
        ("x * y", {"x": "ab", "y": 2**40}),
        ("y * x", {"x": [1], "y": 10**9}),
        ("x ** y ** y", {"x": 9, "y": 9_999}),
    ],
)
def test_a_result_beyond_reason_is_an_error_before_it_is_computed(expression: str, row: dict[str, Any]) -> None:
    with pytest.raises(OverflowError, match="would be too large"):
        value_of(expression, **row)


def test_what_is_multiplied_within_reason_is_as_in_python() -> None:
    assert value_of("[x * 2, x ** 2, 'ab' * x, x * [1], 0.5 * x, 2 ** -x, b * x]", x=3, b=True) == [
        *(6, 9, "ababab", [1, 1, 1], 1.5, 0.125, 3)
    ]


@pytest.mark.parametrize(
    "number", [Decimal("1e999999999"), Decimal("NaN"), Decimal("-Infinity"), float("inf"), "1e999", "x"]
)
def test_what_is_no_whole_number_within_reason_is_nought_as_one(number: Any) -> None:
    assert value_of("x | int", x=number) == 0
    assert value_of("x | int(-1)", x=number) == -1


def test_a_decimal_is_a_whole_number_as_it_was() -> None:
    assert value_of("[x | int, y | int, z | int(base=16)]", x=Decimal("12.7"), y="12", z="0x10") == [12, 12, 16]
