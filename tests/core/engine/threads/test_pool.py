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
