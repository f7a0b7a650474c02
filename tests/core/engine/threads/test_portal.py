"""The portal: one loop on a thread of its own, for callers in any other."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from limbeck._engine.threads.portal import Portal, portal
from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def own() -> Iterator[Portal]:
    """A portal of the test's own."""
    own = Portal()
    yield own
    own.shutdown()


async def thread_of_this() -> threading.Thread:
    return threading.current_thread()


def test_coroutines_run_on_one_thread_that_is_not_the_callers(own: Portal) -> None:
    threads = {own.wait(thread_of_this()) for _ in range(3)}
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_what_a_coroutine_raises_reaches_who_waits(own: Portal) -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        own.wait(fail())


def test_waiting_on_the_portals_own_thread_is_refused_with_the_remedy(own: Portal) -> None:
    async def block() -> None:
        own.wait(thread_of_this())

    with pytest.raises(ConfigurationError, match="`aprocess`"):
        own.wait(block())


def test_what_is_open_is_closed_at_its_end_and_what_was_forgotten_is_not() -> None:
    own, closed = Portal(), []

    def closer(name: str) -> None:
        async def close() -> None:
            closed.append(name)

        own.on_shutdown(hash(name), close)

    for name in ("kept", "forgotten"):
        closer(name)
    own.on_shutdown(hash("forgotten"), None)
    own.shutdown()
    assert closed == ["kept"]
    assert not own.usable


def test_what_runs_is_cancelled_before_what_it_uses_is_closed() -> None:
    own, order, begun = Portal(), [], threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            order.append("cancelled")

    async def close() -> None:
        order.append("closed")

    own.on_shutdown(1, close)
    own.submit(work())
    assert begun.wait(20)
    own.shutdown()
    assert order == ["cancelled", "closed"]


def test_a_second_shutdown_does_nothing(own: Portal) -> None:
    own.shutdown()
    own.shutdown()
    assert not own.usable


def test_the_processs_portal_is_the_same_each_time() -> None:
    assert portal() is portal()
    assert portal().usable
