"""The steps where rows part and where they meet again: routers and joins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import Field, PrivateAttr

from ..._step import Step
from ..._task.grouping import MODEL_NAME
from ...errors import ConfigurationError
from ...types import METADATA, Row
from .expressions import compile_expression, expression_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


Condition: TypeAlias = str | Callable[[dict[str, Any]], Any] | None
"""What must be true of a row: an expression, a function of the row, or None for "none of the others"."""


class Router(Step):
    """Sends each row to some of the steps that follow.

    Either `function` gives the names of those steps for a row, one or a list; or `routes` has a
    condition for each. A row that goes nowhere leaves the pipeline there, and is counted.

    Attributes:
        routes: the name of a following step to a condition: a Jinja expression over the row's
            columns (`"difficulty > 3"`), a function of the row, or None for rows that no other
            condition takes. A row goes to every step whose condition is true.
        function: gives for a row the name of a following step, or a list of names.
    """

    routes: Mapping[str, Condition] = Field(default_factory=dict)
    function: Callable[[dict[str, Any]], Any] | None = None

    _tests: list[tuple[str, Callable[[Row], Any]]] = PrivateAttr(default_factory=list)
    _otherwise: list[str] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any, /) -> None:
        if bool(self.routes) == (self.function is not None):
            raise ConfigurationError("A router needs either `routes` (a condition for each step) or a `function`.")
        for name, condition in self.routes.items():
            if condition is None:
                self._otherwise.append(name)
            else:
                self._tests.append((name, compile_expression(condition, where=f"The route to {name!r}", truth=True)))
        super().model_post_init(context)

    @property
    def inputs(self) -> dict[str, bool]:
        """The columns that the conditions use; a function's cannot be known."""
        needed: dict[str, bool] = {}
        for condition in self.routes.values():
            for name, required in expression_columns(condition).items():
                needed[name] = required or needed.get(name, False)
        return needed

    def destinations(self, row: Row) -> list[str]:
        """The names of the steps that `row` goes to."""
        if self.function is not None:
            named = self.function(row)
            return [named] if isinstance(named, str) else list(named or ())
        return [name for name, test in self._tests if test(row)] or self._otherwise

    def check_downstream(self, following: Sequence[str]) -> None:
        """Raise unless every route leads to a step that follows, and every such step has a route.

        Raises:
            ConfigurationError: one leads nowhere, or a step can never be reached.
        """
        if not following:
            raise ConfigurationError(f"The router {self.name!r} leads nowhere: nothing follows it.")
        if self.function is not None:
            return
        for name in self.routes:
            if name not in following:
                raise ConfigurationError(
                    f"The router {self.name!r} has a route to {name!r}, which does not follow it; "
                    f"{', '.join(map(repr, following))} {'does' if len(following) == 1 else 'do'}."
                )
        for name in following:
            if name not in self.routes:
                raise ConfigurationError(f"The router {self.name!r} has no route to {name!r}, which follows it.")

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        """Yield the rows as they are; it is the pipeline that sends them."""
        yield inputs


def router(function: Callable[[Row], Any] | None = None, /, *, name: str = "router", **routes: Condition) -> Router:
    """A step that sends each row to some of the steps that follow it.

        questions >> router(hard="difficulty > 3", easy=None) >> [hard, easy]
        questions >> router(lambda row: row["language"]) >> [de, en]

    Args:
        function: gives for a row the name of a following step, or a list of names.
        name: its own.
        routes: in place of a function, a condition for each following step: see `Router`. For
            names that are no Python words, write `Router(routes={"my-step": …})`.

    Raises:
        ConfigurationError: neither or both were given, or a condition is no expression.
    """
    return Router(name=name, function=function, routes=routes)


class Join(Step):
    """Joins the rows that came of one row by several branches into one row again.

    The joined row has the columns of the row where the branches parted, and those that each
    branch added. A column that several branches add is an error, unless it is grouped.

    Attributes:
        group: columns whose values are collected in a list, in the order of the branches. A
            branch from which no row came gives None; one with several rows gives each. The
            model's name is collected without being named here.
    """

    group: list[str] = Field(default_factory=list)

    @property
    def inputs(self) -> list[str]:
        return list(self.group)

    def joined(self, origin: Row, branches: Sequence[Sequence[Row]]) -> Row:
        """One row of the row that parted and, for each branch in order, the rows that came of it.

        Raises:
            ValueError: two rows differ in a column that is not grouped.
        """
        rows = [row for branch in branches for row in branch]
        made: Row = {}
        for row in rows:
            self._take(row, origin, made)
        result = {**origin, **made}
        for column in self.group:
            result[column] = [row.get(column) for branch in branches for row in branch or ({},)]
        metadata = [row[METADATA] for row in rows if METADATA in row]
        if metadata:
            result.pop(METADATA, None)
            result[METADATA] = _merged(metadata)
        names = [name for row in rows if MODEL_NAME in row for name in _listed(row[MODEL_NAME])]
        if names:
            result.pop(MODEL_NAME, None)
            result[MODEL_NAME] = names if any(name != names[0] for name in names) else names[0]
        return result

    def _take(self, row: Row, origin: Row, made: Row) -> None:
        """Note what `row` has beyond its origin."""
        for column, value in row.items():
            if column in self.group or column in (METADATA, MODEL_NAME):
                continue
            if column in origin and (origin[column] is value or origin[column] == value):
                continue
            earlier = made.setdefault(column, value)
            if earlier is not value and earlier != value:
                raise ValueError(
                    f"the rows to be joined differ in the column `{column}`: put it into `group`, or give each "
                    "branch a column of its own with `output_mappings`"
                )

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        """Outside a pipeline: the rows given are the branches' rows, one each."""
        yield [self.joined({}, [[row] for row in inputs])]


def join(*, group: Sequence[str] = (), name: str = "join") -> Join:
    """A step that joins the rows of one origin again: `[small, large] >> join(group=["generation"])`."""
    return Join(name=name, group=list(group))


def _listed(names: Any) -> list[Any]:
    """A model's name, or those that an earlier join has collected."""
    return names if isinstance(names, list) else [names]


def _merged(metadata: Sequence[Any]) -> Any:
    """Merge all branches' metadata: each task's is under the task's own name."""
    if not all(isinstance(each, dict) for each in metadata):
        return metadata[-1]
    return {key: value for each in metadata for key, value in each.items()}
