"""`limbeck explain`: why a row's answer is found in a run directory, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from limbeck.runs import Run

from .pydantic_guard import make_pydantic_usable

if TYPE_CHECKING:
    from collections.abc import Sequence


def explain_row(run_dir: str, row: str, *, step: str | None, settings: Sequence[str]) -> None:
    """Print the explanation.

    Args:
        row: its id. step: the task's name; None for the only one. settings: `--set` arguments, to see what they change.

    Raises:
        LimbeckError: there is no such run, task or row.
    """
    make_pydantic_usable()
    typer.echo(str(Run.named(run_dir).explain(row, step=step, settings=settings)))
