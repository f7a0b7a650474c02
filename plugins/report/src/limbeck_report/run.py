"""The figures of a run, read from its directory.

`report.json`, which a pipeline writes now and then and at its end, says most. Where it is missing, or older than
the ledger (the run goes on, or was killed), the rows are counted in the ledger.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from limbeck.runs import find_run
from limbeck.types import ModelKind

from .figures import Calls, Reason, RunFigures, Spending, Spread, StepFigures, Timing
from .noted import Noted, moment_in, text_in
from .records import Records, open_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from limbeck.runs import RunState

PAUSE_SECONDS = 600.0
"""Calls further apart than this belong to different stretches of the run."""

_LIVE_SECONDS = 15.0  # a run that goes on notes its figures every five


def read_run(run: str | Path) -> RunFigures:
    """The figures of the run in a directory, which may go on meanwhile.

    Args:
        run: the directory, or its name in `runs/`.

    Raises:
        ConfigurationError: there is no run. LedgerError: its ledger cannot be read.
    """
    with open_records(find_run(run).path) as records:
        return figures_of(records)


def figures_of(records: Records) -> RunFigures:
    """The figures of the run whose records these are."""
    run, folder = records.run, records.folder
    note, noted = run.note(), Noted.of(run.report())
    calls = records.calls()
    stands = run.state()
    told = noted if noted is not None and _is_current(noted, calls, stands) else None
    steps, reasons = noted.steps if noted else [], records.reasons()
    if told is None:
        steps = _merged(steps, _counted(records, list(calls)))
    else:
        reasons = _told_reasons(steps, reasons)
    calls = _ordered(calls, steps)
    return RunFigures(
        folder=str(folder),
        pipeline=(noted and noted.pipeline) or text_in(note.get("name")) or folder.resolve().name,
        state=stands.state,
        error=stands.error,
        started=_started(told, note, calls),
        seconds=told.seconds if told else _seconds(calls),
        source="report" if told else "ledger",
        steps=steps,
        reasons=reasons,
        spending=_named(records.spending(), steps),
        timings=[_timing(name, each) for name, each in calls.items()],
        resume=text_in(note.get("command")),
        notes=_notes(records, noted, told),
        calls=calls,
    )


# What the pipeline noted


def _is_current(noted: Noted, calls: dict[str, Calls], stands: RunState) -> bool:
    """Tell whether the report is of the run's last moments: it is written now and then, and at the end."""
    if noted.over:
        return stands.reported
    ended, running = noted.ended_at, stands.state == "running"
    if ended is None:
        return not running
    if running:
        return time.time() - ended < _LIVE_SECONDS
    return max((max(each.at) for each in calls.values()), default=ended) <= ended + _LIVE_SECONDS


def _told_reasons(steps: Sequence[StepFigures], known: Sequence[Reason]) -> list[Reason]:
    """The report's counts, each with a message from the records."""
    messages = {(reason.step, reason.type): reason.message for reason in known}
    told = [
        Reason(step.name, type, count, messages.get((step.name, type)))
        for step in steps
        for type, count in step.failures.items()
    ]
    return sorted(told, key=lambda reason: -reason.count)


# What the ledger says


def _counted(records: Records, called: Sequence[str]) -> list[StepFigures]:
    """Every step that has calls or failures, with what can be counted; those that have calls first."""
    rows, failed, mended = records.rows(), records.rows_failed(), records.mended()
    failures: dict[str, dict[str, int]] = {}
    for reason in records.reasons():
        failures.setdefault(reason.step, {})[reason.type] = reason.count
    spent: dict[str, list[Spending]] = {}
    for each in records.spending():
        spent.setdefault(each.step, []).append(each)
    configs = records.configs()
    names = dict.fromkeys([*called, *rows])
    return [
        _counted_step(
            StepFigures(
                name,
                rows_in=rows.get(name),
                rows_failed=failed.get(name, 0),
                failures=failures.get(name, {}),
                **mended.get(name, {}),
            ),
            spent.get(name, []),
            configs.get(name, {}),
        )
        for name in names
    ]


def _counted_step(step: StepFigures, spent: Sequence[Spending], config: dict[str, Any]) -> StepFigures:
    costs = [each.cost for each in spent]
    models = {each.model for each in spent if each.model}
    return replace(
        step,
        kind="task" if spent else None,
        input_tokens=sum(each.input_tokens for each in spent),
        output_tokens=sum(each.output_tokens for each in spent),
        cached_tokens=sum(each.cached_tokens for each in spent),
        reasoning_tokens=sum(each.reasoning_tokens for each in spent),
        cost=None if None in costs or not costs else math.fsum(cost for cost in costs if cost is not None),
        model_name=models.pop() if len(models) == 1 else _configured_model(config),
    )


