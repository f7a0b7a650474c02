"""What the ways to run a pipeline take by keyword. What each means is said in `Pipeline.run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._engine.budget import Budget
    from .._engine.cache import CacheSource
    from .._engine.prices import PriceSource
    from ..types import Durability, StoredRequests


class RunOptions(TypedDict, total=False):
    """How a pipeline is run. What is left out, or None, is as its file says, else as `Options` has it."""

    ordered: bool | None
    max_failed: float | None
    durability: Durability | None
    ledger_requests: StoredRequests | None
    overwrite: bool
    observers: Sequence[object]
    prices: PriceSource
    budget: Budget | None
    cache: CacheSource


# Of those whose default is not None.
DEFAULTS: Final[RunOptions] = {"overwrite": False, "observers": ()}
