"""What runs a step: takes the items that come to it, has them processed, and sends on what came of them.

Everything here happens on the portal's loop, so nothing is locked; sources, plain steps and
sinks have threads (or processes) of their own, and meet the loop in lots of rows.

A node works while any of those that follow it is hungry, so that a slow branch does not starve
a fast one. What a full one is given beyond its capacity spills to a file, up to a limit.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from .._engine.handoff import EMPTY, END, Handoff
from .._engine.results import results_of
from .._engine.stats import RunStats
from .._engine.stores import opened_step
from .._engine.stream import Identified, Policy, RunInfo, Stream, failure_limit
from .._engine.terms import checked_pricing, terms_of
from .._task.grouping import METADATA
from ..errors import ConfigurationError, RowError, RowFailedError
from .lineage import Item, Origin, error_record
from .outlets import Gate
from .processing import RowProcessor, all_rows, lot_in_process, process_pool
from .spill import SpillingQueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Executor

    from .._engine.ledger import Ledger
    from .._task.task import Task
    from ..errors import GenerationError
    from ..types import Row
    from .lineage import Root
    from .outlets import Outlet
    from .runner import Runner

_INBOX_ROWS = 1024
_BEYOND_ROWS = 100_000  # what a slow branch may lag behind a fast one
_LOT_ROWS = 256
_PROCESS_LOT_ROWS = 32


class Edge:
    """From the step `name` to a node or an outlet.

    Attributes:
        number: where several edges meet, which of them this is; None elsewhere.
        branch: as `number`, into a join.
    """

    __slots__ = ("branch", "name", "number", "target")

    def __init__(self, name: str, target: Node | Outlet, number: int | None, branch: int) -> None:
        self.name = name
        self.target = target
        self.number = number
        self.branch = branch


class Node(ABC):
    """A step at work.

    Attributes:
        name, kind: the step's; see `kind_of`. stats: its counters, live.
        followers: where what comes of its items goes. before: who leads here.
        parts: the joins whose branches part behind this step.
        leads: how many of those before have not ended.
        stopped: whether it takes nothing more. ended: whether nothing will come of it any more.
    """

    def __init__(self, runner: Runner, step: Any, kind: str) -> None:
        self.runner = runner
        self.step = step
        self.name: str = step.name
        self.kind = kind
        self.stats = RunStats()
        self.info = RunInfo(uuid.uuid4().hex, self.name, None, kind, self.stats, runner.info)
        self.followers: list[Edge] = []
        self.before: list[Node] = []
        self.parts: list[str] = []
        self.leads = 0
        self.stopped = False
        self.ended = False
        self._retired = False
        self._inbox = SpillingQueue(_INBOX_ROWS)
        self._told_full = False
        self._pumping = False

    # Taking rows

    def arrive(self, item: Item, edge: Edge) -> None:  # noqa: ARG002 - a join looks at the edge
        """An item has come."""
        self.runner.entered(self, item.root)
        if self.stopped:
            self._let_go(item)
            return
        self._count_in()
        self._inbox.put(item)
        self.pump_soon()

    def _count_in(self) -> None:
        self.stats.rows_in += 1

    @property
    def full(self) -> bool:
        """Whether those before should wait, if nobody else is hungry."""
        is_full = len(self._inbox) >= _INBOX_ROWS
        self._told_full = self._told_full or is_full
        return is_full

    @property
    def overfull(self) -> bool:
        """Whether those before must wait."""
        return len(self._inbox) >= _BEYOND_ROWS

    @property
    def blocked(self) -> bool:
        """Whether it is to wait for those that follow."""
        targets = [edge.target for edge in self.followers]
        full = [target.full for target in targets]  # each must know that it was asked
        return (bool(full) and all(full)) or any(target.overfull for target in targets)

    def _next(self) -> Item | None:
        """The first item that waits; those before are told when there is room again."""
        if not len(self._inbox):
            return None
        item = self._inbox.get()
        if self._told_full and len(self._inbox) <= _INBOX_ROWS // 2:
            self._told_full = False
            for node in self.before:
                node.pump_soon()
        return item

    def lead_ended(self) -> None:
        """One of those before will send nothing more."""
        self.leads -= 1
        self.pump_soon()

    # Working

    def start(self) -> None:
        """The run begins."""
        self.runner.started(self.info)
        self.pump_soon()

    def pump_soon(self) -> None:
        """Look for work soon: never at once, since whoever says so is at work itself."""
        if not self._pumping and not self.ended:
            self._pumping = True
            self.runner.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        if not self.ended:
            try:
                self.pump()
            except Exception as exc:  # noqa: BLE001 - a defect of ours, which the taker must hear of instead of waiting
                self.runner.fail(self, exc)

    @abstractmethod
    def pump(self) -> None:
        """Do what can be done; and end, when nothing is left and nothing will come."""

    def stop(self) -> None:
        """Give up what waits, and take nothing more."""
        if not self.stopped:
            self.stopped = True
            while len(self._inbox):
                self._let_go(self._inbox.get())
            self.pump_soon()

    def retire(self) -> None:
        """As `stop`, where nothing is lost: nobody wants what would come of it."""
        self._retired = True
        self.stop()

    def _let_go(self, item: Item) -> None:
        if self._retired:
            self.runner.send(self, item, [])
        else:
            self.runner.give_up(self, item)

    def end(self) -> None:
        """Nothing will come of it any more."""
        if not self.ended:
            self.ended = True
            self._inbox.close()
            self.runner.node_ended(self)

    def close(self) -> None:  # noqa: B027 - most nodes have none
        """Let go of threads and processes. The run is over."""

    def count_failure(self, item: Item, error: GenerationError) -> None:
        """A row has failed: it is counted, written down, and may be one too many."""
        self.stats.rows_failed += 1
        self.stats.failures[type(error).__name__] += 1
        self.runner.write_failure(self.name, item.id, item.row, error)
        observer = self.runner.observers.row_failed
        if observer is not None:
            observer(run=self.info, id=item.id, row=item.row, error=error)
        limit = failure_limit(self.stats, self.runner.options.max_failed, error)
        if limit is not None:
            self.runner.fail(self, limit)

    def after_failure(self, item: Item, error: GenerationError) -> list[Row]:
        """Count a row that failed; what the step's policy makes of it goes on."""
        self.count_failure(item, error)
        policy = getattr(self.step, "on_error", "keep")
        if policy == "raise":
            failure = RowFailedError(task=self.name, index=item.root.index, error=error)
            failure.__cause__ = error
            self.runner.fail(self, failure)
        if policy != "keep" or self.kind == "router":  # which has nowhere to send it
            return []
        renamed = getattr(self.step, "output_mappings", {})
        nulls = {renamed.get(name, name): None for name in self.step.outputs}
        metadata = item.row.get(METADATA)
        beside = metadata if isinstance(metadata, dict) else {}
        return [{**item.row, **nulls, METADATA: {**beside, f"error_{self.name}": error_record(error)}}]


