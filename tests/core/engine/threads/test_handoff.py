"""A bounded queue between two threads, neither of which may block the other."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from limbeck._engine.threads.handoff import EMPTY, END, Handoff, call_on
from support.questions import PATIENCE, run_in_thread


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1


def handoff(capacity: int = 4) -> tuple[Handoff[int], Bell, Bell]:
    """A queue with the bells of its taker and its giver."""
    taker, giver = Bell(), Bell()
    return Handoff(capacity, wake_taker=taker, wake_giver=giver), taker, giver


def test_items_come_in_the_order_they_were_given() -> None:
    queue, _, _ = handoff()
    for item in range(3):
        queue.give(item)
    assert [queue.take() for _ in range(3)] == [0, 1, 2]


def test_giving_says_when_there_is_no_room_for_another() -> None:
    queue, _, _ = handoff(capacity=3)
    assert [queue.give(item) for item in range(4)] == [True, True, False, False]
    assert len(queue) == 4


def test_a_giver_that_waits_is_woken_once_when_half_is_taken() -> None:
    queue, _, giver = handoff(capacity=4)
    for item in range(4):
        queue.give(item)
    queue.take()
    assert giver.rung == 0
    for _ in range(3):
        queue.take()
    assert giver.rung == 1


def test_a_giver_that_does_not_wait_is_never_woken() -> None:
    queue, _, giver = handoff(capacity=4)
    for item in range(100):
        queue.give(item)
        queue.take()
    assert giver.rung == 0


def test_a_taker_that_found_nothing_is_woken_by_the_next_item_and_only_by_it() -> None:
    queue, taker, _ = handoff(capacity=100)
    assert queue.take() is EMPTY
    for item in range(10):
        queue.give(item)
    assert taker.rung == 1


def test_a_taker_that_is_busy_is_never_woken() -> None:
    queue, taker, _ = handoff(capacity=100)
    queue.give(0)
    queue.give(1)
    assert queue.take() == 0
    queue.give(2)
    assert (queue.take(), queue.take()) == (1, 2)
    assert taker.rung == 0


def test_the_end_is_seen_after_the_last_item_and_whenever_it_is_asked_for() -> None:
    queue, _, _ = handoff()
    queue.give(0)
    queue.end()
    assert [queue.take() for _ in range(3)] == [0, END, END]


def test_the_end_wakes_a_taker_that_waits() -> None:
    queue, taker, _ = handoff()
    assert queue.take() is EMPTY
    queue.end()
    assert taker.rung == 1


def test_what_the_giver_ended_with_is_raised_after_the_last_item_and_whenever_it_is_asked_for() -> None:
    queue, _, _ = handoff()
    queue.give(0)
    queue.end(OSError("the disk is gone"))
    assert queue.take() == 0
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            queue.take()


def test_only_the_first_end_counts() -> None:
    queue, taker, _ = handoff()
    assert queue.take() is EMPTY
    queue.end()
    queue.end(OSError("too late"))
    assert queue.take() is END
    assert taker.rung == 1


def test_none_and_false_are_items_like_any_other() -> None:
    queue: Handoff[Any] = Handoff(4, wake_taker=Bell())
    for item in (None, False, 0):
        queue.give(item)
    assert [queue.take() for _ in range(4)] == [None, False, 0, EMPTY]


def test_the_marks_say_what_they_are() -> None:
    assert (repr(EMPTY), repr(END)) == ("EMPTY", "END")


class HandoffMachine(RuleBasedStateMachine):
    """Against a plain queue; a side that waits does nothing until it is woken, as a thread would."""

    def __init__(self) -> None:
        super().__init__()
        self.model: deque[int] = deque()
        self.number = 0
        self.ended = False
        self.taker_waits = self.giver_waits = False
        self.queue: Handoff[int] = Handoff(4, wake_taker=self._wake_taker, wake_giver=self._wake_giver)

    def _wake_taker(self) -> None:
        self.taker_waits = False

    def _wake_giver(self) -> None:
        self.giver_waits = False

    @precondition(lambda self: not self.ended and not self.giver_waits)
    @rule(many=st.integers(1, 6))
    def give(self, many: int) -> None:
        for _ in range(many):
            self.model.append(self.number)
            if not self.queue.give(self.number):
                self.giver_waits = True
            self.number += 1
            if self.giver_waits:
                return

    @precondition(lambda self: not self.taker_waits)
    @rule(many=st.integers(1, 6))
    def take(self, many: int) -> None:
        for _ in range(many):
            item = self.queue.take()
            if self.model:
                assert item == self.model.popleft()
            else:
                assert item is (END if self.ended else EMPTY)
                self.taker_waits = not self.ended
                return

    @precondition(lambda self: not self.ended)
    @rule()
    def end(self) -> None:
        self.ended = True
        self.queue.end()

    @invariant()
    def nobody_waits_for_what_is_there(self) -> None:
        assert len(self.queue) == len(self.model)
        assert not (self.taker_waits and (self.model or self.ended))
        assert not (self.giver_waits and len(self.model) <= 2)

    @invariant()
    def the_queue_is_bounded(self) -> None:
        assert len(self.queue) <= 4


HandoffMachine.TestCase.settings = settings(max_examples=150, deadline=None)
TestHandoffMachine = HandoffMachine.TestCase


@pytest.mark.parametrize("capacity", [1, 2, 7, 64])
def test_two_threads_that_really_wait_pass_every_item_in_order_and_neither_waits_for_ever(capacity: int) -> None:
    arrived, room = threading.Event(), threading.Event()
    queue: Handoff[int] = Handoff(capacity, wake_taker=arrived.set, wake_giver=room.set)
    taken: list[int] = []

    def give() -> None:
        for item in range(20_000):
            if not queue.give(item):
                assert room.wait(PATIENCE)
                room.clear()
        queue.end()

    def take() -> None:
        while (item := queue.take()) is not END:
            if item is EMPTY:
                assert arrived.wait(PATIENCE)
                arrived.clear()
            else:
                taken.append(item)

    threads = [run_in_thread(give), run_in_thread(take)]
    for thread in threads:
        thread.join(PATIENCE)
    assert taken == list(range(20_000))


def test_a_loop_that_is_closed_is_called_no_more() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    call_on(loop, pytest.fail, "nobody is there to call it")
