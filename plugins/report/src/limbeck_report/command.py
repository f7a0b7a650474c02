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
        int, typer.Option(min=0, max=200, help="Failures, and as many successes, of each step in the page.")
    ] = 6,
    seed: Annotated[int, typer.Option(help="Draws other samples.")] = 0,
) -> None:
    """Show what came of a run: rows in and out, failures by reason, tokens, cost and time of each step."""
    if html is not None:
        from .page import write_page

        write_page(run, html, count=samples, seed=seed)
        typer.echo(f"Written: {printable(str(html))}", err=True)
        if not as_json:
            return
    from .run import read_run

    figures = read_run(run)
    if as_json:
        import json

        typer.echo(json.dumps(figures.as_dict(), indent=2))
        return
    from .text import show

    show(figures)