class SourceNode(Node):
    """A source: its thread makes rows, and the loop admits them while somebody is hungry.

    Args:
        lots: the rows, in lists; or an async iterable of rows.
        seen: whether their columns are known; else the first rows are held back until they are.
    """

    def __init__(self, runner: Runner, step: Any, lots: Iterable[Any], *, seen: bool) -> None:
        super().__init__(runner, step, "source")
        self.origin = Origin(step.name)
        self._lots: Any = lots
        self._renamed: dict[str, str] = getattr(step, "output_mappings", {})
        self._room = threading.Event()
        self._tell_room: Any = self._room.set
        self._rows: Handoff[Any] = Handoff(
            _INBOX_ROWS,
            wake_taker=lambda: runner.call_on_loop(self.pump_soon),
            wake_giver=self._wake_reader,
        )
        self._held: list[Any] | None = None if seen else []

    @property
    def is_async(self) -> bool:
        """Whether its rows are to be read on the caller's loop."""
        return hasattr(self._lots, "__aiter__")

    def start(self) -> None:
        if not self.is_async:
            threading.Thread(target=self._read, name="limbeck-reader", daemon=True).start()
        super().start()

    def _read(self) -> None:
        try:
            for row in self._each():
                if self.stopped:
                    break
                if not self._rows.give(row):
                    self._room.wait()
                    self._room.clear()
        except BaseException as exc:  # noqa: BLE001 - the source's own error reaches whoever takes the rows
            self._rows.end(exc)
        else:
            self._rows.end()

    def _each(self) -> Iterator[Any]:
        for lot in self._lots:
            yield from lot

    def _wake_reader(self) -> None:
        self._tell_room()

    async def read_async(self) -> None:
        """Hand in the rows of an async iterable, on the loop that it belongs to."""
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        self._tell_room = lambda: loop.call_soon_threadsafe(room.set)
        try:
            async for row in self._lots:
                if self.stopped:
                    break
                if not self._rows.give(row):
                    await room.wait()
                    room.clear()
        except asyncio.CancelledError:
            self._rows.end(ConfigurationError("The event loop that reads the rows was stopped."))
            raise
        except Exception as exc:  # noqa: BLE001 - the source's own error reaches whoever takes the rows
            self._rows.end(exc)
        else:
            self._rows.end()

    def pump(self) -> None:
        if self.stopped:
            self._exhaust()
            return
        for _ in range(_LOT_ROWS):
            if self.blocked:
                return
            row = self._take()
            if row is EMPTY:
                return
            if row is END:
                self._exhaust()
                return
        self.pump_soon()

    def _take(self) -> Any:
        """Admit the next row; gives it, or `EMPTY`, or `END`."""
        try:
            row = self._rows.take()
        except BaseException as exc:  # noqa: BLE001 - the source's own error stops the run, after the rows before it
            self._release_held()
            self.runner.fail(self, exc)
            return END
        if self._held is not None and row is not EMPTY:
            self._hold(row)
        elif row is not EMPTY and row is not END:
            self._admit(row)
        return row

    def _hold(self, row: Any) -> None:
        """Keep the first rows until every column that is needed has been seen, so that no call is for nothing."""
        assert self._held is not None  # only called while rows are held
        if row is not END:
            self._held.append(row)
        if self.runner.columns_seen(self, self._held, complete=row is END):
            self._release_held()

    def _release_held(self) -> None:
        held, self._held = self._held or [], None
        for row in () if self.stopped else held:  # stopped: a column is in none of them
            self._admit(row)

    def _admit(self, row: Any) -> None:
        root = self.origin.next_root()
        self.stats.rows_in += 1
        self.stats.rows_done += 1
        if isinstance(row, dict):
            if self._renamed:
                row = {self._renamed.get(name, name): value for name, value in row.items()}
            self.runner.send(self, root.item(row), [row])
            return
        if isinstance(row, RowError):
            item, error = root.item(row.row or {}), row
        else:
            item = root.item({"row": row})
            error = RowError(f"A row must be a dict of columns, not {type(row).__name__}.")
        self.count_failure(item, error)
        self.runner.send(self, item, [])

    def _exhaust(self) -> None:
        self.origin.exhausted = True
        self.end()

    def stop(self) -> None:
        self.stopped = True
        self._tell_room()
        self.pump_soon()


