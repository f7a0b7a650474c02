"""Who observes a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..._registry.hooks import Hooks, Observer


class Observers:
    """The observers of each hook, looked up once a run; None where there are none."""

    __slots__ = (
        "request_failed",
        "request_finished",
        "request_started",
        "row_failed",
        "rows_written",
        "run_finished",
        "run_started",
    )

    def __init__(self, hooks: Hooks) -> None:
        for name in self.__slots__:
            setattr(self, name, hooks.observer(f"limbeck_{name}"))

    request_failed: Observer | None
    request_finished: Observer | None
    request_started: Observer | None
    row_failed: Observer | None
    rows_written: Observer | None
    run_finished: Observer | None
    run_started: Observer | None
