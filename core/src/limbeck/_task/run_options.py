"""The options of `Task.run` and `Task.arun` by keyword. What each means is said in `Task.run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from pathlib import Path

    from .._engine.answers.cache import CacheSource
    from .._engine.money.budget import Budget
    from .._engine.money.prices import PriceSource
    from ..protocols import LedgerProtocol
    from ..types import Durability, StoredRequests


class RunOptions(TypedDict, total=False):
    """The options of a task's run. All may be left out."""

    run_dir: str | Path | None
    ledger: LedgerProtocol | None
    ordered: bool
    max_failed: float | None
    durability: Durability
    ledger_requests: StoredRequests
    prices: PriceSource
    budget: Budget | None
    max_cost: float | None
    max_tokens: int | None
    max_requests: int | None
    allow_unknown_price: bool
    cache: CacheSource


# Of those whose default is not None.
DEFAULTS: Final[RunOptions] = {
    "ordered": True,
    "durability": "normal",
    "ledger_requests": "full",
    "allow_unknown_price": False,
}
