"""`limbeck report RUN`. Plots and templates are imported only for a page."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from limbeck.errors import printable

app = typer.Typer(add_completion=False)


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run directory, or its name in `runs/`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one HTML page, with plots and samples; needs no network to open."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=200,
            help="Failures, and as many successes, of each step to look at: 6 in the page and in JSON, else none.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws other samples.")] = 0,
) -> None:
    """Show what came of a run: rows in and out, failures by reason, tokens, cost and time of each step."""
    count = samples if samples is not None else 6 if as_json or html is not None else 0
    if html is not None:
        from .page import write_page

        write_page(run, html, count=count, seed=seed)
        typer.echo(f"Written: {printable(str(html))}", err=True)
        if not as_json:
            return
    from .samples import read_with_samples

    figures, drawn = read_with_samples(run, count=count, seed=seed)
    if as_json:
        import json

        document = {**figures.as_dict(), "samples": [each.as_dict() for each in drawn]}
        typer.echo(json.dumps(document, indent=2))
        return
    from .text import show

    show(figures, drawn)
