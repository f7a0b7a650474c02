"""The plots of the page, as SVG to stand inside it: drawn by matplotlib, coloured and set in type by the page.

Every plot is drawn for a width of 380 pixels, so that its words are as large as the page's on a
telephone and in a column of a wide screen.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .wording import count, seconds, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .figures import Calls, StepFigures

WIDTH = 380
_DPI = 72
_BAR_HEIGHT = 40  # pixels from one labelled bar to the next
_GUTTER = 14  # pixels a lane of the graph
MOST_BARS = 40
_MOST_LINES = 4
_BINS = 36

# Colours that the page decides on: each stands in the SVG as a number that nobody else uses.
_INK, _MUTED, _LINE, _GOOD, _BAD = "#010a01", "#010a02", "#010a03", "#010a04", "#010a05"
_SOFT = "#010a06"
_SERIES = ("#010a07", "#010a08", "#010a09", "#010a0a")
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _LINE: "--line",
    _GOOD: "--good",
    _BAD: "--bad",
    _SOFT: "--soft",
    **{colour: f"--series-{number}" for number, colour in enumerate(_SERIES, 1)},
}
SERIES_VARIABLES = tuple(_VARIABLES[colour] for colour in _SERIES)


@dataclass(frozen=True, slots=True)
class Bar:
    """A labelled bar.

    Attributes:
        name: above it, at the left. value: above it, at the right.
        parts: lengths and colour variables, from the left. under: of a second bar below, or nothing.
    """

    name: str
    value: str
    parts: Sequence[tuple[float, str]]
    under: Sequence[tuple[float, str]] = ()


def flow_bars(steps: Sequence[StepFigures]) -> list[Bar]:
    """Each step's rows in, with the failed ones at the end, over its rows out."""
    return [
        Bar(
            step.name,
            _rows_of(step),
            [(max(0, (step.came_in or 0) - (step.rows_failed or 0)), _SOFT), (step.rows_failed or 0, _BAD)],
            [(step.went_out or 0, _GOOD)],
        )
        for step in steps[:MOST_BARS]
    ]


def _rows_of(step: StepFigures) -> str:
    if step.kind == "source":
        return f"{count(step.rows_out)} rows"
    if step.rows_out is None or step.kind == "sink":
        return f"{count(step.rows_in)} rows"
    return f"{count(step.rows_in)} → {count(step.rows_out)}"


def failure_bars(counts: Sequence[tuple[str, str, int]]) -> list[Bar]:
    """A bar for each step, type and count."""
    return [Bar(f"{type} in {step}", count(number), [(number, _BAD)]) for step, type, number in counts[:MOST_BARS]]


def token_bars(rows: Sequence[tuple[str, int, int]]) -> list[Bar]:
    """A bar of input and output tokens for each name."""
    return [
        Bar(name, f"{count(given)} in, {count(made)} out", [(given, _SOFT), (made, _GOOD)])
        for name, given, made in rows[:MOST_BARS]
    ]


def draw_bars(bars: Sequence[Bar], *, name: str, edges: Sequence[tuple[int, int]] | None = None) -> str:
    """Labelled bars, one below the other; with the edges of a graph between them, as SVG.

    Args:
        bars: from the top. name: makes the SVG's ids its own. edges: from and to, as places among the bars.
    """
    lanes = lanes_of(len(bars), edges or [])
    gutter = 0 if edges is None else _GUTTER * min(6, 1 + max(lanes, default=0)) + 6
    height = _BAR_HEIGHT * max(1, len(bars)) + 4
    with _drawn(height, name) as (figure, svg):
        axes = _bare_axes(figure, height)
        longest = max((sum(part[0] for part in each) for bar in bars for each in (bar.parts, bar.under)), default=0)
        scale = (WIDTH - gutter - 2) / (longest or 1)
        for place, bar in enumerate(bars):
            _draw_bar(axes, bar, left=gutter, top=place * _BAR_HEIGHT + 4, scale=scale)
        if edges is not None:
            _draw_graph(axes, lanes, edges)
    return svg[0]


