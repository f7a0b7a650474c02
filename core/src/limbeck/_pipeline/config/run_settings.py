"""The settings of a run that a pipeline's file, the command line and `Pipeline.run` have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITS = ("max_concurrency", "rpm", "tpm", "mode")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run; None where nothing was said.

    Attributes:
        run_dir: where every answer is kept. no_ledger: keep none.
        max_failed: failed rows that stop a step: a count, or a fraction below 1 of the rows done.
        limit: rows of each source to read at most.
        max_concurrency, rpm, tpm: requests in flight, requests and tokens a minute, of each LLM, at most.
        mode: "batch" has each LLM ask through its provider's batches.
        durability, ledger_requests: the ledger's own. unordered: rows leave as they are done.
        max_cost, max_tokens, max_requests: caps that all tasks share, as for `Budget`.
        allow_unknown_price: with a cap on the cost, run LLMs without a price too.
        prices: the path of a price table. cache: run directories, or folders of them, whose answers are taken.
    """

    run_dir: str | None = None
    no_ledger: bool | None = None
    max_failed: float | None = None
    limit: int | None = None
    max_concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    mode: Literal["online", "batch"] | None = None
    durability: Literal["normal", "full"] | None = None
    ledger_requests: Literal["full", "hash"] | None = None
    unordered: bool | None = None
    max_cost: float | None = None
    max_tokens: int | None = None
    max_requests: int | None = None
    allow_unknown_price: bool | None = None
    prices: str | None = None
    cache: Sequence[str] | None = None

    def over(self, other: RunSettings) -> RunSettings:
        """Lay these settings over those of `other`, which hold where these say nothing."""
        if self.run_dir is not None or self.no_ledger is not None:  # one choice in two words
            other = replace(other, run_dir=None, no_ledger=None)
        return replace(other, **self.said())

    def said(self) -> dict[str, Any]:
        """The settings that are not None, by name."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}

    def limits(self) -> dict[str, Any]:
        """The settings of every LLM alike: its limits, and its mode."""
        return {name: value for name in LIMITS if (value := getattr(self, name)) is not None}

    def arguments(self) -> dict[str, Any]:
        """The arguments of a run that they stand for, beside the directory."""
        said = {name: getattr(self, name) for name in ("max_failed", "durability", "ledger_requests")}
        said["ordered"] = None if self.unordered is None else not self.unordered
        return {name: value for name, value in {**said, **self.money()}.items() if value is not None}

    def money(self) -> dict[str, Any]:
        """The prices, the budget and the cache that were said; None for what was not.

        Raises:
            ConfigurationError: the price table cannot be read, or is wrong.
        """
        if not {"max_cost", "max_tokens", "max_requests", "prices", "cache"} & self.said().keys():
            return {}
        from ..._engine.money.budget import budget_of
        from ..._engine.money.prices import price_table

        budget = budget_of(
            None,
            max_cost=self.max_cost,
            max_tokens=self.max_tokens,
            max_requests=self.max_requests,
            allow_unknown_price=bool(self.allow_unknown_price),
        )
        return {"prices": price_table(self.prices), "budget": budget, "cache": self.cache}


def amount_of(value: Any) -> float:
    """A number a minute.

    Raises:
        ValueError: it is no number, or not above 0.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError("expected a number above 0")
    return value


def count_of(value: Any) -> int:
    """A cap on things that are counted.

    Raises:
        ValueError: it is no whole number above 0.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("expected a whole number above 0")
    return value


def max_failed_of(given: Any) -> float:
    """Read the number of rows that may fail: of `20`, `0.05` or `"5%"`.

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
    if share and value == 1:
        return math.inf  # all may fail; 1 alone is a count
    return int(value) if value == int(value) else value
