"""How a run is getting on: a live line on a terminal, a plain line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .exits import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.text import Text

    from limbeck._engine.stats import RunStats

_PLAIN_EVERY_SECONDS = 15.0
_LIVE_PER_SECOND = 4.0
_LATELY_SECONDS = 30.0


class Watched(Protocol):
    """What is watched: a chain, by the counters of its tasks."""

    @property
    def stats(self) -> Sequence[RunStats]: ...


class Told(Protocol):
    """What has a line to show."""

    def line(self) -> str: ...


class Progress:
    """What there is to say of a chain at any moment.

    Args:
        name: the run's. chain: what is watched.
        count: counts the input's rows, in a thread of its own; None where nobody can.
        limit: rows that are read at most. clock: seconds.
    """

    def __init__(
        self,
        name: str,
        chain: Watched,
        count: Callable[[], int] | None,
        *,
        limit: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._chain = chain
        self._clock = clock
        self._started = clock()
        self._lately: deque[tuple[float, int]] = deque([(self._started, 0)])  # when, and rows done by then
        self._total: int | None = None
        if count is not None:
            threading.Thread(target=self._count, args=(count, limit), name="limbeck-count", daemon=True).start()

    def _count(self, count: Callable[[], int], limit: int | None) -> None:
        try:
            total = count()
        except Exception:  # noqa: BLE001 - reading the rows meets the same fault, and reports it
            return
        self._total = total if limit is None else min(total, limit)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock() - self._started

    def line(self) -> str:
        """The state in one line: rows, speed, time left, failures, requests, tokens."""
        stats = self._chain.stats
        done, total = stats[-1].rows_done, self._expected()
        speed = self._speed(done)
        parts = [f"{self._name}  {done:,}{f'/{total:,}' if total else ''} rows", f"{speed:,.1f}/s"]
        if total and speed:
            parts.append(f"ETA {duration(max(total - done, 0) / speed)}")
        parts.append(f"{sum(each.rows_failed for each in stats):,} failed")
        parts.extend(self._requests())
        parts.append(f"{sum(each.input_tokens + each.output_tokens for each in stats):,} tokens")
        return "  ".join(parts)

    def _speed(self, done: int) -> float:
        """Rows a second lately: those that a resumed run took from the ledger at its start say nothing of the rest."""
        now = self._clock()
        while len(self._lately) > 1 and self._lately[1][0] <= now - _LATELY_SECONDS:
            self._lately.popleft()
        since, before = self._lately[0]
        self._lately.append((now, done))
        return (done - before) / max(now - since, 1e-3)

    def _requests(self) -> Iterator[str]:
        """What the requests are doing, and what needed none."""
        stats = self._chain.stats
        limited = sum(each.limited for each in stats)
        retrying = sum(each.waiting for each in stats) - limited
        reused = sum(each.reused for each in stats)
        yield f"{sum(each.in_flight for each in stats):,} in flight"
        if limited > 0:
            yield f"{limited:,} waiting for quota"
        if retrying > 0:
            yield f"{retrying:,} retrying"
        if reused:
            yield f"{reused:,} from the ledger"

    def _expected(self) -> int | None:
        """The rows that the last task will see: the input's, multiplied or thinned out by the tasks before it."""
        if self._total is None:
            return None
        expected = float(self._total)
        for stats in self._chain.stats[:-1]:
            if stats.rows_done:
                expected *= stats.rows_out / stats.rows_done
        return round(expected)


def duration(seconds: float) -> str:
    """`7s`, `3m05s` or `2h10m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


@contextmanager
def shown(progress: Told, *, quiet: bool, rows_on_screen: bool, every: float = _PLAIN_EVERY_SECONDS) -> Iterator[None]:
    """Show `progress` for the block.

    Args:
        progress: what to show. quiet: show nothing.
        rows_on_screen: whether the rows themselves are written to the terminal; then they are the progress.
        every: seconds between plain lines.
    """
    if quiet or rows_on_screen:
        yield
    elif sys.stderr.isatty():
        with _live(progress):
            yield
    else:
        with _plain(progress, every):
            yield


@contextmanager
def _live(progress: Told) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def line() -> Text:
        return Text(progress.line(), no_wrap=True, overflow="ellipsis")

    console = Console(stderr=True)
    with Live(
        console=console, get_renderable=line, refresh_per_second=_LIVE_PER_SECOND, transient=True, redirect_stdout=False
    ):
        yield


@contextmanager
def _plain(progress: Told, every: float) -> Iterator[None]:
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(every):
            say(progress.line())

    thread = threading.Thread(target=tell, name="limbeck-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
