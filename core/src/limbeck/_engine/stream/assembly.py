"""The assembly of a stream: for a list of rows at once, for a task's run, and for a task of a pipeline."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import LedgerError
from ..answers.rerun import Rerun
from ..ledger.stores import check_keeps_turns, opened_step
from ..money.budget import check_priced, open_account
from ..money.prices import Pricing
from .parts import Terms
from .stream import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...protocols import StepLedgerProtocol
    from ..answers.cache import ResponseCache
    from ..answers.rerun import RerunPlan
    from ..calls.policy import Policy
    from ..ledger.stores import Store
    from ..money.budget import Budget
    from ..money.prices import PriceTable
    from ..online.backend import Backend
    from .parts import Asking, Receiver, Source


@dataclass(frozen=True, slots=True)
class Storage:
    """The stores in which a stream's answers are kept and looked for.

    Attributes:
        store: None for nowhere. config: the step's configuration, noted there.
        cache: answers of other runs. rerun: which rows are asked about again.
    """

    store: Store | None = None
    config: dict[str, Any] = field(default_factory=dict)
    cache: ResponseCache | None = None
    rerun: RerunPlan | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """The price of a stream's answers, None where they are not billed, and the amount that may be spent.

    Attributes:
        further: the prices of its further LLMs.
    """

    pricing: Pricing | None = None
    budget: Budget | None = None
    further: tuple[Pricing | None, ...] = ()


_NOWHERE, _UNCOUNTED = Storage(), Spending()


def spending_of(asking: Asking, prices: PriceTable | None, budget: Budget | None) -> Spending:
    """The amount that a task may spend; to be asked for before anything is opened.

    Raises:
        UnknownPriceError: the budget caps the cost, and there is no price.
    """
    pricing, *further = [_pricing_of(backend, asking, prices, budget) for backend in asking.backends]
    return Spending(pricing, budget, tuple(further))


def _pricing_of(backend: Backend, asking: Asking, prices: PriceTable | None, budget: Budget | None) -> Pricing | None:
    if not backend.billed:
        return None
    pricing = Pricing(backend.llm, table=prices, registry=asking.registry)
    check_priced(budget, pricing)
    return pricing


def assemble(
    asking: Asking,
    source: Source,
    receiver: Receiver,
    policy: Policy,
    *,
    storage: Storage = _NOWHERE,
    spending: Spending = _UNCOUNTED,
) -> Stream:
    """A stream that a window can attach.

    Raises:
        LedgerError: the step is running in that store already, or what is there cannot be read.
        ConfigurationError: there is no run to ask rows of again.
    """
    ledger = _step_of(asking, storage)
    try:
        return Stream(asking, source, receiver, policy, _terms(asking, storage, spending, ledger))
    except BaseException:
        if ledger is not None:
            with suppress(LedgerError):  # there is another error to tell
                ledger.close()  # or the step would be taken for one that runs
        raise


def _step_of(asking: Asking, storage: Storage) -> StepLedgerProtocol | None:
    if storage.store is None:
        return None
    noted = storage.config if storage.rerun is None else storage.rerun.config
    step = opened_step(storage.store, asking.work.name, noted, asking.backend.identity, storage.config)
    if asking.talk is not None or asking.mending is not None:
        check_keeps_turns(step, asking.work.name)
    return step


def _terms(asking: Asking, storage: Storage, spending: Spending, ledger: StepLedgerProtocol | None) -> Terms:
    step, folder = asking.work.name, None if storage.store is None else storage.store.folder
    owner: Any = object() if folder is None else (folder, step)

    rerun = None if storage.rerun is None else Rerun(storage.rerun, ledger, step=step)

    def terms_of(pricing: Pricing | None, further: Sequence[Terms] = ()) -> Terms:
        account = None if pricing is None else open_account(spending.budget, pricing, owner=owner, ledger=ledger)
        return Terms(ledger, pricing, account, storage.cache, rerun, further, asking.recorded)

    further = spending.further or (None,) * len(asking.further)
    return terms_of(spending.pricing, [terms_of(pricing) for pricing in further])