def _configured_model(config: dict[str, Any]) -> str | None:
    llm = next((config[kind] for kind in get_args(ModelKind) if config.get(kind)), None)
    if not isinstance(llm, dict):
        return text_in(llm)
    return next((text_in(llm[key]) for key in ("model", "model_id", "deployment") if llm.get(key)), None)


def _merged(told: Sequence[StepFigures], counted: Sequence[StepFigures]) -> list[StepFigures]:
    """The counted figures, in the order and with the edges of an older report."""
    by_name = {step.name: step for step in counted}
    shapes = {step.name: step for step in told}
    known = [
        replace(by_name.get(name, StepFigures(name)), kind=shape.kind, after=shape.after)
        for name, shape in shapes.items()
    ]
    return known + [step for step in counted if step.name not in shapes]


def _named(spending: Sequence[Spending], steps: Sequence[StepFigures]) -> list[Spending]:
    """The spending by step, in order; with a model's name, and the step's cost where its model is the only one."""
    by_name = {step.name: step for step in steps}
    models = [each.step for each in spending]
    made = []
    for each in spending:
        step = by_name.get(each.step, StepFigures(each.step))
        alone = models.count(each.step) == 1 and not step.reused
        cost = step.cost if each.cost is None and alone else each.cost
        made.append(replace(each, model=each.model or step.model_name, cost=cost))
    places = {name: place for place, name in enumerate(by_name)}
    return sorted(made, key=lambda each: places.get(each.step, len(places)))


def _ordered(calls: dict[str, Calls], steps: Sequence[StepFigures]) -> dict[str, Calls]:
    """The calls in the order of the steps."""
    names = dict.fromkeys([*(step.name for step in steps), *calls])
    return {name: calls[name] for name in names if name in calls}


def _timing(step: str, calls: Calls) -> Timing:
    answered = [place for place, failed in enumerate(calls.failed) if not failed]
    return Timing(
        step,
        answers=len(answered),
        latency=spread_of(calls.latencies[place] for place in answered),
        length=spread_of(calls.lengths[place] for place in answered if calls.lengths[place] >= 0),
    )


def spread_of(values: Iterable[float]) -> Spread | None:
    """The quantiles of values, NaN left out; None of none."""
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return None
    p50, p90, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.9, 0.99))
    return Spread(p50, p90, p99, ordered[-1])


def stretches(calls: Iterable[Calls]) -> list[tuple[float, float]]:
    """The stretches in which calls were made, in seconds since 1970, split at pauses of `PAUSE_SECONDS`."""
    moments = sorted(moment for each in calls for moment in each.at)
    if not moments:
        return []
    found, began, last = [], moments[0], moments[0]
    for moment in moments:
        if moment - last > PAUSE_SECONDS:
            found.append((began, last))
            began = moment
        last = moment
    return [*found, (began, last)]


def _seconds(calls: dict[str, Calls]) -> float | None:
    """The time from the first call's start to the last one's end, less the pauses."""
    found = stretches(calls.values())
    began = _first_start(calls)
    return None if began is None else sum(end - begin for begin, end in found) + found[0][0] - began


def _first_start(calls: dict[str, Calls]) -> float | None:
    """The time at which the first call was made, in seconds since 1970: `at` is when it was answered."""
    if not calls:
        return None
    first = min(calls.values(), key=lambda each: each.at[0])
    return first.at[0] - (0.0 if math.isnan(first.latencies[0]) else first.latencies[0])


def _started(told: Noted | None, note: dict[str, Any], calls: dict[str, Calls]) -> str | None:
    known = moment_in(told.started if told else None) or moment_in(text_in(note.get("started")))
    moment = _first_start(calls) if known is None else known
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _notes(records: Records, noted: Noted | None, told: Noted | None) -> list[str]:
    notes = []
    if told is not None and not told.over:
        notes.append("The steps' figures are the last that the run noted, some seconds before its last answer.")
    if told is None:
        old = " (report.json is of an earlier moment)" if noted else ""
        notes.append(
            f"Counted from the ledger{old}: rows are those that a model was asked about or that failed, and tokens are "
            "of every run in this directory."
        )
    if records.conversing:
        notes.append(_note_on_conversations(sorted(records.conversing)))
    if records.broken_lines:
        some = "A line" if records.broken_lines == 1 else f"{records.broken_lines:,} lines"
        notes.append(f"{some} of {records.run.failed_rows.name} could not be read.")
    return notes


def _note_on_conversations(steps: Sequence[str]) -> str:
    several = len(steps) > 1
    names = ", ".join(repr(name) for name in steps[:5]) + (", …" if len(steps) > 5 else "")
    return (
        f"Step{'s' * several} {names} {'ask' if several else 'asks'} more than once about some rows. Failures and "
        "samples count conversations; answers, times, lengths and rates are of single calls."
    )
