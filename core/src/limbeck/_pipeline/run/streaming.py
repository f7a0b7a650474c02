"""A pipeline that runs: what `Pipeline.stream` returns, and `run` waits for."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

from ..._engine.threads.handoff import EMPTY, END, Handoff, call_on
from ..._engine.threads.portal import portal
from ..._step import Sink, open_pipeline
from ...errors import ConfigurationError
from ..graph.kinds import is_source
from ..pipeline import Pipeline
from .result import KeptRows, PipelineResult
from .runner import Runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ...types import Row, RunReport
    from .options import Options

_UNTAKEN = 4096


class Consumer:
    """Takes the rows of a leaf for whoever iterates, in a thread or on a loop."""

    def __init__(self) -> None:
        self.arrived: Callable[[], object] = lambda: None  # set by whoever waits
        self._room = threading.Event()
        self._rows: Handoff[list[Row]] = Handoff(_UNTAKEN, wake_taker=self._tell_arrived, wake_giver=self._make_room)
        self._tell_room: Callable[[], object] = lambda: None
        self._done: Callable[[], object] = lambda: None
        self._spare: list[Row] = []
        self._untaken = False  # for good

    def begin(self, *, room: Callable[[], object], done: Callable[[], object]) -> None:
        """Whom to tell that there is room again, and that the last row has come."""
        self._tell_room, self._done = room, done

    def give(self, rows: list[Row]) -> bool:
        """See `Taker`."""
        return self._rows.give(rows)

    def give_waiting(self, rows: list[Row]) -> None:
        """As `give`, for a thread, which waits until there is room."""
        if not self._rows.give(rows) and not self._untaken:
            self._room.wait()
            self._room.clear()

    def _tell_arrived(self) -> None:
        self.arrived()

    def _make_room(self) -> None:
        self._room.set()
        self._tell_room()

    def end_of_rows(self) -> None:
        """See `Taker`."""
        self._done()

    def let_go(self) -> None:
        """Nobody takes any more: no giver is to wait."""
        self._untaken = True
        self._room.set()

    def end(self, error: BaseException | None) -> None:
        """Everything is closed; `error` is raised after the last row."""
        self._room.set()
        self._rows.end(error)

    def take(self) -> Any:
        """The next row, `EMPTY`, or `END`; raises what stopped the run."""
        while not self._spare:
            rows = self._rows.take()
            if rows is EMPTY or rows is END:
                return rows
            self._spare = rows[::-1]
        return self._spare.pop()


class PipelineStream:
    """A pipeline's run. Iterate over it, with `for` or `async for`, for the rows of its one leaf.

    It begins at once. Use it as a context manager, or exhaust it, or `close` it: then no more
    is asked, what arrived is written, and steps are unloaded.

    Raises:
        ConfigurationError: something is wrong with the graph, or an output exists.
        LedgerError: the run directory cannot be used.
    """

    def __init__(self, pipeline: Pipeline, rows: Any, options: Options, *, whole: bool = False) -> None:
        portal().refuse_own_thread()
        outside = open_pipeline.set(None)  # a run inside the `with` makes steps that are not the pipeline's own
        try:
            self._begin(pipeline, rows, options, whole=whole)
        finally:
            open_pipeline.reset(outside)

    def _begin(self, pipeline: Pipeline, rows: Any, options: Options, *, whole: bool) -> None:
        pipeline = _with_rows(pipeline, rows)
        pipeline.check()
        self._closed = threading.Event()
        self._kept: dict[str, KeptRows] = {}
        self._consumer = None if whole else Consumer()
        leaves = pipeline.leaves
        if whole:
            folder = options.run_dir
            self._kept = {
                name: KeptRows.model_construct(name=name, folder=folder)
                for name in leaves
                if not isinstance(pipeline.steps[name], Sink)
            }
        elif len(leaves) > 1:
            raise ConfigurationError(
                f"The pipeline {pipeline.name!r} has {len(leaves)} leaves ({', '.join(leaves)}), and a stream gives "
                "the rows of one. Use `run`, whose result has the rows of each."
            )
        loop = _running_loop(pipeline)
        ending = _Ending(self._closed, self._consumer)
        self._runner = Runner(pipeline, options, sinks=self._kept, taker=self._consumer, finished=ending)
        self._pipeline = pipeline
        self._reading = loop.create_task(self._runner.read_async()) if loop is not None else None
        self._runner.start()
        weakref.finalize(self, _abandon, self._runner, self._consumer).atexit = False

    @property
    def report(self) -> RunReport:
        """What it has yielded so far."""
        return self._runner.reporter.report()

    @property
    def run_dir(self) -> Any:
        """The run directory, or None."""
        return self._runner.folder.path if self._runner.folder is not None else None

    # Taking rows

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        consumer = self._consuming()
        arrived = threading.Event()
        while (row := consumer.take()) is EMPTY:
            consumer.arrived = arrived.set
            if (row := consumer.take()) is not EMPTY:
                break
            arrived.wait()
            arrived.clear()
        if row is END:
            raise StopIteration
        return row  # type: ignore[no-any-return]  # not a mark

    def __aiter__(self) -> AsyncIterator[Row]:
        return self

    async def __anext__(self) -> Row:
        consumer, loop = self._consuming(), asyncio.get_running_loop()
        arrived = asyncio.Event()
        while (row := consumer.take()) is EMPTY:
            consumer.arrived = lambda: call_on(loop, arrived.set)
            if (row := consumer.take()) is not EMPTY:
                break
            await arrived.wait()
            arrived.clear()
        if row is END:
            raise StopAsyncIteration
        return row  # type: ignore[no-any-return]  # not a mark

    def _consuming(self) -> Consumer:
        if self._consumer is None:
            raise ConfigurationError("The rows of this run are taken from its result.")
        return self._consumer

    # Ending

    def wait(self) -> PipelineResult:
        """Wait for the end.

        Raises:
            BaseException: what stopped the run; a note says where its answers are.
        """
        try:
            self._closed.wait()
        except BaseException as exc:  # an interrupt
            self._say_where(exc)
            raise
        return self._outcome()

    async def await_end(self) -> PipelineResult:
        """As `wait`, for an event loop."""
        await asyncio.to_thread(self._closed.wait)
        return self._outcome()

    def _outcome(self) -> PipelineResult:
        result = PipelineResult(self._pipeline, self._kept, self._runner.reporter.report(), self._runner.folder)
        error = self._runner.error
        if error is None:
            return result
        self._say_where(error)
        raise error

    def _say_where(self, error: BaseException) -> None:
        if self.run_dir is not None:
            error.add_note(f"What is done is kept in {str(self.run_dir)!r}: run again with that `run_dir`.")

    def stop(self) -> None:
        """Ask no more; what is done can still be taken. Safe in a signal handler."""
        self._runner.stop()

    def close(self) -> None:
        """Stop, and wait until everything is closed."""
        _abandon(self._runner, self._consumer)
        self._closed.wait()

    async def aclose(self) -> None:
        """As `close`, for an event loop."""
        if self._reading is not None:
            self._reading.cancel()
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


class _Ending:
    """What is done when a run is over. It does not know the stream, which may be nobody's by then."""

    def __init__(self, closed: threading.Event, consumer: Consumer | None) -> None:
        self._closed = closed
        self._consumer = consumer

    def __call__(self, error: BaseException | None) -> None:
        if self._consumer is not None:
            self._consumer.end(error)
        self._closed.set()


