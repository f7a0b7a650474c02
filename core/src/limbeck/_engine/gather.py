"""A list of rows at once: what `process` does."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from .batch.choice import attach, wake
from .calls.policy import Policy
from .stream.assembly import assemble
from .stream.parts import Receiver
from .threads.handoff import END, settle

if TYPE_CHECKING:
    from ..types import Row
    from .stream.parts import Asking


class _ListSource:
    """The rows of a list."""

    def __init__(self, rows: list[Row]) -> None:
        self._next = iter(rows).__next__

    def take(self) -> Any:
        try:
            return self._next()
        except StopIteration:
            return END


async def gather_rows(asking: Asking, rows: list[Row]) -> list[Row]:
    """All that comes of a list of rows, in input order. Runs on the portal's loop.

    Raises:
        LimbeckError: what stopped the run.
    """
    results: list[Row] = []
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    receiver = Receiver(emit=lambda _id, made: results.extend(made), finished=partial(settle, done))
    stream = assemble(asking, _ListSource(rows), receiver, Policy())
    attach(stream)
    try:
        await done
    finally:
        stream.stop()
        wake(stream)  # which lets go of the stream
    return results
