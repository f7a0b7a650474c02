"""A pipeline that runs: what `Pipeline.stream` returns, and `run` waits for."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

from ..._engine.threads.handoff import EMPTY, END, call_on
from ..._engine.threads.portal import portal
from ..._step import Sink, open_pipeline
from ...errors import ConfigurationError
from ..graph.graph import Graph
from ..graph.kinds import is_source
from .items.takers import Consumer
from .result import KeptRows, PipelineResult
from .runner import Runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ...types import Row, RunReport
    from .options import Options


class PipelineStream:
    """A pipeline's run. Iterate over it, with `for` or `async for`, for the rows of its one leaf.

    It begins at once. Use it as a context manager, or exhaust it, or `close` it: then no more
    is asked, what arrived is written, and steps are unloaded.

    Raises:
        ConfigurationError: something is wrong with the graph, or an output exists.
        LedgerError: the run directory cannot be used.
    """

    def __init__(self, graph: Graph, rows: Any, options: Options, *, whole: bool = False) -> None:
        portal().refuse_own_thread()
        outside = open_pipeline.set(None)  # a run inside the `with` makes steps that are not the pipeline's own
        try:
            self._begin(graph, rows, options, whole=whole)
        finally:
            open_pipeline.reset(outside)

    def _begin(self, graph: Graph, rows: Any, options: Options, *, whole: bool) -> None:
        graph = _with_rows(graph, rows)
        graph.check()
        self._closed = threading.Event()
        self._kept: dict[str, KeptRows] = {}
        self._consumer = None if whole else Consumer()
        leaves = graph.leaves
        if whole:
            folder = options.run_dir
            self._kept = {
                name: KeptRows.model_construct(name=name, folder=folder)
                for name in leaves
                if not isinstance(graph.steps[name], Sink)
            }
        elif len(leaves) > 1:
            raise ConfigurationError(
                f"The pipeline {graph.name!r} has {len(leaves)} leaves ({', '.join(leaves)}), and a stream gives "
                "the rows of one. Use `run`, whose result has the rows of each."
            )
        loop = _running_loop(graph)
        ending = _Ending(self._closed, self._consumer)
        self._runner = Runner(graph, options, sinks=self._kept, taker=self._consumer, finished=ending)
        self._graph = graph
        self._reading = loop.create_task(self._runner.read_async()) if loop is not None else None
        self._runner.start()
        weakref.finalize(self, _abandon, self._runner, self._consumer).atexit = False

    @property
    def report(self) -> RunReport:
        """The yield so far."""
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
        """Wait for the end in an event loop; see `wait`."""
        await asyncio.to_thread(self._closed.wait)
        return self._outcome()

    def _outcome(self) -> PipelineResult:
        result = PipelineResult(self._graph, self._kept, self._runner.reporter.report(), self._runner.folder)
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
        """Stop, and wait in an event loop until everything is closed; see `close`."""
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
    """The end of a run. It does not know the stream, which may be nobody's by then."""

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


def _running_loop(graph: Graph) -> asyncio.AbstractEventLoop | None:
    """The caller's loop, where a source is an async iterable, which belongs to it."""
    if not any(hasattr(getattr(step, "rows", None), "__aiter__") for step in graph.steps.values()):
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError as exc:
        raise ConfigurationError(
            "Rows that come from an async iterable need a running event loop: use `await pipeline.arun(rows)`."
        ) from exc


def _with_rows(graph: Graph, rows: Any) -> Graph:
    """The graph with `rows` led to the steps that nothing leads to."""
    if rows is None:
        return graph
    entries = [step for name, step in graph.steps.items() if not graph.before(name) and not is_source(step)]
    if not entries:
        raise ConfigurationError(f"The pipeline {graph.name!r} has sources of its own, and takes no other rows.")
    whole = Graph(name=graph.name)
    source = whole.add(rows)
    for step in graph.steps.values():
        whole.add(step)
    for step in entries:
        whole.connect(source, step)
    for before, after in graph.edges:
        whole.connect(graph.steps[before], graph.steps[after])
    return whole
