"""The graph of a pipeline: steps by name, the edges along which rows go, and what is checked before a row moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..._step import GeneratorStep, Sink, Step
from ...errors import ConfigurationError
from ..steps.rows import source_of
from .columns import check_columns
from .kinds import declared_columns, is_source
from .layout import regions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class GraphFile(Protocol):
    """The file that a graph was read from, as far as a run is concerned with it."""

    @property
    def limit(self) -> int | None:
        """Rows of each source to read at most."""
        ...

    def hidden(self, text: str) -> str:
        """A text without what the file took from the environment."""
        ...

    def config(self, graph: Graph) -> dict[str, Any]:
        """The graph as the file would have it now.

        Raises:
            ConfigurationError: it holds what cannot be written.
        """
        ...


class Graph:
    """Steps, and the edges along which their rows go.

    Attributes:
        name: what messages, run directories and reports call it.
        file: what it was read from; None where it was made in Python.
    """

    def __init__(self, *, name: str = "pipeline") -> None:
        self.name = name
        self.file: GraphFile | None = None
        self._steps: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, steps={list(self._steps)})"

    # Building

    def add(self, step: Any) -> Any:
        """Take a step in; gives it back, or the source made of rows.

        Raises:
            ConfigurationError: another step has its name, or it is no step.
        """
        if _is_step(step):
            known = self._steps.get(step.name)
            if known is step:
                return step
            if known is not None:
                self._rename(step)
        elif isinstance(step, list | tuple) and any(map(_is_step, step)):
            raise ConfigurationError(
                "A list of steps is no step. Branches are made inside `with Pipeline(…):`, by `>>`: "
                "`source >> [first, second] >> join()`."
            )
        else:
            step = source_of(step, self._free("rows"))
        self._steps[step.name] = step
        return step

    def _rename(self, step: Any) -> None:
        """Give an unnamed repeat a name of its own."""
        if not isinstance(step, Step) or "name" in step.model_fields_set:
            raise ConfigurationError(
                f"The pipeline {self.name!r} has a step named {step.name!r} already. Names are unique in a "
                "pipeline: give one of them another `name`."
            )
        step.__dict__["name"] = self._free(step.name)  # still not counted as set by the user

    def _free(self, name: str) -> str:
        count, free = 1, name
        while free in self._steps:
            count += 1
            free = f"{name}-{count}"
        return free

    def connect(self, before: Any, after: Any) -> Any:
        """Have the rows of `before` (or of each step in a list of them) go to `after`; gives `after` back.

        Raises:
            ConfigurationError: as `add`; or the edge is there already, or leads into a source or out of a sink.
        """
        after = self.add(after)
        several = isinstance(before, list | tuple) and bool(before) and all(map(_is_step, before))
        for each in before if several else [before]:
            self._connect(self.add(each), after)
        return after

    def _connect(self, before: Any, after: Any) -> None:
        edge = (before.name, after.name)
        if edge in self._edges:
            raise ConfigurationError(f"{before.name!r} leads to {after.name!r} already.")
        if isinstance(after, GeneratorStep):
            raise ConfigurationError(
                f"{after.name!r} is a source: it takes no rows, so {before.name!r} cannot lead to it."
            )
        if isinstance(before, Sink):
            raise ConfigurationError(
                f"{before.name!r} is a sink: it gives no rows on, so it cannot lead to {after.name!r}."
            )
        self._edges.append(edge)

    # Looking

    @property
    def steps(self) -> dict[str, Any]:
        """The steps by name, each after all those that lead to it.

        Raises:
            ConfigurationError: the edges make a circle.
        """
        waiting = {name: {before for before, after in self._edges if after == name} for name in self._steps}
        ordered: dict[str, Any] = {}
        while waiting:
            ready = [name for name, before in waiting.items() if before <= ordered.keys()]
            if not ready:
                raise ConfigurationError(f"The pipeline {self.name!r} goes in a circle: {self._circle(waiting)}.")
            for name in ready:
                ordered[name] = self._steps[name]
                del waiting[name]
        return ordered

    def _circle(self, waiting: Mapping[str, set[str]]) -> str:
        path = [next(iter(waiting))]
        while path[-1] not in path[:-1]:
            path.append(next(before for before in sorted(waiting[path[-1]]) if before in waiting))
        return " -> ".join(reversed(path[path.index(path[-1]) :]))

    @property
    def edges(self) -> list[tuple[str, str]]:
        """The edges, as pairs of names, in the order they were made."""
        return list(self._edges)

    def before(self, name: str) -> list[str]:
        """The names of the steps that lead to `name`, in the order of their edges."""
        return [before for before, after in self._edges if after == name]

    def after(self, name: str) -> list[str]:
        """The names of the steps that `name` leads to, in the order of their edges."""
        return [after for before, after in self._edges if before == name]

    @property
    def leaves(self) -> list[str]:
        """The names of the steps that lead nowhere."""
        return [name for name in self.steps if not self.after(name)]

    def check(self, *, rows_given: bool = False) -> None:
        """Raise for all that is wrong with the graph and can be seen before a row has moved.

        Args:
            rows_given: whether steps that nothing leads to get rows from elsewhere.

        Raises:
            MissingColumnError: a step needs a column that the rows on an edge to it do not have.
            ConfigurationError: a circle, a step connected to nothing or without a source, a
                route that leads nowhere.
        """
        steps = self.steps
        if not steps:
            raise ConfigurationError(f"The pipeline {self.name!r} has no steps.")
        for name, step in steps.items():
            self._check_place(name, step, rows_given=rows_given)
        regions_of(steps, self._edges)
        self.check_columns({name: declared_columns(step) for name, step in steps.items() if not self.before(name)})

    def check_columns(self, declared: Mapping[str, Sequence[str] | None]) -> None:
        """Raise unless the columns of the sources, and what is made of them, are what every step needs."""
        check_columns(self.steps, {name: self.before(name) for name in self._steps}, declared)

    def _check_place(self, name: str, step: Any, *, rows_given: bool) -> None:
        before, after = self.before(name), self.after(name)
        if len(self._steps) > 1 and not before and not after:
            raise ConfigurationError(f"The step {name!r} of the pipeline {self.name!r} is connected to nothing.")
        if not before and not is_source(step) and not rows_given:
            raise ConfigurationError(
                f"Nothing leads to the step {name!r}, and it is no source. Put a source before it, or give rows: "
                "`pipeline.run(rows)`."
            )
        if hasattr(step, "check_downstream"):
            step.check_downstream(after)
        if hasattr(step, "joined") and len(before) < 2:
            raise ConfigurationError(f"The join {name!r} has {len(before)} branch to join; it needs two or more.")


def _is_step(step: Any) -> bool:
    return isinstance(step, Step) or (hasattr(step, "process") and isinstance(getattr(step, "name", None), str))
