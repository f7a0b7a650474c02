"""What is left of the caller's allowance, from the `x-ratelimit-…` headers of OpenAI, Azure, Groq and others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from limbeck.types import Quota

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = b"x-ratelimit-"
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
# Some gateways send a point in time under the same name.
_LONGEST_SECONDS = 7 * 86_400.0


def quota_of(headers: Iterable[tuple[bytes, bytes]]) -> Quota | None:
    """The quota that raw header lines state, or None where they state none.

    Args:
        headers: names and values as they arrived: one pass over them costs less than a look-up of each name.
    """
    said = {name[12:].lower(): value.decode("latin-1") for name, value in headers if name[:12].lower() == _PREFIX}
    if not said:
        return None
    return Quota(
        requests_remaining=_count(said.get(b"remaining-requests")),
        requests_reset=_seconds(said.get(b"reset-requests")),
        tokens_remaining=_count(said.get(b"remaining-tokens")),
        tokens_reset=_seconds(said.get(b"reset-tokens")),
    )


def _count(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _seconds(duration: str | None) -> float | None:
    """Of `6m0s`, `120ms` or `59` (seconds, as Azure says)."""
    text = (duration or "").strip()
    match = _DURATION.fullmatch(f"{text}s" if text.isdecimal() else text)
    if match is None or not any(match.groups()):
        return None
    seconds = sum(float(amount) * unit for amount, unit in zip(match.groups(), _UNITS, strict=True) if amount)
    return seconds if seconds <= _LONGEST_SECONDS else None
