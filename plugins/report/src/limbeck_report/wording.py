"""Numbers, times and strangers' texts, as people read them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from limbeck.errors import printable

if TYPE_CHECKING:
    from .conversations import Turn
    from .samples import Sample

NONE = "–"


def short(text: str, most: int) -> str:
    """One line of at most so many characters."""
    line = " ".join(printable(text[: 4 * most]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def count(number: float | None) -> str:
    """`1,234`, or a dash for what is not known."""
    return NONE if number is None else f"{number:,.0f}"


def share(number: float | None) -> str:
    """`98.2 %`. What is not quite all is never shown as all."""
    if number is None:
        return NONE
    percent = 100 * number
    if percent == 100:
        return "100 %"
    return f"{min(percent, 99.9):.1f} %"


def money(dollars: float | None) -> str:
    """`$1.23`, with more digits below a cent; a dash where no price is known."""
    if dollars is None:
        return NONE
    return f"${dollars:,.2f}" if dollars >= 0.995 or dollars == 0 else f"${dollars:.4f}"


def seconds(number: float | None) -> str:
    """`12 ms`, `3.4 s`, `3m05s` or `2h10m`."""
    if number is None:
        return NONE
    if number < 0.9995:
        return f"{1000 * number:.3g} ms"
    if number < 59.95:
        return f"{number:.1f} s"
    whole = round(number)
    return f"{whole // 60}m{whole % 60:02}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02}m"


def moment(text: str | None) -> str:
    """`2026-11-24 10:00:00 UTC` of an ISO time."""
    if text is None:
        return NONE
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S %Z}".strip()
    except ValueError:
        return short(text, 40)


def turn_name(turn: Turn) -> str:
    """`Turn 2.1`, `Effect 3`, `Repair 2r1 of turn 2` or `Fallback 2f1 for turn 2`."""
    names = {"call": "Turn", "effect": "Effect", "repair": "Repair", "fallback": "Fallback"}
    name = f"{names[turn.kind]} {turn.turn}" if turn.turn else "First call"
    if turn.mends is None:
        return name
    mended = f"turn {turn.mends}" if turn.mends[:1].isdigit() else turn.mends or "the first call"
    return f"{name} {'of' if turn.kind == 'repair' else 'for'} {mended}"


def told_before(turn: Turn) -> str | None:
    """The part of a turn's chat that stands at another, in words."""
    if turn.continues is None:
        return None
    other = f"turn {turn.continues}" if turn.continues[:1].isdigit() else turn.continues or "the first call"
    return f"It goes on from the chat of {other}:" if turn.messages else f"The same messages as at {other}."


def what_became(turn: Turn) -> str | None:
    """What a conversation made of a turn that was no good, in words."""
    if turn.became == "caught":
        return "The conversation caught this failure, and went on."
    if turn.became == "mended":
        return "It was mended." if turn.error else "This answer could not be used; it was mended."
    return None


def how_it_failed(sample: Sample) -> str:
    """The end of a conversation that failed, in words."""
    where = f" at turn {sample.turn}" if sample.turn else ""
    return f"Failed{where}: {sample.error}{f': {sample.message}' if sample.message else ''}"


def called(name: str | None, arguments: str | None) -> str:
    """An effect as it stands in Python: `look_up("sea", lang="en")`."""
    try:
        given, named = json.loads(arguments or "[[], {}]")
        parts = [json.dumps(each, ensure_ascii=False) for each in given]
        parts += [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in named.items()]
    except (ValueError, TypeError, AttributeError, RecursionError):  # cut, or of another form
        parts = [arguments or ""]
    return f"{name}({', '.join(parts)})"
