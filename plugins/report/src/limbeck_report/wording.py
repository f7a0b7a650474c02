"""Numbers, times and strangers' texts, as people read them."""

from __future__ import annotations

from datetime import datetime

from limbeck.errors import printable

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
