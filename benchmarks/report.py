"""Tables and charts: on the terminal, and in a document between its markers."""

from __future__ import annotations

import json
import platform
import statistics
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from .loopback import cores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PACKAGES = ("limbeck-core", "openai", "aiohttp", "pydantic")
_NO_CHART = "No chart was drawn: matplotlib is not installed (`pip install 'limbeck[benchmarks]'`)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one benchmark found.

    Attributes:
        name: the subcommand. title: of the chart. conditions: under which it was measured.
        header: the columns of the table. rows: its rows.
        unit: of what the chart shows. bars: for each contender, one value a round.
    """

    name: str
    title: str
    conditions: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    unit: str
    bars: dict[str, list[float]] = field(default_factory=dict)


def machine() -> str:
    """The conditions that all sections share."""
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return f"{cores()} cores, CPython {platform.python_version()} on {platform.system()}; {versions}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def markdown(section: Section) -> str:
    """The section's table, and the conditions under it."""
    lines = [_row(section.header), _row(["---"] + ["---:"] * (len(section.header) - 1))]
    lines += [_row(row) for row in section.rows]
    return "\n".join([*lines, "", f"{section.conditions} {machine()}."])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write(document: Path, sections: Sequence[Section]) -> str | None:
    """Put each section between its markers in `document`, the figures beside it, and draw the chart anew.

    Figures of sections that were not measured now are kept. Returns why there is no chart, or None.
    """
    text = document.read_text(encoding="utf-8") if document.exists() else "# Benchmarks\n"
    for section in sections:
        text = _placed(text, section)
    document.write_text(text, encoding="utf-8")
    figures = document.with_suffix(".json")
    known: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    known |= {section.name: asdict(section) for section in sections}
    figures.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return _draw(list(known.values()), document.with_suffix(".png"))


def _placed(text: str, section: Section) -> str:
    begin, end = f"<!-- {section.name}: measured -->", f"<!-- {section.name}: end -->"
    before, found, rest = text.partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    heading = "" if found else f"\n## {section.title}\n\n"
    return f"{before}{heading}{begin}\n{markdown(section)}\n{end}{after}"


def _draw(sections: list[dict[str, Any]], path: Path) -> str | None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return _NO_CHART
    columns = 2
    lines = -(-len(sections) // columns)
    figure = Figure(figsize=(12, 2.6 * lines), layout="constrained")
    for place, section in enumerate(sections):
        _draw_bars(figure.add_subplot(lines, columns, place + 1), section)
    figure.savefig(path, dpi=100)
    return None


def _draw_bars(axes: Any, section: dict[str, Any]) -> None:
    names = list(section["bars"])[::-1]
    values = [section["bars"][name] for name in names]
    medians = [statistics.median(each) for each in values]
    reach = [
        [median - min(each) for median, each in zip(medians, values, strict=True)],
        [max(each) - median for median, each in zip(medians, values, strict=True)],
    ]
    colours = ["tab:orange" if "imbeck" in name else "tab:gray" for name in names]
    axes.barh([name.replace("`", "") for name in names], medians, xerr=reach, color=colours)
    axes.set_title(section["title"], fontsize=10)
    axes.set_xlabel(section["unit"])
