"""The observers of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .context import inside

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import TypeAlias

    from ..._registry.hooks import Hooks

    Observe: TypeAlias = Callable[..., None]


class Observers:
    """The observers of each hook, looked up once a run; None where there are none.

    Args:
        context: the context variables of whoever called; each observer is run in a copy of it.
    """

    __slots__ = (
        "request_failed",
        "request_finished",
        "request_started",
        "row_failed",
        "rows_written",
        "run_finished",
        "run_started",
    )

    def __init__(self, hooks: Hooks, context: Context) -> None:
        for name in self.__slots__:
            observer = hooks.observer(f"limbeck_{name}")
            setattr(self, name, None if observer is None else inside(context, observer))

    request_failed: Observe | None
    request_finished: Observe | None
    request_started: Observe | None
    row_failed: Observe | None
    rows_written: Observe | None
    run_finished: Observe | None
    run_started: Observe | None
