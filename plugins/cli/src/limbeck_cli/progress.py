"""The progress of a run: a bar for each step on a terminal, a plain line now and then elsewhere; always on stderr.

It is an observer, through the hooks that every plugin has.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from limbeck import hookimpl
from limbeck.errors import printable
from limbeck.types import RunStats

from .exits import say
from .money import dollars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from limbeck import Budget, Pipeline
    from limbeck.types import RunInfo

_PLAIN_EVERY_SECONDS = 15.0
_LIVE_PER_SECOND = 4.0
_LATELY_SECONDS = 30.0
_QUIET_SECONDS = 60.0
_UNSURE_SECONDS = 10.0  # of a run's beginning, which say nothing of its end
_BAR: dict[str, Any] = {"width": 24, "complete_style": "cyan", "finished_style": "green"}  # red is for failures


class Told(Protocol):
    """A source of progress to show."""

    def line(self) -> str: ...
    def table(self) -> RenderableType: ...


class Progress:
    """The progress of a pipeline's run at any moment.

    Args:
        pipeline: what runs. budget: the caps of the run, if there are any.
        clock: seconds. wall: seconds since 1970.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._pipeline = pipeline
        self._budget = budget
        self._wall = wall
        self._name = pipeline.name
        self._steps = list(pipeline.steps)
        self._runs: dict[str, RunInfo] = {}
        self._totals: dict[str, int] = {}
        self._clock = clock
        self._started = clock()
        self._lately: deque[tuple[float, float]] = deque([(self._started, 0.0)])  # when, and rows asked for by then
        self._moved = (0, self._started)  # all that was counted, and when it last changed
        for name, step in pipeline.steps.items():
            count = getattr(step, "count", None)
            if callable(count) and not pipeline.before(name):
                threading.Thread(target=self._count, args=(name, count), name="limbeck-count", daemon=True).start()

    def _count(self, name: str, count: Callable[[], int | None]) -> None:
        try:
            total = count()
        except Exception:  # noqa: BLE001 - reading the rows meets the same fault, and reports it
            return
        if total is not None:
            self._totals[name] = total

    @hookimpl
    def limbeck_run_started(self, run: RunInfo) -> None:
        """Take note of a step that begins."""
        if run.pipeline is not None and run.task in self._steps:
            self._runs[run.task] = run

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._started

    @property
    def stats(self) -> list[RunStats]:
        """Each step's counters, in topological order."""
        return [self.of(name) for name in self._steps]

    def of(self, name: str) -> RunStats:
        """One step's counters."""
        run = self._runs.get(name)
        return run.stats if run is not None else RunStats()

    # One line

    def line(self) -> str:
        """The state in one line: rows, speed, time left, failures, requests, tokens."""
        return self._line(", ".join(shares_of(self.stats)))

    def _line(self, shares: str = "") -> str:
        stats, last = self.stats, self._pipeline.leaves
        done = sum(self.of(name).rows_done for name in last)
        total = self._total(last)
        speed = self._speed(done * (1 - self._reused_share()))
        parts = [f"{self._name}  {done:,}{f'/{total:,}' if total else ''} rows", f"{speed:,.1f}/s"]
        if total and speed and self.seconds >= _UNSURE_SECONDS:
            parts.append(f"ETA {duration(max(total - done, 0) / speed)}")
        parts.append(f"{sum(each.rows_failed for each in stats):,} failed")
        in_flight = sum(each.in_flight for each in stats)
        parts += [f"{in_flight:,} in flight{f' ({shares})' if shares else ''}", *_waiting(stats)]
        parts += self._spending(sum(each.input_tokens + each.output_tokens for each in stats))
        silence = self._silence(in_flight)
        parts += self._away() or silence
        return printable("  ".join(parts))

    def _reused_share(self) -> float:
        """The part of the rows done for which no model was asked: every task had its answers in the ledger."""
        shares = []
        for name, step in self._pipeline.steps.items():
            stats = self.of(name)
            if hasattr(step, "llm") and stats.rows_done:
                shares.append(min(stats.reused / (stats.rows_done * getattr(step, "num_generations", 1)), 1.0))
        return min(shares, default=0.0)

    def _spending(self, tokens: int) -> list[str]:
        """The tokens and, beside the caps, what was spent; and whether requests wait for room under one."""
        budget = self._budget
        if budget is None:
            return [f"{tokens:,} tokens"]
        spent, parts = budget.spent, []
        if budget.max_requests is not None:
            parts.append(f"{spent.requests:,} of {budget.max_requests:,} requests")
        capped = budget.max_tokens is not None
        parts.append(f"{spent.tokens:,} of {budget.max_tokens:,} tokens" if capped else f"{tokens:,} tokens")
        if budget.max_cost is not None:
            parts.append(f"{dollars(spent.cost)} of {dollars(budget.max_cost)}")
        return [*parts, "held by the budget"] if budget.holds else parts

    def _away(self) -> list[str]:
        """The servers that do not answer, each once."""
        told = {}
        for name, step in self._pipeline.steps.items():
            since, next_try = self.of(name).away_since, self.of(name).next_try
            if since is not None:
                when = time.strftime("%H:%M:%S", time.localtime(since))
                wait = max((next_try or 0.0) - self._wall(), 0.0)
                model = str(getattr(getattr(step, "llm", None), "model_name", name))
                told[model] = f"{model} does not answer since {when}, next try in {duration(wait, ' ')}"
        return list(told.values())

    def _speed(self, done: float) -> float:
        """Rows a second lately, of those that a model was asked for."""
        now = self._clock()
        while len(self._lately) > 1 and self._lately[1][0] <= now - _LATELY_SECONDS:
            self._lately.popleft()
        since, before = self._lately[0]
        self._lately.append((now, done))
        return max(done - before, 0.0) / max(now - since, 1e-3)

    def _silence(self, in_flight: int) -> list[str]:
        """The time since anything came, where it is long: what is slow is not to be taken for what is stuck."""
        counted = sum(each.rows_in + each.rows_done + each.requests for each in self.stats)
        before, since = self._moved
        now = self._clock()
        if counted != before:
            self._moved = (counted, now)
        elif in_flight and now - since >= _QUIET_SECONDS:
            return [f"no answer for {duration(now - since)}"]
        return []

    # How many rows there will be

    def _total(self, names: list[str]) -> int | None:
        expected = self._expected()
        known = [expected[name] for name in names]
        return None if None in known or not known else round(sum(each for each in known if each is not None))

    def _expected(self) -> dict[str, float | None]:
        """The rows that each step will see: those of its sources, multiplied or thinned out by the steps before it."""
        arriving: dict[str, float | None] = {}
        leaving: dict[str, float | None] = {}
        for name in self._steps:
            before = [leaving[each] for each in self._pipeline.before(name)]
            total: float | None = self._totals.get(name)
            if before:
                total = None if None in before else sum(each for each in before if each is not None)
            arriving[name] = total
            leaving[name] = self._leaving(name, total)
        return arriving

    def _leaving(self, name: str, total: float | None) -> float | None:
        """The rows that will leave a step, along one edge, of `total` that come."""
        stats = self.of(name)
        if total is None or not stats.rows_done or name in self._totals:
            return total
        if hasattr(self._pipeline.steps[name], "destinations"):  # a router: each branch gets its share
            total /= max(len(self._pipeline.after(name)), 1)
        return total * stats.rows_out / stats.rows_done

    # A bar for each step

    def table(self) -> RenderableType:
        """The state in full: a bar for each step, and the line."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        expected = self._expected()
        for name in self._steps:
            grid.add_row(*self._bar(name, expected[name]))
        shares = [Text(line, overflow="fold") for line in self._shares()]
        return Group(grid, *shares, Text(self._line(), no_wrap=True, overflow="ellipsis"))

    def _shares(self) -> Iterator[str]:
        """A line for each step whose calls go to several models, or that has effects under way."""
        for name in self._steps:
            parts = shares_of([self.of(name)])
            if parts:
                yield printable(f"{name}: {', '.join(parts)}")

    def _bar(self, name: str, expected: float | None) -> tuple[RenderableType, ...]:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        stats = self.of(name)
        total = max(expected, stats.rows_done) if expected is not None else None
        done = f"{stats.rows_done:,}" + (f"/{round(total):,}" if total is not None else "")
        bar = ProgressBar(total=total or 1, completed=stats.rows_done if total else 0, **_BAR)
        failed = Text(f"{stats.rows_failed:,} failed", style="red") if stats.rows_failed else Text("")
        state = "  ".join(state_of(stats, self._arrived(name)))
        return Text(printable(name), overflow="ellipsis", no_wrap=True), bar, Text(done), failed, Text(state)

    def _arrived(self, name: str) -> int:
        """The rows that have come to a task; where a router shares rows out, those that it has begun with."""
        before, steps = self._pipeline.before(name), self._pipeline.steps
        if not before or any(hasattr(steps[each], "destinations") for each in before):
            return self.of(name).rows_in
        return sum(self.of(each).rows_out for each in before) if hasattr(steps[name], "llm") else 0


def state_of(stats: RunStats, arrived: int) -> list[str]:
    """The state of a step's rows that are not done; `arrived` have come to it."""
    queued = arrived - stats.rows_done - stats.in_flight - stats.waiting
    parts = [f"{queued:,} queued"] if queued > 0 else []
    if stats.in_flight:
        parts.append(f"{stats.in_flight:,} in flight")
    parts += _waiting([stats])
    if stats.rate_limited:
        parts.append(f"{stats.rate_limited:,} refused for rate")
    return parts


