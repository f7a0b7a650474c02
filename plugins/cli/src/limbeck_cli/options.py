"""What the commands that run rows take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from limbeck.recipes import RunSettings

    from .retry import Retry


@dataclass(frozen=True, slots=True)
class Options:
    """What the commands that run rows take.

    Attributes:
        run: how rows are run. overwrite: replace existing outputs. quiet: no progress.
        strict: a row that cannot be read stops the run. reparse: take stored answers only.
        estimate: rows to run for an estimate, in place of the run. retry: which rows to ask again.
        typed: the whole command line behind `limbeck`, for the line that resumes the run; None for
            a command that asks nothing, and so cannot go on.
    """

    run: RunSettings
    overwrite: bool = False
    quiet: bool = False
    strict: bool = False
    reparse: bool = False
    estimate: int | None = None
    retry: Retry | None = None
    typed: Sequence[str] | None = ()

    def with_money(self, money: RunSettings, estimate: int | None = None, *, retry: Retry | None = None) -> Options:
        """These, and what was said of money."""
        return replace(self, run=money.over(self.run), estimate=estimate, retry=retry)


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The one task of `generate`.

    Attributes:
        name: None where it was not said.
        fields: those that have an option of their own: the value, and the option.
    """

    name: str | None
    fields: Mapping[str, tuple[Any, str]]

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return self.name is not None or bool(self.fields)
