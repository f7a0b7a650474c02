"""Rows that are done before their turn: held in memory up to a budget, beyond it in a file."""

from __future__ import annotations

import errno
import gc
import io
import tempfile
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from limbeck._engine.rows.reorder import ReorderBuffer

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row

# A row weighs 256, and its text its length.
SMALL = 256 + 1


def row(text: str = "x") -> list[Row]:
    return [{"text": text}]


def test_rows_come_back_by_index_in_whatever_order_they_came() -> None:
    buffer = ReorderBuffer()
    for index in (3, 1, 2):
        buffer.put(index, row(str(index)))
    assert 2 in buffer
    assert 0 not in buffer
    assert [buffer.pop(index) for index in (1, 2, 3)] == [row("1"), row("2"), row("3")]
    assert len(buffer) == 0


def test_it_iterates_in_order_over_memory_and_file() -> None:
    buffer = ReorderBuffer(budget=2 * SMALL)
    for index in (5, 2, 9, 1):
        buffer.put(index, row())
    assert buffer.spilled == 2
    assert list(buffer) == [1, 2, 5, 9]
    assert len(buffer) == 4
    buffer.close()


def test_within_the_budget_nothing_is_written() -> None:
    buffer = ReorderBuffer(budget=3 * SMALL)
    for index in range(3):
        buffer.put(index, row())
    assert buffer.spilled == 0


def test_beyond_the_budget_rows_go_to_a_file_and_come_back_equal() -> None:
    value: Row = {"text": "é\ud800", "n": 1.5, "none": None, "nested": {"list": [1, ("a", b"b")]}, "": True}
    buffer = ReorderBuffer(budget=0)
    buffer.put(0, [value, {}])
    buffer.put(1, [])
    assert buffer.spilled == 1
    assert buffer.pop(0) == [value, {}]
    assert buffer.pop(1) == []
    buffer.close()


def test_memory_that_was_given_back_is_used_again() -> None:
    buffer = ReorderBuffer(budget=SMALL)
    buffer.put(0, row())
    buffer.put(1, row())
    assert buffer.spilled == 1
    buffer.pop(0)
    buffer.put(2, row())
    assert buffer.spilled == 1
    assert [buffer.pop(index) for index in (1, 2)] == [row(), row()]
    buffer.close()


def test_a_long_text_counts_by_its_length() -> None:
    buffer = ReorderBuffer(budget=10_000)
    buffer.put(0, row("x" * 20_000))
    buffer.put(1, row("x" * 5_000))
    assert buffer.spilled == 1
    assert buffer.pop(0) == row("x" * 20_000)
    buffer.close()


def test_the_file_does_not_grow_from_one_slow_row_to_the_next() -> None:
    buffer = ReorderBuffer(budget=0)
    for _ in range(3):
        for index in range(100):
            buffer.put(index, row("x" * 100))
        size = buffer._file.seek(0, 2) if buffer._file is not None else 0
        assert 10_000 < size < 40_000
        for index in range(100):
            buffer.pop(index)
        assert buffer._file is not None
        assert buffer._file.seek(0, 2) == 0
    buffer.close()


def test_a_row_that_cannot_be_pickled_stays_in_memory() -> None:
    buffer = ReorderBuffer(budget=0)
    value = [{"text": "x", "call": lambda: 7}]
    buffer.put(0, value)
    assert buffer.spilled == 0
    assert buffer.pop(0) is value


def test_rows_stay_in_memory_where_no_file_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    buffer = ReorderBuffer(budget=0)
    for index in (1, 0):
        buffer.put(index, row(str(index)))
    assert buffer.spilled == 0
    assert [buffer.pop(index) for index in (0, 1)] == [row("0"), row("1")]


class NearlyFull(io.BytesIO):
    """A file on a disk that has room for so many bytes: takes what fits of the next, and then nothing.

    Attributes:
        room: bytes that are left.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any, /) -> int:
        fits = bytes(data)[: self.room]
        if not fits:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(fits)
        return super().write(fits)


def test_what_the_disk_has_no_room_for_stays_in_memory_and_spoils_nothing_in_the_file() -> None:
    buffer = ReorderBuffer(budget=0)
    buffer._file = disk = NearlyFull(room=500)
    for index, letter in enumerate("abc"):
        buffer.put(index, row(letter * 400))
    assert (buffer.spilled, disk.room) == (1, 0)
    disk.room = 500
    buffer.put(3, row("d" * 400))
    assert buffer.spilled == 2
    assert [buffer.pop(index) for index in (3, 2, 1, 0)] == [row(letter * 400) for letter in "dcba"]
    buffer.close()


def test_an_index_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        ReorderBuffer().pop(7)


def test_closing_leaves_no_file_behind_and_may_be_done_twice() -> None:
    buffer = ReorderBuffer(budget=0)
    buffer.put(0, row())
    file = buffer._file
    buffer.close()
    buffer.close()
    assert file is not None
    assert file.closed
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del buffer, file
        gc.collect()


TEXTS = st.text(max_size=400)


class ReorderMachine(RuleBasedStateMachine):
    """Against a dict: whatever is put comes back, once, from wherever it was."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = ReorderBuffer(budget=2_000)
        self.model: dict[int, list[Row]] = {}

    @rule(index=st.integers(0, 30), texts=st.lists(TEXTS, max_size=4))
    def put(self, index: int, texts: list[str]) -> None:
        if index not in self.model:
            self.model[index] = [{"text": text, "index": index} for text in texts]
            self.buffer.put(index, [dict(each) for each in self.model[index]])

    @precondition(lambda self: bool(self.model))
    @rule(data=st.data())
    def pop(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(sorted(self.model)))
        assert self.buffer.pop(index) == self.model.pop(index)

    @rule()
    def drain(self) -> None:
        assert [self.buffer.pop(index) for index in self.buffer] == [self.model[index] for index in sorted(self.model)]
        self.model.clear()

    @invariant()
    def it_holds_what_was_put(self) -> None:
        assert list(self.buffer) == sorted(self.model)
        assert len(self.buffer) == len(self.model)
        assert all((index in self.buffer) == (index in self.model) for index in range(31))

    @invariant()
    def memory_is_within_the_budget(self) -> None:
        held = [rows for _, rows in self.buffer._held.values()]
        assert sum(len(each["text"]) for rows in held for each in rows) <= 2_000

    def teardown(self) -> None:
        self.buffer.close()


ReorderMachine.TestCase.settings = settings(max_examples=150, deadline=None)
TestReorderMachine = ReorderMachine.TestCase