def _draw_bar(axes: Axes, bar: Bar, *, left: float, top: float, scale: float) -> None:
    room = WIDTH - left - 7 * len(bar.value) - 12
    words: dict[str, Any] = {"fontsize": 12, "va": "center", "parse_math": False}
    axes.text(left, top + 8, short(bar.name, max(6, int(room / 7))), color=_INK, **words)
    axes.text(WIDTH - 1, top + 8, bar.value, color=_MUTED, ha="right", **words)
    for parts, below, height in ((bar.parts, 18, 6 if bar.under else 9), (bar.under, 25, 5)):
        start = left
        for length, colour in parts:
            if length > 0:
                width = max(1.5, length * scale)  # a failure among millions is still seen
                axes.broken_barh([(start, width)], (top + below, height), facecolors=colour, linewidth=0)
                start += width


def _draw_graph(axes: Axes, lanes: Sequence[int], edges: Sequence[tuple[int, int]]) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    def at(place: int) -> tuple[float, float]:
        return _GUTTER * min(5, lanes[place]) + 5, place * _BAR_HEIGHT + 13

    for before, after in edges:
        (x0, y0), (x1, y1) = at(before), at(after)
        bend = min(18.0, (y1 - y0) / 2)
        points = [(x0, y0), (x0, y1 - 2 * bend), (x0, y1 - bend), (x1, y1 - bend), (x1, y1)]
        if x1 > x0:  # it leaves for its own lane at once, and ends in it
            points = [(x0, y0), (x0, y0 + bend), (x1, y0 + bend), (x1, y0 + 2 * bend), (x1, y1)]
            codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
        else:
            codes = [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        axes.add_patch(PathPatch(Path(points, codes), facecolor="none", edgecolor=_MUTED, linewidth=1.4))
    for place in range(len(lanes)):
        x, y = at(place)
        axes.plot([x], [y], marker="o", markersize=7, color=_INK, markeredgewidth=0, zorder=3)


def lanes_of(nodes: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for each node of a DAG in topological order, so that a lane is one path at a time.

    The first child goes on in its parent's lane, each further child takes a free one, and where
    paths meet the leftmost of their lanes goes on.
    """
    parents: dict[int, list[int]] = {}
    children: dict[int, list[int]] = {}
    for before, after in edges:
        parents.setdefault(after, []).append(before)
        children.setdefault(before, []).append(after)
    lanes: list[int] = []
    busy: dict[int, int] = {}  # a lane, and the last node that its path reaches
    for node in range(nodes):
        own = [lanes[each] for each in parents.get(node, ()) if min(children[each]) == node]
        taken = {lane for lane, until in busy.items() if until > node and lane not in own}
        lane = min(own, default=next(lane for lane in range(nodes) if lane not in taken))
        lanes.append(lane)
        busy[lane] = max(children.get(node, [node]))
    return lanes


# Distributions


def draw_distribution(series: Sequence[tuple[str, Sequence[float]]], *, name: str, unit: str) -> str:
    """Draw how often each value occurs, one line a series, on a logarithmic scale where they range widely, as SVG.

    Args:
        series: names and values above 0; the first four are drawn.
        unit: "s" for seconds, else the word behind the numbers.
    """
    import numpy as np

    drawn = [values[values > 0] for values in (np.asarray(values, dtype=float) for _, values in series[:_MOST_LINES])]
    everything = np.concatenate([*drawn, np.array([])])
    with _drawn(190, name) as (figure, svg):
        axes = _framed_axes(figure)
        if everything.size:
            edges, logarithmic = _bins(float(everything.min()), float(everything.max()))
            if logarithmic:
                axes.set_xscale("log")
            for values, colour in zip(drawn, _SERIES, strict=False):
                heights, _ = np.histogram(values, bins=edges)
                axes.stairs(heights, edges, fill=True, color=colour, alpha=0.13, linewidth=0)
                axes.stairs(heights, edges, color=colour, linewidth=1.5)
            axes.set_ylim(bottom=0)
            axes.set_xlim(edges[0], edges[-1])
            _label_x(axes, seconds if unit == "s" else _with_unit(unit))
    return svg[0]


def _bins(low: float, high: float) -> tuple[list[float], bool]:
    if high <= low * 1.0001:
        low, high = low * 0.9, high * 1.1
    if high / low > 30:
        first, last = math.log(low), math.log(high)
        return [math.exp(first + (last - first) * place / _BINS) for place in range(_BINS + 1)], True
    return [low + (high - low) * place / _BINS for place in range(_BINS + 1)], False


def _with_unit(unit: str) -> Any:
    return lambda value: f"{count(value)} {unit}"


def _label_x(axes: Axes, words: Any) -> None:
    """Three to five labels, none too close to the next."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axes.get_xlim()
    logarithmic = axes.get_xscale() == "log"
    locator = LogLocator(subs=(1, 3) if high / low < 2_000 else (1,), numticks=9) if logarithmic else MaxNLocator(4)
    ticks = [tick for tick in locator.tick_values(low, high) if low <= tick <= high]
    ticks = ticks[:: math.ceil(len(ticks) / 5)] if ticks else [low, high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def draw_throughput(calls: Sequence[Calls], begin: float, end: float, *, name: str) -> str:
    """Answers and failures a second between two moments (seconds since 1970), as SVG."""
    span = max(end - begin, 1e-3)
    bins = 48
    width = span / bins
    rates = {0: [0.0] * bins, 1: [0.0] * bins}
    for each in calls:
        for moment, failed in zip(each.at, each.failed, strict=True):
            if begin <= moment <= end:
                rates[failed][min(bins - 1, int((moment - begin) / width))] += 1 / width
    middles = [(place + 0.5) * width for place in range(bins)]
    with _drawn(190, name) as (figure, svg):
        axes = _framed_axes(figure)
        axes.fill_between(middles, rates[0], step="mid", color=_SERIES[0], alpha=0.15, linewidth=0)
        axes.step(middles, rates[0], where="mid", color=_SERIES[0], linewidth=1.5)
        if any(rates[1]):
            axes.step(middles, rates[1], where="mid", color=_BAD, linewidth=1.5)
        axes.set_xlim(0, span)
        axes.set_ylim(bottom=0)
        _label_x(axes, seconds)
    return svg[0]


# Figures


@contextmanager
def _drawn(height: int, name: str) -> Iterator[tuple[Figure, list[str]]]:
    """A figure to draw in; at the end the list holds its SVG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    result: list[str] = []
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # the user's own style is not the page's
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": name})
        warnings.filterwarnings("ignore", message=r"Glyph .* missing")  # the page's fonts set the words
        figure = Figure(figsize=(WIDTH / _DPI, height / _DPI), dpi=_DPI)
        FigureCanvasSVG(figure)
        yield figure, result
        figure.patch.set_alpha(0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    result.append(_inlined(buffer.getvalue(), name))


def _bare_axes(figure: Figure, height: float) -> Axes:
    """Axes in pixels from the top left, without a frame."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.autoscale(enable=False)
    return axes


def _framed_axes(figure: Figure) -> Axes:
    from matplotlib.ticker import FuncFormatter

    axes = figure.add_axes((0.13, 0.13, 0.84, 0.83))
    axes.patch.set_alpha(0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.tick_params(length=0, labelcolor=_MUTED, labelsize=11, pad=5)
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    return axes


def _inlined(svg: str, name: str) -> str:
    """An SVG document as an element of a page: scaled by it, in its colours, with ids that no other plot has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, count=1, flags=re.DOTALL)  # it would hold for the whole page
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
