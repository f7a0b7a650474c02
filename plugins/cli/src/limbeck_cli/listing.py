"""`limbeck tasks`, `llms`, `steps` and so on: what is installed. No plugin is imported, and nothing of pydantic."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from limbeck import plugins

from .exits import say
from .tables import show_table

if TYPE_CHECKING:
    from limbeck.plugins import Kind


def show_names(kind: Kind, *, as_json: bool) -> None:
    """List every name of `kind`, its distribution and its state."""
    listings = plugins.listings(kind)
    if as_json:
        typer.echo(json.dumps([asdict(listing) for listing in listings], indent=2))
    elif listings:
        show_table(
            ["name", "pack", "version", "status", "summary"],
            [[each.name, each.distribution, each.version, each.status, each.summary] for each in listings],
        )
    else:
        say(f"No {kind.replace('_', ' ')} is installed.")
    problems = plugins.problems()
    if problems:
        say(f"{len(problems)} problem{'s' * (len(problems) > 1)} with installed plugins; see: limbeck plugins list")
