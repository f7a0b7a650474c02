"""A coroutine that keeps the loop to itself is told of, and is otherwise what it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from limbeck._engine.threads import blocking
from limbeck._engine.threads.blocking import watched

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Clock:
    """A clock that stands still unless it is moved."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(blocking, "time", clock)
    return clock


def run(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, list[float]]:
    told: list[float] = []

    async def scene() -> Any:
        return await watched(coroutine, told.append)

    return asyncio.run(scene()), told


def test_each_long_step_is_told_and_the_short_ones_and_the_waiting_are_not(clock: Clock) -> None:
    async def steps() -> str:
        clock.now += 3.0
        await asyncio.sleep(0)
        clock.now += 0.5
        await asyncio.get_running_loop().run_in_executor(None, setattr, clock, "now", clock.now + 100)
        clock.now += 2.0
        return "answer"

    answer, told = run(steps())
    assert answer == "answer"
    assert told[0] == 3.0
    assert told[-1] == 2.0


def test_a_long_step_that_ends_in_an_exception_is_told(clock: Clock) -> None:
    async def fails() -> None:
        clock.now += 5.0
        raise KeyError("no")

    told: list[float] = []

    async def scene() -> None:
        await watched(fails(), told.append)

    with pytest.raises(KeyError):
        asyncio.run(scene())
    assert told == [5.0]


def test_time_limits_cancellations_and_exceptions_from_outside_reach_the_coroutine() -> None:
    async def waits() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(1000)
        except TimeoutError:
            pass
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return "cancelled"
        return "never"

    async def scene() -> Any:
        task = asyncio.ensure_future(watched(waits(), lambda _: None))
        for _ in range(5):  # past the time limit
            await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(scene()) == "cancelled"


def test_a_future_is_left_as_it_is() -> None:
    async def scene() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        assert watched(future, lambda _: None) is future

    asyncio.run(scene())


def test_a_coroutine_that_is_closed_midway_cleans_up() -> None:
    cleaned: list[bool] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            cleaned.append(True)

    coroutine: Any = watched(waits(), lambda _: None)

    async def scene() -> None:
        coroutine.send(None)
        coroutine.close()

    asyncio.run(scene())
    assert cleaned == [True]
