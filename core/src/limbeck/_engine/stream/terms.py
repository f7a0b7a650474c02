"""On what terms a stream asks: what answers cost, what may be spent, what other runs have, what is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..answers.rerun import Rerun
from ..money.budget import check_priced, open_account
from ..money.prices import Pricing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..._registry.registry import Registry
    from ...protocols import StepLedgerProtocol
    from ..answers.cache import ResponseCache
    from ..answers.rerun import RerunPlan
    from ..money.budget import Account, Budget
    from ..money.prices import PriceTable
    from ..online.backend import Backend


@dataclass(frozen=True, slots=True)
class Terms:
    """What a stream is told; nothing of it, and it asks about all rows, and does not know what that costs.

    Attributes:
        pricing: of its answers. account: what may be spent; None for all that is asked.
        cache: answers of other runs. rerun: which rows are asked about again; None for a run of all.
    """

    pricing: Pricing | None = None
    account: Account | None = None
    cache: ResponseCache | None = None
    rerun: Rerun | None = None


def checked_pricing(
    backend: Backend, registry: Registry, *, prices: PriceTable | None, budget: Budget | None
) -> Pricing | None:
    """What the answers of a backend cost, or None where they are not billed; to be asked before anything is opened.

    Raises:
        UnknownPriceError: the budget caps the cost, and there is no price.
    """
    if not backend.billed:
        return None
    pricing = Pricing(backend.llm, table=prices, registry=registry)
    check_priced(budget, pricing)
    return pricing


def terms_of(
    pricing: Pricing | None,
    *,
    step: str,
    ledger: StepLedgerProtocol | None,
    folder: Path | None,
    budget: Budget | None = None,
    cache: ResponseCache | None = None,
    rerun: RerunPlan | None = None,
    wake: Callable[[], object],
) -> Terms:
    """The terms of one stream.

    Args:
        step: its name. ledger: its part of the store. folder: the run directory.
        wake: has it look again for what can be sent; safe in any thread.

    Raises:
        LedgerError: what was spent before cannot be read.
        ConfigurationError: there is no run to ask rows of again.
    """
    account = None
    if pricing is not None:
        account = open_account(budget, pricing, step=step, ledger=ledger, folder=folder, wake=wake)
    again = None if rerun is None else Rerun(rerun, ledger, step=step)
    return Terms(pricing, account, cache, again)
