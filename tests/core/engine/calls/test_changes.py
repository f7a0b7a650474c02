"""What differs between two configurations."""

from __future__ import annotations

from limbeck._engine.calls.changes import changes


def test_changes_name_the_place_the_old_and_the_new() -> None:
    old = {"llm": {"model": "a", "timeout": 1}, "same": [1]}
    new = {"llm": {"model": "b", "timeout": 1}, "same": [1], "added": True}
    assert changes(old, new) == ['llm.model: "a" -> "b"', "added: null -> true"]