def shares_of(stats: list[RunStats]) -> list[str]:
    """The requests in flight by model, of tasks that ask several, and the effects that are under way."""
    of_models: Counter[str] = sum((each.in_flight_of for each in stats), Counter())
    effects = sum(each.effects for each in stats)
    told = [f"{effects:,} effect{'s' * (effects != 1)}"] if effects else []
    return told + [f"{count:,} {model}" for model, count in sorted(of_models.items())]


def _waiting(stats: list[RunStats]) -> list[str]:
    """The requests that wait, by what they wait for, and the answers that needed none."""
    limited = sum(each.limited for each in stats)
    retrying = sum(each.waiting for each in stats) - limited
    reused = sum(each.reused for each in stats)
    parts = [(limited, "waiting for quota"), (retrying, "retrying"), (reused, "from the ledger")]
    return [f"{count:,} {what}" for count, what in parts if count > 0]


def duration(seconds: float, before_unit: str = "") -> str:
    """`7s`, `3m05s` or `2h10m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{before_unit}s"
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

    with Live(
        console=Console(stderr=True),
        get_renderable=progress.table,
        refresh_per_second=_LIVE_PER_SECOND,
        transient=True,
        redirect_stdout=False,
    ) as live:
        live.refresh()  # the first frame at once
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
