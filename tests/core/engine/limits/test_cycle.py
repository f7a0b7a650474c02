"""One cycle of the loop sends for a few milliseconds, and then hears what has come back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from limbeck._engine.limits.cycle import Cycle

from ..virtual_time import run_virtually

if TYPE_CHECKING:
    from ..virtual_time import VirtualHome


def test_there_is_time_to_send_until_sending_has_taken_long_enough() -> None:
    async def scene(home: VirtualHome) -> list[bool]:
        cycle, order = Cycle(home.loop), list[str]()
        home.loop.call_soon(order.append, "the next cycle")
        waited = []
        for milliseconds in (1, 2, 2):
            cycle.sent(home.loop.time(), lambda: None)
            home.loop.work(milliseconds / 1000)
            await cycle.wait()
            waited.append(bool(order))
        return waited

    assert run_virtually(scene) == [False, False, True]


def test_who_comes_too_late_sends_when_the_others_were_heard() -> None:
    async def scene(home: VirtualHome) -> list[str]:
        cycle, order = Cycle(home.loop), list[str]()
        cycle.sent(home.loop.time(), lambda: None)
        home.loop.work(1.0)
        home.loop.call_soon(order.append, "hears")
        await cycle.wait()
        return [*order, "sends"]

    assert run_virtually(scene) == ["hears", "sends"]


def test_four_workers_may_begin_in_a_cycle_and_the_others_are_told_of_the_next() -> None:
    async def scene(home: VirtualHome) -> tuple[int, list[bool]]:
        cycle, resumed = Cycle(home.loop), []
        cycle.sent(home.loop.time(), lambda: resumed.append(cycle.takes_beginners))
        begun = 0
        while cycle.takes_beginners:
            cycle.count_beginner()
            begun += 1
        await asyncio.sleep(0)
        return begun, resumed

    assert run_virtually(scene) == (4, [True])


def test_a_worker_that_was_cancelled_while_it_waited_holds_up_nobody() -> None:
    async def scene(home: VirtualHome) -> tuple[bool, bool]:
        cycle = Cycle(home.loop)

        async def send() -> None:
            cycle.sent(home.loop.time(), lambda: None)
            home.loop.work(1.0)
            await cycle.wait()

        _, second, third = (asyncio.ensure_future(send()) for _ in range(3))
        await asyncio.sleep(0)
        waited = not second.done()
        second.cancel()
        await asyncio.wait([third])
        return waited, second.cancelled()

    assert run_virtually(scene) == (True, True)
