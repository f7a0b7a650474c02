"""A pipeline as a picture: Mermaid text, or SVG through networkx and matplotlib."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from ...errors import ConfigurationError, MissingDependencyError
from .kinds import kind_of

if TYPE_CHECKING:
    from .graph import Graph

_MERMAID = {
    "source": "([{}])",
    "sink": "[({})]",
    "router": "{{{}}}",
    "join": "{{{{{}}}}}",
    "task": "[[{}]]",
    "global": "[/{}/]",
    "step": "[{}]",
}
_COLOURS = {"source": "#d7e8f7", "sink": "#d9efd9", "task": "#fbe5c8", "router": "#eee0f5", "join": "#eee0f5"}


def draw(graph: Graph, format: str) -> str:
    """Draw a graph; see `Pipeline.draw`."""
    if format == "mermaid":
        return _mermaid(graph)
    if format == "svg":
        return _svg(graph)
    raise ConfigurationError(f"A pipeline is drawn as 'mermaid' or 'svg', not as {format!r}.")


def _mermaid(graph: Graph) -> str:
    steps = graph.steps
    ids = {name: f"s{place}" for place, name in enumerate(steps)}
    lines = ["flowchart LR"]
    for name, step in steps.items():
        label = '"' + re.sub(r'["\n]', lambda found: f"#{ord(found[0])};", name) + '"'
        lines.append(f"    {ids[name]}{_MERMAID[kind_of(step)].format(label)}")
    lines += [f"    {ids[before]} --> {ids[after]}" for before, after in graph.edges]
    return "\n".join(lines) + "\n"


def _svg(graph: Graph) -> str:
    try:
        import networkx as nx
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingDependencyError(
            exc.name or "matplotlib", needed_by="Drawing a pipeline as SVG", requirement="limbeck-core[draw]"
        ) from exc
    drawn = nx.DiGraph(graph.edges)
    drawn.add_nodes_from(graph.steps)
    layers = list(nx.topological_generations(drawn))
    for number, layer in enumerate(layers):
        for name in layer:
            drawn.nodes[name]["layer"] = number
    figure = Figure(figsize=(1 + 2.2 * len(layers), 1 + 0.9 * max(map(len, layers))))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.margins(0.15)
    places = nx.multipartite_layout(drawn, subset_key="layer")
    nx.draw_networkx_edges(drawn, places, ax=axes, node_size=3000, edge_color="#777777", arrowsize=14)
    for name, place in places.items():
        colour = _COLOURS.get(kind_of(graph.steps[name]), "#eeeeee")
        box = {"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": "#777777"}
        axes.text(place[0], place[1], name, ha="center", va="center", fontsize=9, bbox=box)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