def _abandon(runner: Runner, consumer: Consumer | None) -> None:
    """Stop a run whose rows nobody takes any more: a sink's thread that waits for room goes on."""
    runner.stop()
    if consumer is not None:
        consumer.let_go()


def _running_loop(pipeline: Pipeline) -> asyncio.AbstractEventLoop | None:
    """The caller's loop, where a source is an async iterable, which belongs to it."""
    if not any(hasattr(getattr(step, "rows", None), "__aiter__") for step in pipeline.steps.values()):
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError as exc:
        raise ConfigurationError(
            "Rows that come from an async iterable need a running event loop: use `await pipeline.arun(rows)`."
        ) from exc


def _with_rows(pipeline: Pipeline, rows: Any) -> Pipeline:
    """The pipeline with `rows` led to the steps that nothing leads to."""
    if rows is None:
        return pipeline
    entries = [step for name, step in pipeline.steps.items() if not pipeline.before(name) and not is_source(step)]
    if not entries:
        raise ConfigurationError(f"The pipeline {pipeline.name!r} has sources of its own, and takes no other rows.")
    whole = Pipeline(name=pipeline.name)
    source = whole.add(rows)
    for step in pipeline.steps.values():
        whole.add(step)
    for step in entries:
        whole.connect(source, step)
    for before, after in pipeline.edges:
        whole.connect(pipeline.steps[before], pipeline.steps[after])
    return whole
