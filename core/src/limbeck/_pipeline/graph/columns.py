"""The check of columns along every edge, before a row has moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._step import GeneratorStep, required_columns
from ..._task.grouping import MODEL_NAME
from ...errors import MissingColumnError
from ...types import METADATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Known:
    """The known columns of the rows that leave a step.

    Attributes:
        columns: those that the rows have. path: the steps they came by, for messages.
    """

    columns: Sequence[str]
    path: Sequence[str]


def check_columns(
    steps: Mapping[str, Any], before: Mapping[str, Sequence[str]], declared: Mapping[str, Sequence[str] | None]
) -> None:
    """Raise unless every column that a step needs is there on each edge that leads to it.

    Args:
        steps: the steps by name, in topological order. before: the names of those that lead to each.
        declared: the columns of each source; None for one that does not say, behind which
            nothing can be checked yet.

    Raises:
        MissingColumnError: a column is missing; the message shows the whole path.
    """
    known: dict[str, Known | None] = {}
    for name, step in steps.items():
        arriving = [known[each] for each in before[name]]
        if hasattr(step, "joined"):
            arriving = [_together(arriving)]
        for each in arriving:
            if each is not None:
                _check(step, each)
        known[name] = _leaving(name, step, arriving, declared)


def _check(step: Any, arriving: Known) -> None:
    renamed = getattr(step, "input_mappings", {})
    needed = [(own, renamed.get(own, own)) for own in required_columns(step.inputs)]
    missing = [(own, column) for own, column in needed if column not in arriving.columns]
    if missing:
        raise MissingColumnError(
            [column for _, column in missing],
            task=step.name,
            present=list(arriving.columns),
            own_name=missing[0][0],
            path=[*arriving.path, step.name],
        )


def _leaving(
    name: str, step: Any, arriving: Sequence[Known | None], declared: Mapping[str, Sequence[str] | None]
) -> Known | None:
    if not arriving or isinstance(step, GeneratorStep):
        columns = declared.get(name)
        if columns is None:
            return None
        own = () if isinstance(step, GeneratorStep) else columns_after(step, columns)
        return Known(list(dict.fromkeys([*columns, *own])), [name])
    if None in arriving:
        return None
    first, *others = [each for each in arriving if each is not None]
    common = [column for column in first.columns if all(column in each.columns for each in others)]
    return Known(columns_after(step, common), [*first.path, name])


def _together(arriving: Sequence[Known | None]) -> Known | None:
    """The columns that a join's rows have of all branches."""
    branches = [each for each in arriving if each is not None]
    if len(branches) < len(arriving):
        return None
    columns = list(dict.fromkeys(column for each in branches for column in each.columns))
    return Known(columns, branches[0].path if branches else [])


def columns_after(step: Any, columns: Sequence[str]) -> list[str]:
    """The columns that leave `step`, which may be anybody's class."""
    after = getattr(step, "columns_after", None)
    if after is not None:
        return list(after(columns))
    beside = [METADATA, MODEL_NAME] if hasattr(step, "llm") else []
    return list(dict.fromkeys([*columns, *step.outputs, *beside]))
