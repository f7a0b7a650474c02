"""How a run is getting on: a live line on a terminal, a plain line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .exits import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.text import Text

    from .chain import Chain

_PLAIN_EVERY_SECONDS = 15.0
_LIVE_PER_SECOND = 4.0


class Progress:
    """What there is to say of a chain at any moment.

    Args:
        name: the run's. chain: what is watched.
        count: counts the input's rows, in a thread of its own; None where nobody can.
        limit: rows that are read at most.
    """

    def __init__(self, name: str, chain: Chain, count: Callable[[], int] | None, *, limit: int | None) -> None:
        self._name = name
        self._chain = chain
        self._started = time.monotonic()
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
        return time.monotonic() - self._started

    def line(self) -> str:
        """The state in one line: rows, speed, time left, failures, requests, tokens."""
        stats = self._chain.stats
        done, total = stats[-1].rows_done, self._expected()
        speed = done / max(self.seconds, 1e-3)
        parts = [f"{self._name}  {done:,}{f'/{total:,}' if total else ''} rows", f"{speed:,.1f}/s"]
        if total and done:
            parts.append(f"ETA {duration(max(total - done, 0) / speed)}")
        parts.append(f"{sum(each.rows_failed for each in stats):,} failed")
        parts.append(f"{sum(each.in_flight for each in stats):,} in flight")
        waiting, limited = sum(each.waiting for each in stats), sum(each.rate_limited for each in stats)
        if waiting:
            parts.append(f"{waiting:,} waiting to retry{f' ({limited:,} times rate-limited)' if limited else ''}")
        parts.append(f"{sum(each.input_tokens + each.output_tokens for each in stats):,} tokens")
        return "  ".join(parts)

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
def shown(
    progress: Progress, *, quiet: bool, rows_on_screen: bool, every: float = _PLAIN_EVERY_SECONDS
) -> Iterator[None]:
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
def _live(progress: Progress) -> Iterator[None]:
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
def _plain(progress: Progress, every: float) -> Iterator[None]:
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