class TaskNode(Node):
    """A task: its rows go through the window of its LLM."""

    def __init__(self, runner: Runner, task: Task, ledger: Ledger | None) -> None:
        super().__init__(runner, task, "task")
        options = runner.options
        work, backend, registry = task._begin(None, load=options.ask)  # noqa: SLF001 - as the task itself would
        _, plan = options.reruns.get(task.name, (None, None))
        self._backend = backend
        self._inside: dict[str, Item] = {}
        config = task.model_dump(mode="json", fallback=str) if ledger is not None else {}
        part = None
        if ledger is not None:
            part = opened_step(ledger, task.name, config if plan is None else plan.config, backend, config)
        terms = terms_of(
            checked_pricing(backend, registry, prices=options.prices, budget=options.budget),
            step=task.name,
            ledger=part,
            folder=None if ledger is None else ledger.folder,
            budget=options.budget,
            cache=runner.cache,
            rerun=plan,
            wake=partial(runner.call_on_loop, backend.window.wake),
        )
        self.stream = Stream(
            work if options.meter is None else options.meter.on(work, task, registry, options.prices),
            _Waiting(self),
            backend,
            emit=self._emit,
            finished=self._finished,
            observers=runner.observers,
            policy=Policy(
                ordered=False, breaker=backend.breaker_threshold, max_failed=options.max_failed, ask=options.ask
            ),
            ledger=part,
            failed=runner.failed_jobs(task.name),
            pipeline=runner.info,
            terms=terms,
        )
        self.stats = self.stream.stats
        self.info = self.stream.info

    def start(self) -> None:
        self._backend.window.attach(self.stream)
        self.pump_soon()

    def _count_in(self) -> None:
        """The stream counts what it admits."""

    def pump(self) -> None:
        if not self.stream.ended:
            self._backend.window.wake()
        elif not self.leads:
            self.end()

    def next_row(self) -> Any:
        """The next row for the stream, `EMPTY`, or `END`."""
        if self.blocked:
            return EMPTY
        item = self._next()
        if item is None:
            return EMPTY if self.leads else END
        self._inside[item.id] = item
        return Identified(item.id, item.row)

    def _emit(self, id: str, rows: list[Row]) -> None:
        self.runner.send(self, self._inside.pop(id), rows, counted=True)

    def _finished(self, error: BaseException | None) -> None:
        for item in self._inside.values():
            self._let_go(item)
        self._inside.clear()
        if error is not None:
            self.runner.fail(self, error)
        super().stop()

    def stop(self) -> None:
        super().stop()
        self.stream.stop()
        self._backend.window.wake()  # which lets go of the stream


