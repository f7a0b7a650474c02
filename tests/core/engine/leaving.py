"""A program that ends while a run is at work. Its arguments: how it does, and a run directory.

At its very end, when the portal is down, it prints how many requests were sent and how many were cancelled.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

from limbeck import Pipeline
from limbeck._engine.threads.portal import portal
from support.questions import Ask, GatedLLM, processed, questions

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 5_000

llm = GatedLLM(expect=4)
held: list[Any] = []  # so that it is not collected before the end
folder = sys.argv[-1]


def leave_a_stream() -> None:
    """A stream in hand."""
    held.append(Ask(llm=llm).run(questions(ROWS)))
    llm.wait_until_asked()


def leave_a_stream_with_a_ledger() -> None:
    """The same, with answers kept."""
    held.append(Ask(llm=llm).run(questions(ROWS), run_dir=folder))
    llm.wait_until_asked()


def abandon_a_stream() -> None:
    """A stream that was dropped just now."""
    stream = Ask(llm=llm).run(questions(ROWS), run_dir=folder)
    llm.wait_until_asked()
    del stream
    gc.collect()


def leave_a_pipeline() -> None:
    """A pipeline's stream in hand."""
    held.append(Pipeline(questions(ROWS), Ask(llm=llm)).stream(run_dir=folder))
    llm.wait_until_asked()


def abandon_a_pipeline() -> None:
    """A pipeline's stream that was dropped just now."""
    stream = Pipeline(questions(ROWS), Ask(llm=llm)).stream()
    llm.wait_until_asked()
    del stream
    gc.collect()


def raise_an_error() -> None:
    """An error on the way; this one is silent."""
    leave_a_stream()
    raise SystemExit


def leave_a_thread() -> None:
    """A daemon that waits for `process`."""
    threading.Thread(target=processed, args=(Ask(llm=llm), questions(ROWS)), daemon=True).start()
    llm.wait_until_asked()


def leave_a_loop() -> None:
    """An event loop that ended before what it awaited."""

    async def ask() -> None:
        held.append(asyncio.ensure_future(Ask(llm=llm).aprocess(questions(ROWS))))
        await asyncio.to_thread(llm.wait_until_asked)

    asyncio.run(ask())


def drop_all_that_waits() -> None:
    """A loop closed over `aprocess`: nobody holds the request any more, nor the backend, nor the window."""
    gated = GatedLLM(expect=4)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(Ask(llm=gated).aprocess(questions(4)))
    loop.run_until_complete(asyncio.to_thread(gated.wait_until_asked))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # this one is the caller's own fault
    del gated, loop, waiting
    gc.collect()


WAYS: dict[str, Callable[[], None]] = {
    way.__name__: way
    for way in (
        leave_a_stream,
        leave_a_stream_with_a_ledger,
        abandon_a_stream,
        leave_a_pipeline,
        abandon_a_pipeline,
        raise_an_error,
        leave_a_thread,
        leave_a_loop,
        drop_all_that_waits,
    )
}

if __name__ == "__main__":
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a busy machine is slow is only a warning
    atexit.register(lambda: sys.stdout.write(f"{len(llm.asked)} {len(llm.cancelled)}"))
    portal()  # now, so that it is down when that is called
    WAYS[sys.argv[1]]()
