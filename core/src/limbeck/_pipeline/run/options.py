"""The options of a pipeline's run: as they are given by keyword, and as the run has them. See `Pipeline.run`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypedDict

from ..._engine.calls.options import check_options
from ...errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..._engine.answers.cache import CacheSource
    from ..._engine.answers.rerun import RerunPlan
    from ..._engine.money.budget import Budget
    from ..._engine.money.prices import PriceSource, PriceTable
    from ..._task.task import ModelTask
    from ...types import Durability, StoredRequests
    from .metering import Meter


class PipelineKeywords(TypedDict, total=False):
    """The options of a run by keyword; one left out, or None, is as in the file, else as in `PipelineOptions`."""

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
DEFAULTS: Final[PipelineKeywords] = {"overwrite": False, "observers": ()}


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """The options of a pipeline's run; see `Pipeline.run`.

    Attributes:
        ask: False to take stored answers only: nothing is loaded that would ask.
    """

    run_dir: str | Path | None = None
    ordered: bool = True
    max_failed: float | None = None
    durability: Durability = "normal"
    ledger_requests: StoredRequests = "full"
    overwrite: bool = False
    observers: Sequence[object] = ()
    ask: bool = True
    prices: PriceTable | None = None
    budget: Budget | None = None
    cache: CacheSource = None
    reruns: Mapping[str, tuple[ModelTask, RerunPlan]] = field(default_factory=dict)
    meter: Meter | None = None

    def __post_init__(self) -> None:
        """Refuse what a type checker would have.

        Raises:
            ConfigurationError: an option has no such value.
        """
        check_options(
            ordered=self.ordered,
            max_failed=self.max_failed,
            run_dir=self.run_dir,
            durability=self.durability,
            ledger_requests=self.ledger_requests,
            overwrite=self.overwrite,
        )
        if not isinstance(self.observers, list | tuple):
            raise ConfigurationError("`observers` is a list of objects with hooks: write `observers=[observer]`.")
