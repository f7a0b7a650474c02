"""The node of a plain step or a router, which works in a thread or in processes."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from ...._engine.calls.context import inside
from ...._engine.ledger.results import results_of
from ...._engine.threads.pool import Threads
from ....errors import ConfigurationError, described
from ..items.processing import Part, RowProcessor, chunk_in_process, process_pool
from .node import CHUNK_ROWS, Node

if TYPE_CHECKING:
    from contextvars import Context

    from ...._engine.ledger.ledger import Ledger
    from ....errors import GenerationError
    from ....types import Row
    from ..items.lineage import Item
    from ..items.processing import Result
    from .node import Run

_PROCESS_CHUNK_ROWS = 32
_PATIENCE = 5.0  # seconds that processes are given to end what they work on once they are stopped


class StepNode(Node):
    """A plain step or a router, in a thread of its own or, with `cpu_bound`, in a pool of processes."""

    def __init__(self, run: Run, step: Any, kind: str, ledger: Ledger | None) -> None:
        super().__init__(run, step, kind)
        self._results = results_of(ledger, step) if ledger is not None and getattr(step, "stored", False) else None
        self._workers: _InThread | _InProcesses
        if getattr(step, "cpu_bound", False):
            self._workers = _InProcesses(run.loop, step)
        else:
            self._workers = _InThread(run.context, step, parts=self._results is None and kind != "router")
        self._chunks = 0  # in work
        self._again: deque[Item] = deque()  # those of a chunk that its time did not suffice for

    @property
    def _held(self) -> bool:
        """Tell whether rows wait for their turn."""
        return False

    def pump(self) -> None:
        while self._chunks < self._workers.most and not self.stopped and not self.blocked:
            chunk = self._next_chunk()
            if not chunk:
                break
            self._begin(chunk)
        if not (self.unended or self._chunks or self._again or len(self._inbox) or self._held):
            self.end()

    def _begin(self, chunk: list[Item]) -> None:
        try:
            future = self._workers.work_on([item.row for item in chunk])
        except RuntimeError as exc:  # the pool is broken, which no chunk of it has told yet
            self._put_back(chunk)
            raise self._not_run(exc) from exc
        self._chunks += 1
        future.add_done_callback(partial(self._guarded, self._worked, chunk))

    def _not_run(self, cause: BaseException) -> ConfigurationError:
        return ConfigurationError(f"The step {self.name!r} could not be run: {described(cause)}")

    def _put_back(self, items: list[Item]) -> None:
        """Have items wait again, before the others: to be worked on, or to be given up where the run is stopped."""
        self._again.extendleft(reversed(items))

    def _next_chunk(self) -> list[Item]:
        """Take the items to work on next; those whose results are stored are done with at once."""
        chunk: list[Item] = []
        while len(chunk) < self._workers.chunk_rows:
            item = self._again.popleft() if self._again else self._next()
            if item is None:
                break
            chunk.append(item)
            known = self._known(chunk)
            if known is not None:
                chunk.pop()
                self.stats.reused += 1
                self._done(item, known)
        return chunk

    def _known(self, chunk: list[Item]) -> list[Row] | None:
        """Find what is stored for the last of a chunk."""
        if self._results is None:
            return None
        try:
            return self._results.find(chunk[-1].id, chunk[-1].row)
        except BaseException:
            self._put_back(chunk)
            raise

    def _worked(self, chunk: list[Item], done: Any) -> None:
        self._chunks -= 1
        try:
            results = done.result()
        except BaseException as exc:  # noqa: BLE001 - the pool broke: a process was killed, a row does not pickle
            results = []
            if not self.stopped:  # else it was ended
                failure = self._not_run(exc)
                failure.__cause__ = exc
                self.run.fail(self, failure)
        self._put_back(chunk[len(results) :])
        for item, (made, error) in zip(chunk, results, strict=False):
            if error is not None:
                self._failed(item, error)
                continue
            if type(made) is Part:
                self._again.appendleft(self.run.send_part(self, item, made) if made else item)
                continue
            self._keep(item, made)
            self._done(item, made)
        if self.stopped:
            self._give_up_again()
        elif getattr(self.step, "exhausted", False):
            self.run.stop_exhausted(self)
        self.pump_soon()

    def _keep(self, item: Item, made: list[Row]) -> None:
        """Store what came of an item. Where that cannot be done the run is stopped; the item goes on as any other.

        It does not raise, for the reason that writing a failed row does not.
        """
        if self._results is None:
            return
        try:
            self._results.keep(item.id, item.row, made)
        except Exception as exc:  # noqa: BLE001 - a ledger that cannot be written, mostly; the taker must hear of it
            self.run.fail(self, exc)

    def _done(self, item: Item, made: list[Any]) -> None:
        """Send on what came of an item: rows, or for a router the item itself, to the steps named."""
        self.stats.rows_done += 1
        if self.kind != "router":
            self.run.send(self, item, made)
            return
        known = [edge.target.name for edge in self.downstream]  # no set: what a function names may be anything
        strangers = [name for name in made if name not in known]
        if strangers:
            follow = ", ".join(map(repr, sorted(known)))
            self.run.fail(
                self,
                ConfigurationError(
                    f"The router {self.name!r} sends row {item.id} to {strangers[0]!r}, which does not follow it; "
                    f"{follow} {'does' if len(known) == 1 else 'do'}."
                ),
            )
        self.run.send(self, item, [item.row] if made else [], only=made)

    def _failed(self, item: Item, error: GenerationError) -> None:
        self.stats.rows_done += 1
        self.run.send(self, item, self.after_failure(item, error))

    def _give_up_again(self) -> None:
        while self._again:
            self._let_go(self._again.popleft())

    def stop(self) -> None:
        super().stop()
        self._give_up_again()
        if self._chunks:
            self.run.loop.call_later(_PATIENCE, self._workers.end)

    def close(self) -> None:
        self._workers.close()


class _InThread:
    """A thread of its own. It is a daemon: a step may never return."""

    most, chunk_rows = 1, CHUNK_ROWS

    def __init__(self, context: Context, step: Any, *, parts: bool) -> None:
        self._threads = Threads(1, name=step.name)
        self._processor = RowProcessor(step, parts=parts)
        self._work = inside(context, self._processor.chunk)

    def work_on(self, rows: list[Row]) -> asyncio.Future[list[Result]]:
        return self._threads.call(self._work, rows)

    def end(self) -> None:
        """A thread cannot be ended; this one keeps no process from ending."""

    def close(self) -> None:
        self._processor.close()


class _InProcesses:
    """A pool of processes."""

    chunk_rows = _PROCESS_CHUNK_ROWS

    def __init__(self, loop: asyncio.AbstractEventLoop, step: Any) -> None:
        self.most = os.cpu_count() or 1
        self._loop = loop
        self._pool = process_pool(step, self.most)

    def work_on(self, rows: list[Row]) -> asyncio.Future[list[Result]]:
        return asyncio.wrap_future(self._pool.submit(chunk_in_process, rows), loop=self._loop)

    def end(self) -> None:
        """End what works on rows that nobody waits for any more; where all is done, there is none."""
        for process in list((self._pool._processes or {}).values()):  # noqa: SLF001 - `kill_workers` is of 3.14
            process.terminate()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
