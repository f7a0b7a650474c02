"""`limbeck runs`: what the run directories below a folder say of themselves."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from limbeck import runs

from .exits import say
from .tables import show_table

if TYPE_CHECKING:
    from limbeck.runs import RunSummary


def list_runs(folder: str, *, as_json: bool) -> None:
    """List the run directories below a folder, the latest first."""
    found = runs.list_runs(folder)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    elif not found:
        say(f"There are no run directories in {folder!r}.")
    else:
        show_table(
            ("run", "pipeline", "state", "rows", "failed", "answers", "started"),
            [
                (each.run, each.pipeline or "", each.state, *map(_count, _counts(each)), each.started or "")
                for each in found
            ],
        )


def _counts(run: RunSummary) -> tuple[int | None, ...]:
    return run.rows, run.failed, run.answers


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
