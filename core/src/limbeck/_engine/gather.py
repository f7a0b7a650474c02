"""A list of rows at once: what `process` does."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from .calls.observers import Observers
from .calls.policy import Policy
from .stream.stream import Stream
from .threads.handoff import END, settle

if TYPE_CHECKING:
    from .._registry.registry import Registry
    from ..types import Row
    from .online.backend import Backend
    from .stream.stream import Work


class _ListSource:
    """The rows of a list."""

    def __init__(self, rows: list[Row]) -> None:
        self._next = iter(rows).__next__

    def take(self) -> Any:
        try:
            return self._next()
        except StopIteration:
            return END


async def gather_rows(work: Work, rows: list[Row], backend: Backend, registry: Registry) -> list[Row]:
    """All that comes of a list of rows, in input order. Runs on the portal's loop.

    Raises:
        LimbeckError: what stopped the run.
    """
    results: list[Row] = []
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stream = Stream(
        work,
        _ListSource(rows),
        backend,
        emit=lambda _id, made: results.extend(made),
        finished=partial(settle, done),
        observers=Observers(registry.hooks),
        policy=Policy(),
    )
    backend.window.attach(stream)
    try:
        await done
    finally:
        stream.stop()
        backend.window.wake()  # which lets go of the stream
    return results
