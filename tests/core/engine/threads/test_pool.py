"""Threads for backends that block: so many calls at once, each thread kept for the next."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from limbeck._engine.threads.pool import Threads
from limbeck.errors import BackendError

PATIENCE = 20.0
place: ContextVar[str] = ContextVar("place")


def thread_name(_argument: object) -> str:
    return threading.current_thread().name


def test_calls_one_after_another_share_a_thread_that_does_not_keep_the_process() -> None:
    async def scene() -> set[tuple[str, bool]]:
        threads = Threads(1)
        return {await threads.call(lambda _: (thread_name(_), threading.current_thread().daemon), 0) for _ in range(5)}

    ((_, daemon),) = asyncio.run(scene())
    assert daemon


def test_so_many_calls_run_at_once_and_no_more() -> None:
    together = threading.Barrier(3)

    async def scene() -> set[str]:
        threads = Threads(3)

        def meet(argument: object) -> str:
            together.wait(PATIENCE)  # which only three at once get past
            return thread_name(argument)

        return set(await asyncio.gather(*(threads.call(meet, number) for number in range(9))))

    assert len(asyncio.run(scene())) == 3


@pytest.mark.parametrize(("raised", "expected"), [(ValueError, ValueError), (StopIteration, BackendError)])
def test_what_a_call_raises_reaches_who_awaits_it(raised: type[Exception], expected: type[Exception]) -> None:
    def fail(_argument: object) -> None:
        raise raised("no")

    async def scene() -> Any:
        await Threads(1).call(fail, 0)

    with pytest.raises(expected, match="no"):
        asyncio.run(scene())


def test_a_call_that_was_cancelled_while_it_waited_is_not_made() -> None:
    made, go_on = list[str](), threading.Event()

    async def scene() -> None:
        threads = Threads(1)
        first = threads.call(lambda _: go_on.wait(PATIENCE), 0)
        second, third = (threads.call(made.append, name) for name in ("second", "third"))
        second.cancel()
        go_on.set()
        await asyncio.gather(first, third)

    asyncio.run(scene())
    assert made == ["third"]


def test_a_call_sees_the_context_of_its_caller() -> None:
    async def scene() -> str:
        place.set("the caller's")
        return str(await Threads(1).call(lambda _: place.get("nowhere"), 0))

    assert asyncio.run(scene()) == "the caller's"


class Stuck:
    """Calls that return when they are let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []

    def __call__(self, argument: object) -> str:
        self.threads.append(threading.current_thread())
        self.begun.release()
        self.go_on.wait(PATIENCE)
        return thread_name(argument)


async def given_up(threads: Threads, stuck: Stuck) -> None:
    """Cancel a call that has begun and does not return."""
    answer = threads.call(stuck, 0)
    await asyncio.to_thread(stuck.begun.acquire)
    answer.cancel()
    await asyncio.sleep(0)


def test_a_call_that_is_given_up_frees_its_place_and_its_thread_ends_with_it() -> None:
    stuck, told = Stuck(), list[int]()

    async def scene() -> set[str]:
        threads = Threads(1, frees=True, hangs=lambda: told.append(1))
        for _ in range(3):
            await given_up(threads, stuck)
        before: str = await threads.call(thread_name, 0)
        stuck.go_on.set()
        for thread in stuck.threads:
            await asyncio.to_thread(thread.join, PATIENCE)
        return {before, await threads.call(thread_name, 0)}

    assert len(asyncio.run(scene())) == 1
    assert [thread.is_alive() for thread in stuck.threads] == [False] * 3
    assert len(told) == 3


def test_a_call_that_waited_behind_one_that_is_given_up_is_made() -> None:
    stuck = Stuck()

    async def scene() -> str:
        threads = Threads(1, frees=True, hangs=lambda: None)
        answer = threads.call(stuck, 0)
        waiting = threads.call(thread_name, 0)
        await asyncio.to_thread(stuck.begun.acquire)
        answer.cancel()
        name: str = await waiting
        stuck.go_on.set()
        return name

    assert asyncio.run(scene()).startswith("limbeck-llm")


def test_a_call_that_is_given_up_keeps_its_place_where_calls_exclude_each_other() -> None:
    stuck, told = Stuck(), list[int]()

    async def scene() -> bool:
        threads = Threads(1, hangs=lambda: told.append(1))
        await given_up(threads, stuck)
        waiting = threads.call(thread_name, 0)
        stuck.go_on.set()
        name: str = await waiting
        return name == stuck.threads[0].name

    assert asyncio.run(scene())
    assert told == [1]
