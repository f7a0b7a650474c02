"""kill -9 at half of the rows, then the same command again: what is bought twice."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .contenders import BARE_SDK, LIMBECK_LEDGER, Contender, Delivered, Job, delivered
from .loopback import loopback
from .measure import kill, run, start
from .race import new_job, not_ended, rounds_in_words, runnable, say, spread
from .report import Section
from .server import Behaviour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .loopback import Loopback

_SECONDS_BETWEEN_LOOKS = 0.01


class Resumed(NamedTuple):
    """One kill and what came of it: whether and when the second run ended, answers bought twice, rows in the end."""

    ended: bool
    seconds: float
    paid_twice: int
    rows: Delivered


def resume(*, rows: int, window: int, rounds: int, peers: Sequence[Contender], limit: float) -> Section:
    """Kill each contender when half of the answers are out, and run it again.

    Either run is killed after `limit` seconds; whoever's second run was is not tried in a further round.
    """
    able = runnable([BARE_SDK, LIMBECK_LEDGER, *peers])
    found: dict[str, list[Resumed]] = {contender.name: [] for contender in able}
    with loopback(Behaviour(latency=0.1)) as server:
        for turn in range(rounds):
            for contender in (each for each in able if _ended(found[each.name])):
                outcome = _kill_and_resume(contender, server, rows=rows, window=window, limit=limit)
                found[contender.name].append(outcome)
                say(f"round {turn + 1}: {contender.name}: {outcome.paid_twice} bought twice")
    return Section(
        name="resume",
        title="Answers bought twice after kill -9 at half",
        conditions=f"{rows} rows, 100 ms an answer, {window} in flight at most; {rounds_in_words(rounds)}.",
        header=["", "bought twice", "seconds of the second run", "rows right in the end"],
        rows=[_line(name, each, limit) for name, each in found.items()],
        unit="answers bought twice",
        bars={name: [float(outcome.paid_twice) for outcome in each] for name, each in found.items() if _ended(each)},
    )


def _line(name: str, outcomes: Sequence[Resumed], limit: float) -> list[str]:
    right = statistics.median(outcome.rows.right for outcome in outcomes)
    twice = spread([outcome.paid_twice for outcome in outcomes], ".0f")
    seconds = spread([outcome.seconds for outcome in outcomes]) if _ended(outcomes) else not_ended(limit)
    return [name, twice, seconds, f"{right:.0f}"]


def _ended(outcomes: Sequence[Resumed]) -> bool:
    return all(outcome.ended for outcome in outcomes)


def _kill_and_resume(contender: Contender, server: Loopback, *, rows: int, window: int, limit: float) -> Resumed:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:  # who is killed may be writing still
        job = new_job(Path(name), server.url, rows=rows, window=window)
        server.reset()
        _run_half(contender, job, server, rows // 2, limit)
        again = replace(job, again=True)
        environment = contender.environment_for(again)
        spent = run(contender.command(again), Path(name) / "again.txt", environment, limit=limit)
        return Resumed(spent.ended, spent.seconds, server.stats()["paid_twice"], delivered(again))


def _run_half(contender: Contender, job: Job, server: Loopback, half: int, limit: float) -> None:
    deadline = time.monotonic() + limit
    process = start(contender.command(job), job.target.parent / "log.txt", contender.environment_for(job))
    while process.poll() is None and server.stats()["answered"] < half and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    kill(process)
    process.wait()
