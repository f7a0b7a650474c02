"""The page: one HTML file with everything in it.

What came from models, rows and servers is a stranger's: the template escapes all of it, it is cut
where it is long, and the page's own policy lets no script run but the one that copies texts.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING, Any

from limbeck.errors import ConfigurationError, printable

from . import plots, wording
from .conversations import abreast
from .run import stretches
from .samples import read_with_samples
from .text import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from jinja2 import Environment

    from .figures import RunFigures, StepFigures
    from .samples import StepSamples

MOST_SHOWN = 20_000
"""Characters of one text that the page holds at most."""

_MARK = b'<meta name="generator" content="limbeck-report">'
_UNFOLDED_CHARACTERS, _UNFOLDED_LINES = 700, 14
_PEEK = 320
_BRIEF = 80
_MOST_MESSAGES = 40
_MOST_COLUMNS = 60


def write_page(run: str, path: Path, *, count: int, seed: int) -> None:
    """Write the page of the run in a directory.

    Args:
        run: the directory, or its name in `runs/`. path: where to; an earlier report there is replaced.
        count: failures, and as many successes, of each step. seed: draws others.

    Raises:
        ConfigurationError: there is no run, or something else than a report at `path`.
        LedgerError: the ledger cannot be read.
    """
    refuse_foreign(path)
    figures, samples = read_with_samples(run, count=count, seed=seed)
    publish(path, render(figures, samples, seed=seed))


def refuse_foreign(path: Path) -> None:
    """Raise unless a report may be written to `path`."""
    if path.is_dir() or not path.parent.is_dir():
        what = "is a directory" if path.is_dir() else "lies in a directory that is not there"
        raise ConfigurationError(f"{str(path)!r} {what}. Name a file for the page.")
    if path.exists() and _MARK not in path.read_bytes()[:1_000]:
        raise ConfigurationError(f"{str(path)!r} exists and is no report. It was left as it is; name another file.")


def publish(path: Path, page: str) -> None:
    """Write the page whole or not at all.

    Raises:
        ConfigurationError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_text(page, encoding="utf-8")
        os.replace(beside, path)  # noqa: PTH105 - as it says
    except OSError as exc:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(f"{str(path)!r} cannot be written: {exc.strerror or exc}.") from exc


def render(run: RunFigures, samples: Sequence[StepSamples], *, seed: int) -> str:
    """The page's text."""
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            samples=samples,
            seed=seed,
            verdict=verdict(run),
            totals=totals_of(run),
            figures=list(_figures(run)),
            style=_asset("page.css"),
            script=script,
            script_digest=digest,
        )
        .lstrip()
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_asset),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {
        "count": wording.count,
        "share": wording.share,
        "money": wording.money,
        "seconds": wording.seconds,
        "moment": wording.moment,
        "short": wording.short,
        "excerpt": excerpt_of,
        "abreast": abreast,
        "turn_name": wording.turn_name,
        "told_before": wording.told_before,
        "what_became": wording.what_became,
        "called": lambda turn: wording.called(turn.name, turn.arguments),
        "how_it_failed": wording.how_it_failed,
        "cells": lambda row: list(islice(row.items(), _MOST_COLUMNS)),
        "some": lambda messages: messages[:_MOST_MESSAGES],
    }
    return environment


# Texts


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text as the page shows it.

    Attributes:
        text: what is shown of it. peek: its beginning, for a long text, which is folded; else None.
        size: how long it is, in words. cut: whether `text` is not all of it.
    """

    text: str
    peek: str | None
    size: str
    cut: bool

    @property
    def brief(self) -> bool:
        """Tell whether it is a few words in one line."""
        return len(self.text) <= _BRIEF and "\n" not in self.text


def excerpt_of(value: Any, length: int | None = None) -> Excerpt:
    """The excerpt to show of a text, or of any value of a row.

    Args:
        length: of the whole text, where `value` is only its beginning.
    """
    whole = value if isinstance(value, str) else _json(value)
    length = max(length or 0, len(whole))
    text = printable(whole[:MOST_SHOWN])
    folded = len(text) > _UNFOLDED_CHARACTERS or text.count("\n") >= _UNFOLDED_LINES
    peek = f"{' '.join(text[: 2 * _PEEK].split())[:_PEEK]}…" if folded else None
    return Excerpt(text, peek, f"{length:,} character{'s' * (length != 1)}", cut=length > MOST_SHOWN)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=2, default=repr)


# Figures


def totals_of(run: RunFigures) -> list[tuple[str, str]]:
    """The few numbers that the page begins with: names and values."""
    costs = [step.cost for step in run.steps if step.cost is not None]
    given = sum(each.input_tokens for each in run.spending) or _sum(run.steps, "input_tokens")
    made = sum(each.output_tokens for each in run.spending) or _sum(run.steps, "output_tokens")
    found = [
        ("Rows in", wording.count(_rows_in(run.steps))),
        ("Rows out", wording.count(_rows_out(run.steps))),
        ("Rows failed", wording.count(_sum(run.steps, "rows_failed"))),
        ("Answers", wording.count(sum(each.answers for each in run.spending))),
        ("Tokens in", wording.count(given)),
        ("Tokens out", wording.count(made)),
        ("Cost", wording.money(sum(costs) if costs else None)),
        ("Time", wording.seconds(run.seconds)),
    ]
    return [(name, value) for name, value in found if value != wording.NONE]


def _sum(steps: Sequence[StepFigures], name: str) -> int:
    return sum(getattr(step, name) or 0 for step in steps)


def _rows_in(steps: Sequence[StepFigures]) -> int | None:
    sources = [step.rows_out for step in steps if step.kind == "source" and step.rows_out is not None]
    return sum(sources) if sources else max((step.rows_in or 0 for step in steps), default=None)


def _rows_out(steps: Sequence[StepFigures]) -> int | None:
    """The number of rows that left the pipeline, where its edges are known."""
    if not steps or any(step.after is None for step in steps):
        return None
    inner = {name for step in steps for name in step.after or ()}
    leaves = [step for step in steps if step.name not in inner]
    rows = [step.rows_in if step.kind == "sink" else step.rows_out for step in leaves]
    return None if None in rows else sum(each for each in rows if each is not None)


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure of the page.

    Attributes:
        svg: safe as it stands. words: what the plot shows, for who does not see it.
        legend: names and the variables of their colours.
    """

    name: str
    title: str
    svg: str
    words: str
    legend: Sequence[tuple[str, str]] = ()


