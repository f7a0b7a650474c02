"""Rows on their way in: handed over one by one, and let go of when nobody wants more."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest

from limbeck._engine.threads.reading import aread, in_turns, let_go, read
from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Inbox:
    """Takes rows, and says after each whether there is room for more."""

    def __init__(self, *, room: bool = True) -> None:
        self.rows: list[Any] = []
        self.ends: list[BaseException | None] = []
        self._room = room

    def give(self, row: Any) -> bool:
        self.rows.append(row)
        return self._room

    def end(self, error: BaseException | None = None) -> None:
        self.ends.append(error)


def read_all(rows: Any, inbox: Inbox, *, over: Any = lambda: False) -> None:
    room = threading.Event()
    room.set()
    read(rows, cast("Any", inbox), room, over)


def test_rows_come_in_order_as_copies_and_the_end_is_told() -> None:
    inbox, same = Inbox(), {"n": 0}

    def rows() -> Iterator[dict[str, int]]:
        for same["n"] in range(3):
            yield same  # the same dict again and again

    read_all(rows(), inbox)
    assert inbox.rows == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert inbox.ends == [None]


def test_a_source_that_is_bound_to_its_thread_is_told_how_rows_are_read() -> None:
    def lines(connection: sqlite3.Connection) -> Iterator[Any]:
        yield from connection.execute("SELECT 1 AS n")

    with closing(sqlite3.connect(":memory:")) as connection:
        inbox = Inbox()
        thread = threading.Thread(target=read_all, args=(lines(connection), inbox))
        thread.start()
        thread.join()
    (error,) = inbox.ends
    assert isinstance(error, sqlite3.ProgrammingError)
    (note,) = error.__notes__
    assert "a thread of their own" in note
    assert "check_same_thread=False" in note


def test_a_sources_own_error_ends_the_rows() -> None:
    inbox, failure = Inbox(), ValueError("no")

    def rows() -> Iterator[int]:
        yield 1
        raise failure

    read_all(rows(), inbox)
    assert (inbox.rows, inbox.ends) == ([1], [failure])
    assert not hasattr(failure, "__notes__")


def test_a_generator_is_closed_when_nobody_wants_rows_any_more() -> None:
    inbox, closed = Inbox(), []

    def rows() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    read_all(rows(), inbox, over=lambda: len(inbox.rows) == 2)
    assert (inbox.rows, closed) == ([0, 1], [True])


def test_only_generators_are_closed_and_one_that_cannot_be_is_let_be() -> None:
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("no")

    rows = stubborn()
    next(rows)
    let_go(rows)
    let_go([1])


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def test_an_async_source_is_read_as_a_plain_one_is() -> None:
    inbox = Inbox()
    asyncio.run(aread(numbers(3), cast("Any", inbox), asyncio.Event(), lambda: False))
    assert (inbox.rows, inbox.ends) == ([0, 1, 2], [None])


def test_a_full_inbox_is_waited_for() -> None:
    async def scene() -> tuple[list[Any], list[Any]]:
        inbox, room = Inbox(room=False), asyncio.Event()
        reading = asyncio.ensure_future(aread(numbers(2), cast("Any", inbox), room, lambda: False))
        await asyncio.sleep(0)
        first = list(inbox.rows)
        while not reading.done():
            room.set()
            await asyncio.sleep(0)
        return first, inbox.rows

    assert asyncio.run(scene()) == ([0], [0, 1])


def test_a_loop_that_stops_while_it_reads_ends_the_run() -> None:
    stopped: list[BaseException] = []

    async def scene() -> None:
        inbox = Inbox(room=False)
        reading = asyncio.ensure_future(
            aread(numbers(2), cast("Any", inbox), asyncio.Event(), lambda: False, stop=stopped.append)
        )
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])

    asyncio.run(scene())
    with pytest.raises(ConfigurationError, match="event loop that reads the rows was stopped"):
        raise stopped[0]


def test_rows_of_a_list_let_others_have_their_turn() -> None:
    async def scene() -> tuple[list[int], int]:
        turns = [0]

        async def other() -> None:
            while True:
                turns[0] += 1
                await asyncio.sleep(0)

        beside = asyncio.ensure_future(other())
        rows = [row async for row in in_turns(range(200))]
        beside.cancel()
        return rows, turns[0]

    rows, turns = asyncio.run(scene())
    assert rows == list(range(200))
    assert turns >= 3
