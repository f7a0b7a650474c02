"""How rows are run: what the options of the command line and the keys of a YAML file have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMITS = ("max_concurrency", "rpm", "tpm")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How rows are run; None where nothing was said.

    Attributes:
        run_dir: where every answer is kept. no_ledger: keep none.
        max_failed: failed rows that stop a task: a count, or a fraction below 1 of the rows done.
        max_concurrency, rpm, tpm: requests in flight, requests and tokens a minute, of each LLM, at most.
        durability, ledger_requests: the ledger's own. unordered: rows leave as they are done.
    """

    run_dir: str | None = None
    no_ledger: bool | None = None
    max_failed: float | None = None
    max_concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    durability: Literal["normal", "full"] | None = None
    ledger_requests: Literal["full", "hash"] | None = None
    unordered: bool | None = None

    def over(self, other: RunOptions) -> RunOptions:
        """These, and where they say nothing those of `other`."""
        if self.run_dir is not None or self.no_ledger is not None:  # one choice in two words
            other = replace(other, run_dir=None, no_ledger=None)
        said = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}
        return replace(other, **said)

    def limits(self) -> dict[str, float]:
        """The limits of each LLM that were said."""
        return {name: value for name in LIMITS if (value := getattr(self, name)) is not None}

    def arguments(self) -> dict[str, Any]:
        """What `task.run` is to be told of it, beside the directory."""
        said = {name: getattr(self, name) for name in ("max_failed", "durability", "ledger_requests")}
        said["ordered"] = False if self.unordered else None
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Options:
    """What the commands that run rows take.

    Attributes:
        run: how rows are run.
        limit: rows to read at most. overwrite: replace an existing output. quiet: no progress.
        reparse: take stored answers only.
        typed: the whole command line behind `limbeck`, for the line that resumes the run.
    """

    run: RunOptions
    limit: int | None = None
    overwrite: bool = False
    quiet: bool = False
    reparse: bool = False
    typed: Sequence[str] = ()


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


def amount_of(value: Any) -> float:
    """A number a minute.

    Raises:
        ValueError: it is no number, or not above 0.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError("expected a number above 0")
    return value


def max_failed_of(given: Any) -> float:
    """How many rows may fail: of `20`, `0.05` or `"5%"`.

    Raises:
        ValueError: it is neither a count nor a fraction.
    """
    text = str(given).strip()
    share = text.endswith("%")
    try:
        value = float(text.removesuffix("%")) / (100 if share else 1)
    except ValueError:
        value = math.nan
    if isinstance(given, bool) or not 0 <= value < math.inf or (value > 1 and (share or value != int(value))):
        raise ValueError(f"expected a count (20) or a fraction (0.05, or 5%), not {text!r}")
    return math.inf if share and value == 1 else value  # all may fail; 1 alone is a count
