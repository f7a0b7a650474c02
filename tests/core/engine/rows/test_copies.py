"""A copy of a row shares nothing with it that could be changed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limbeck._engine.rows.copies import own_row

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sets(st.integers()),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts) | st.tuples(parts, parts),
)


def containers(value: Any) -> list[Any]:
    """Every dict, list and set in a value, however deep."""
    own = [value] if isinstance(value, dict | list | set) else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return own + [each for part in parts for each in containers(part)]


@given(st.dictionaries(st.text(), values))
def test_a_copy_is_equal_and_holds_no_container_of_the_row(row: dict[str, Any]) -> None:
    copy = own_row(row)
    assert copy == row
    assert not {id(each) for each in containers(copy)} & {id(each) for each in containers(row)}


def test_a_value_that_holds_itself_is_copied_once() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    copy = own_row({"ring": ring})["ring"]
    assert copy is not ring
    assert (copy[0], copy[1] is copy) == (1, True)


def test_what_is_nested_beyond_reason_is_shared_rather_than_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert own_row({"deep": deep})["deep"] is deep
    while deep:  # taken apart by hand: the interpreter would do it recursively
        deep = deep.pop()


def test_objects_that_are_no_containers_stay_the_same() -> None:
    thing = object()
    assert own_row({"parts": [thing]})["parts"][0] is thing