class _Waiting:
    """What waits at a task, as the stream's source."""

    def __init__(self, node: TaskNode) -> None:
        self.take = node.next_row


class StepNode(Node):
    """A plain step or a router, in a thread of its own or, with `cpu_bound`, in a pool of processes."""

    def __init__(self, runner: Runner, step: Any, kind: str, ledger: Ledger | None) -> None:
        super().__init__(runner, step, kind)
        self._pool: Executor
        if getattr(step, "cpu_bound", False):
            self._free = os.cpu_count() or 1
            self._pool = process_pool(step, self._free)
            self._work, self._lot_rows = lot_in_process, _PROCESS_LOT_ROWS
        else:
            self._free = 1
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"limbeck-{step.name}")
            self._work, self._lot_rows = RowProcessor(step).lot, _LOT_ROWS
        self._lots = 0  # in work
        self._again: deque[Item] = deque()  # those of a lot that its time did not suffice for
        self._results = results_of(ledger, step) if ledger is not None and getattr(step, "stored", False) else None

    @property
    def _held(self) -> bool:
        """Whether rows wait for their turn."""
        return False

    def pump(self) -> None:
        while self._lots < self._free and not self.stopped and not self.blocked:
            lot = self._next_lot()
            if not lot:
                break
            self._lots += 1
            future = self._pool.submit(self._work, [item.row for item in lot])
            future.add_done_callback(partial(self.runner.call_on_loop, self._worked, lot))
        if not (self.leads or self._lots or self._again or len(self._inbox) or self._held):
            self.end()

    def _next_lot(self) -> list[Item]:
        """What to work on next; items whose results are stored are done with at once."""
        lot: list[Item] = []
        while len(lot) < self._lot_rows:
            item = self._again.popleft() if self._again else self._next()
            if item is None:
                break
            known = self._results.find(item.id, item.row) if self._results is not None else None
            if known is None:
                lot.append(item)
            else:
                self.stats.reused += 1
                self._done(item, known)
        return lot

    def _worked(self, lot: list[Item], done: Any) -> None:
        self._lots -= 1
        try:
            results = done.result()
        except BaseException as exc:  # noqa: BLE001 - the pool broke: a process was killed, a row does not pickle
            results = []
            error = ConfigurationError(f"The step {self.name!r} could not be run: {type(exc).__name__}: {exc}")
            error.__cause__ = exc
            self.runner.fail(self, error)
        self._again.extendleft(reversed(lot[len(results) :]))
        for item, (made, error) in zip(lot, results, strict=False):
            if error is not None:
                self._failed(item, error)
                continue
            if self._results is not None:
                self._results.keep(item.id, item.row, made)
            self._done(item, made)
        if self.stopped:
            self._give_up_again()
        elif getattr(self.step, "exhausted", False):
            self.runner.satisfied(self)
        self.pump_soon()

    def _done(self, item: Item, made: list[Any]) -> None:
        """Send on what came of an item: rows, or for a router the item itself, to the steps named."""
        self.stats.rows_done += 1
        if self.kind != "router":
            self.runner.send(self, item, made)
            return
        known = {edge.target.name for edge in self.followers}
        strangers = [name for name in made if name not in known]
        if strangers:
            follow = ", ".join(map(repr, sorted(known)))
            self.runner.fail(
                self,
                ConfigurationError(
                    f"The router {self.name!r} sends row {item.id} to {strangers[0]!r}, which does not follow it; "
                    f"{follow} {'does' if len(known) == 1 else 'do'}."
                ),
            )
        self.runner.send(self, item, [item.row] if made else [], only=made)

    def _failed(self, item: Item, error: GenerationError) -> None:
        self.stats.rows_done += 1
        self.runner.send(self, item, self.after_failure(item, error))

    def _give_up_again(self) -> None:
        while self._again:
            self._let_go(self._again.popleft())

    def stop(self) -> None:
        super().stop()
        self._give_up_again()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class InOrderNode(StepNode):
    """A step that rows must come to in their order: those that are early wait at its gate."""

    def __init__(self, runner: Runner, step: Any, kind: str, ledger: Ledger | None) -> None:
        super().__init__(runner, step, kind, ledger)
        self.gate = Gate(self.name, self._admit)

    def arrive(self, item: Item, edge: Edge) -> None:
        """Keep the item with its root until all are there."""
        self.runner.entered(self, item.root)
        item.root.waiting.setdefault(self.name, []).append((edge.branch, item))

    def all_there(self, root: Root) -> None:
        """All that will come of a root is there: it passes when it is its turn."""
        waiting = sorted(root.waiting.pop(self.name, ()), key=lambda each: each[1].order)
        self.gate.hold(root, [item for _, item in waiting])

    def _admit(self, item: Item) -> None:
        if self.stopped:
            self._let_go(item)
            return
        self._count_in()
        self._inbox.put(item)
        self.pump_soon()

    @property
    def _held(self) -> bool:
        return self.gate.holds


