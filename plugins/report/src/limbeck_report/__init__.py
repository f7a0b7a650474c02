"""The report of a run: figures, plots and samples, read from its run directory.

from limbeck_report import read_run

run = read_run("runs/capitals")
run.steps, run.reasons, run.spending
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .figures import RunFigures
    from .run import read_run

__all__ = ["RunFigures", "read_run"]

_HOMES = {"read_run": "run", "RunFigures": "figures"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
