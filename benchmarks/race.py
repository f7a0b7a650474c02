"""Contenders in turn, on the same work, round by round; ratios are taken within a round."""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .contenders import Contender, Delivered, Job, delivered, write_rows
from .loopback import loopback
from .measure import Spent, run
from .server import Behaviour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .loopback import Loopback

_WARM_UP_ROWS = 8
_WARM_UP_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one contender: what it took, what it delivered, what the server saw."""

    spent: Spent
    delivered: Delivered
    stats: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Results:
    """The runs of one contender, round by round, and those of the reference beside them."""

    name: str
    runs: list[Result]
    reference: list[Result]

    @property
    def ended(self) -> bool:
        """Whether each run came to its end by itself."""
        return all(run.spent.ended for run in self.runs)

    def values(self, of: Callable[[Result], float]) -> list[float]:
        """One number a run."""
        return [of(result) for result in self.runs]

    def ratios(self, of: Callable[[Result], float]) -> list[float]:
        """One ratio a round."""
        return [of(own) / of(other) for own, other in zip(self.runs, self.reference, strict=True)]


def race(
    behaviour: Behaviour, contenders: Sequence[Contender], *, rows: int, window: int, rounds: int, limit: float
) -> list[Results]:
    """Run each contender `rounds` times. The first contender is the reference, and must run.

    The order moves on by one each round, so that none always comes after the same. A run is killed after
    `limit` seconds, and its contender does not run again.
    """
    able = runnable(contenders)
    runs: dict[str, list[Result]] = {contender.name: [] for contender in able}
    late: list[Contender] = []
    with loopback(behaviour) as server:
        for turn in range(rounds):
            for contender in (each for each in rotated(able, turn) if each not in late):
                result = run_once(contender, server, rows=rows, window=window, limit=limit)
                runs[contender.name].append(result)
                _report(turn, contender, result)
                if not result.spent.ended:
                    late.append(contender)
    if able[0] in late:
        raise RuntimeError(f"{able[0].name} had not ended after {limit:g} s, and the others are compared with it.")
    return [Results(name, own, runs[contenders[0].name]) for name, own in runs.items()]


def rotated(items: Sequence[Contender], by: int) -> list[Contender]:
    """The items, beginning with another."""
    start = by % len(items)
    return [*items[start:], *items[:start]]


def run_once(contender: Contender, server: Loopback, *, rows: int, window: int, limit: float) -> Result:
    """One run from start to exit, in an empty directory, on a server whose counts are cleared."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:  # who is killed may be writing still
        job = new_job(Path(name), server.url, rows=rows, window=window)
        server.reset()
        log = Path(name) / "log.txt"
        spent = run(contender.command(job), log, contender.environment_for(job), limit=limit)
        return Result(spent, delivered(job), server.stats())


def new_job(directory: Path, url: str, *, rows: int, window: int) -> Job:
    """A job whose files are in `directory`."""
    job = Job(url=url, source=directory / "in.jsonl", target=directory / "out.jsonl", window=window)
    write_rows(job.source, rows)
    return job


def runnable(contenders: Iterable[Contender]) -> list[Contender]:
    """Those that get through a few rows, which also warms the disk's caches; the others are named."""
    able = []
    with loopback(Behaviour()) as server:
        for contender in contenders:
            why = _why_not(contender, server)
            if why:
                say(f"skipped {contender.name}: {why}")
            else:
                able.append(contender)
    return able


def _why_not(contender: Contender, server: Loopback) -> str | None:
    try:
        result = run_once(contender, server, rows=_WARM_UP_ROWS, window=_WARM_UP_ROWS, limit=_WARM_UP_SECONDS)
    except OSError as exc:
        return str(exc)
    if result.delivered.right == _WARM_UP_ROWS:
        return None
    return f"{result.delivered} of {_WARM_UP_ROWS} rows, exit {result.spent.exit_code}: {result.spent.said}"


def _report(turn: int, contender: Contender, result: Result) -> None:
    spent = result.spent
    say(f"round {turn + 1}: {contender.name}: {spent.seconds:.2f} s, {spent.cpu_seconds:.2f} s of CPU")


def not_ended(limit: float) -> str:
    """What stands in a table in place of the seconds."""
    return f"not ended after {limit:g}"


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def rounds_in_words(count: int) -> str:
    """How to read what `spread` gives."""
    return f"median of {count} rounds, in brackets the least and the most" if count > 1 else "one round"


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """`median (least–most)`."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"
