"""The options about money: prices, caps, answers of other runs, and estimates in place of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.recipes import RunSettings, amount_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def _dollars(text: str) -> float:
    try:
        return amount_of(float(text.removeprefix("$")))
    except ValueError as exc:
        raise typer.BadParameter(f"expected US dollars, a number above 0, not {text!r}") from exc


def money_options(
    *,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="USD", parser=_dollars, help="Stop before more is spent: exit status 4; resumable."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Stop before more tokens, of prompts and answers, are used.")
    ] = None,
    max_requests: Annotated[int | None, typer.Option(min=1, help="Stop before more requests are sent.")] = None,
    prices: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Your own prices, .yaml, .json or .toml: `MODEL: {input: 0.25, output: 2}`."),
    ] = None,
    allow_unknown_price: Annotated[
        bool, typer.Option("--allow-unknown-price", help="With --max-cost: run models without a price, uncounted.")
    ] = False,
    cache: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="Take answers from this run, or this folder of runs. Repeatable."),
    ] = None,
) -> RunSettings:
    """What was said of money."""
    return RunSettings(
        max_cost=max_cost,
        max_tokens=max_tokens,
        max_requests=max_requests,
        prices=prices,
        allow_unknown_price=allow_unknown_price or None,
        cache=cache or None,
    )


def estimate_option(
    *,
    estimate: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Run N rows only, drawn at random, and say what all are going to take."),
    ] = None,
) -> int | None:
    """How many rows to estimate from."""
    return estimate


def cost_of(costs: Sequence[float | None]) -> list[str]:
    """The part of a summary that says what was spent, where that is known."""
    known = [cost for cost in costs if cost is not None]
    return [f"${sum(known):,.4g}"] if known else []