class JoinNode(Node):
    """Joins the rows of one origin again, once no other row of the same root can come any more."""

    def arrive(self, item: Item, edge: Edge) -> None:
        """Keep the item with its root until all are there."""
        self.runner.entered(self, item.root)
        self.stats.rows_in += 1
        item.root.waiting.setdefault(self.name, []).append((edge.branch, item))

    def pump(self) -> None:
        if not self.leads:
            self.end()

    def all_there(self, root: Root) -> None:
        """All that will come of a root is there."""
        waiting = root.waiting.pop(self.name, ())
        groups: dict[str, list[tuple[int, Item]]] = {}
        for branch, item in sorted(waiting, key=lambda each: each[1].order):
            if root.partial:
                self.runner.give_up(self, item)
            else:
                groups.setdefault(self._origin_of(item).id, []).append((branch, item))
        for group in groups.values():
            self._join(group)

    def _origin_of(self, item: Item) -> Item:
        assert item.parted is not None  # every item on its way to a join was marked where the branches part
        return item.parted[self.name]

    def _join(self, group: list[tuple[int, Item]]) -> None:
        origin = self._origin_of(group[0][1])
        branches = [[item.row for at, item in group if at == branch] for branch in range(len(self.before))]
        try:
            rows = [self.step.joined(origin.row, branches)]
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of a join: one row
            rows = self.after_failure(origin, RowError(f"Join {self.name!r}: {exc}."))
        for _, item in group[1:]:
            self.runner.send(self, item, [])
        self.stats.rows_done += len(group)
        self.runner.send(self, Item(origin.root, origin.id, origin.order, origin.row, origin.parted), rows)


class GlobalNode(Node):
    """A step that is given all rows at once; what it makes begins anew."""

    def __init__(self, runner: Runner, step: Any) -> None:
        super().__init__(runner, step, "global")
        self.origin = Origin(step.name)
        self._rows: list[Row] = []
        self._all_given = False
        self._begun = False
        self._made: deque[Row] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"limbeck-{step.name}")

    def give(self, rows: list[Row]) -> bool:
        """Keep rows; see `Taker`."""
        self._rows += rows
        self.stats.rows_in += len(rows)
        return True

    def end_of_rows(self) -> None:
        """The last row has come; see `Taker`."""
        self._all_given = True
        self.pump_soon()

    def pump(self) -> None:
        if self._made is not None:
            self._send_made()
        elif not self._all_given or self._begun:
            return
        elif self.runner.failing:  # rows are missing: what it made of the others would be wrong
            self._exhaust()
        else:
            self._begun = True
            future = self._pool.submit(all_rows, self.step, self._rows)
            future.add_done_callback(partial(self.runner.call_on_loop, self._worked))

    def _worked(self, done: Any) -> None:
        self._rows = []
        self.stats.rows_done = self.stats.rows_in
        try:
            self._made = deque(done.result())
        except BaseException as exc:  # noqa: BLE001 - a step over all rows has no one row to blame: it stops the run
            self._made = deque()
            error = ConfigurationError(f"Step {self.name!r} raised {type(exc).__name__}: {exc}")
            error.__cause__ = exc
            self.runner.fail(self, error)
        self.pump_soon()

    def _send_made(self) -> None:
        assert self._made is not None  # as `pump` saw
        for _ in range(_LOT_ROWS):
            if not self._made or self.stopped:
                self._exhaust()
                return
            if self.blocked:
                return
            row = self._made.popleft()
            self.runner.send(self, self.origin.next_root().item(row), [row])
        self.pump_soon()

    def _exhaust(self) -> None:
        self.origin.exhausted = True
        self.end()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