def _figures(run: RunFigures) -> Iterator[Plot]:
    makers: list[Callable[[RunFigures], Plot | None]] = [_flow, _failures, _tokens, _latencies, _lengths, _throughput]
    for make in makers:
        plot = make(run)
        if plot is not None:
            yield plot


def _flow(run: RunFigures) -> Plot | None:
    if not run.steps:
        return None
    places = {step.name: place for place, step in enumerate(run.steps)}
    edges = [
        (places[before], place)
        for place, step in enumerate(run.steps)
        for before in step.after or ()
        if places.get(before, place) < place
    ]
    svg = plots.draw_bars(plots.flow_bars(run.steps), name="flow", edges=_few(edges) or None)
    words = "; ".join(
        f"{wording.short(step.name, 60)}: {wording.count(step.rows_in)} in, {wording.count(step.rows_out)} out, "
        f"{wording.count(step.rows_failed)} failed"
        for step in run.steps
    )
    legend = [("in", "--soft"), ("failed", "--bad")]
    if any(step.rows_out is not None for step in run.steps):
        legend.insert(1, ("out", "--good"))
    return Plot("flow", "Rows along the steps", svg, words, legend)


def _few(edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return [edge for edge in edges if max(edge) < plots.MOST_BARS]


def _failures(run: RunFigures) -> Plot | None:
    counts = [(each.step, each.type, each.count) for each in run.reasons]
    if not counts:
        return None
    words = "; ".join(f"{type} in {step}: {number:,}" for step, type, number in counts)
    return Plot(
        "failures", "Why generations failed", plots.draw_bars(plots.failure_bars(counts), name="failures"), words
    )


def _tokens(run: RunFigures) -> Plot | None:
    rows = [
        (f"{each.step}, {each.model}" if each.model else each.step, each.input_tokens, each.output_tokens)
        for each in run.spending
    ]
    if not any(given or made for _, given, made in rows):
        return None
    words = "; ".join(f"{name}: {given:,} in, {made:,} out" for name, given, made in rows)
    svg = plots.draw_bars(plots.token_bars(rows), name="tokens")
    return Plot("tokens", "Tokens", svg, words, [("in", "--soft"), ("out", "--good")])


def _latencies(run: RunFigures) -> Plot | None:
    series = [
        (name, [value for value, failed in zip(each.latencies, each.failed, strict=True) if not failed])
        for name, each in run.calls.items()
    ]
    spreads = {each.step: each.latency for each in run.timings if each.latency is not None}
    words = "; ".join(
        f"{step}: half within {wording.seconds(spread.p50)}, 99 % within {wording.seconds(spread.p99)}"
        for step, spread in spreads.items()
    )
    return _distribution("latency", "Time of an answer", series, words, unit="s")


def _lengths(run: RunFigures) -> Plot | None:
    series = [
        (name, [float(value) for value, failed in zip(each.lengths, each.failed, strict=True) if not failed])
        for name, each in run.calls.items()
    ]
    spreads = {each.step: each.length for each in run.timings if each.length is not None}
    words = "; ".join(
        f"{step}: half within {spread.p50:,.0f} characters, 99 % within {spread.p99:,.0f}"
        for step, spread in spreads.items()
    )
    return _distribution("length", "Length of an answer, in characters", series, words, unit="")


def _distribution(
    name: str, title: str, series: Sequence[tuple[str, Sequence[float]]], words: str, *, unit: str
) -> Plot | None:
    drawn = [(step, values) for step, values in series if any(value > 0 for value in values)]
    if not drawn:
        return None
    legend = [(step, variable) for (step, _), variable in zip(drawn, plots.SERIES_VARIABLES, strict=False)]
    return Plot(name, title, plots.draw_distribution(drawn, name=name, unit=unit), words, legend)


def _throughput(run: RunFigures) -> Plot | None:
    found = stretches(run.calls.values())
    if not found or found[-1][0] == found[-1][1]:
        return None
    begin, end = found[-1]
    svg = plots.draw_throughput(list(run.calls.values()), begin, end, name="throughput")
    which = f", the last of {len(found)} stretches of work" if len(found) > 1 else ""
    calls = sum(1 for each in run.calls.values() for moment in each.at if begin <= moment <= end)
    words = f"{calls:,} calls in {wording.seconds(end - begin)}, {calls / (end - begin):,.1f} a second on average."
    legend = [("answers", plots.SERIES_VARIABLES[0])]
    if run.reasons:
        legend.append(("failures", "--bad"))
    return Plot("throughput", f"Answers a second{which}", svg, words, legend)
