"""What a server's headers say of how long to wait, and of what is left of the caller's allowance."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from ..types import Quota

if TYPE_CHECKING:
    from collections.abc import Callable

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""A mapping of headers, or names and values as they arrived; names in any case."""

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_LONGEST_SECONDS = 7 * 86_400.0  # some gateways send a point in time under the same name
_MOST_DIGITS = 18
_ITEM = re.compile(r"(?:^|,)[^,]*?;\s*r=(\d{1,18})(?:\s*;[^,]*?\bt=(\d{1,18}))?")

# For each part of a quota, where OpenAI and its like, Anthropic, and the older IETF drafts say it.
_REMAINING_REQUESTS = (
    *("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining", "ratelimit-remaining"),
)
_RESET_REQUESTS = ("x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset", "ratelimit-reset")
_REMAINING_TOKENS = ("x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining")
_RESET_TOKENS = ("x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset")


def seconds_to_wait(headers: Headers) -> float | None:
    """The seconds that headers ask to wait; None where they do not.

    Reads `retry-after-ms`, then `retry-after` (seconds or an HTTP date), then the time until an allowance of requests
    that the IETF's `ratelimit` says is used up.
    """
    said = _lines(headers, lambda name: name.startswith("retry-after") or name == "ratelimit")
    milliseconds = _number(said.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = _retry_after(said.get("retry-after"))
    if asked is not None:
        return asked
    remaining, reset = _ietf(said.get("ratelimit"))
    return reset if remaining == 0 else None


def quota_of(headers: Headers) -> Quota | None:
    """What headers say is left of the caller's allowance; None where they say nothing of it.

    Reads `x-ratelimit-…` (OpenAI, Azure, Groq and others), `anthropic-ratelimit-…`, and the IETF's `ratelimit`.
    Pairs as they arrived are quickest: one pass over them costs less than a look-up of each name.
    """
    said = _lines(headers, lambda name: "ratelimit" in name)
    if not said:
        return None
    remaining, reset = _ietf(said.get("ratelimit"))
    quota = Quota(
        requests_remaining=_count(_first(said, _REMAINING_REQUESTS)) if remaining is None else remaining,
        requests_reset=_until(_first(said, _RESET_REQUESTS)) if reset is None else reset,
        tokens_remaining=_count(_first(said, _REMAINING_TOKENS)),
        tokens_reset=_until(_first(said, _RESET_TOKENS)),
    )
    return None if quota == Quota() else quota


def _lines(headers: Headers, wanted: Callable[[str], bool]) -> dict[str, str]:
    """The header lines whose lower-case name is wanted."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = {}
    for given, value in pairs:
        name = _text(given).lower()
        if wanted(name):
            found[name] = _text(value)
    return found


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _first(said: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((said[name] for name in names if name in said), None)


def _ietf(text: str | None) -> tuple[int | None, float | None]:
    """What remains, and the seconds until it is full again, of `"api";r=0;t=55`: of the item nearest its end."""
    items = [(int(remaining), float(reset) if reset else None) for remaining, reset in _ITEM.findall(text or "")]
    return min(items, key=lambda item: item[0], default=(None, None))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return max(value, 0.0) if math.isfinite(value) else None


def _retry_after(text: str | None) -> float | None:
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    from email.utils import parsedate_to_datetime  # it costs the import of sockets

    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return _seconds_until(when)


def _seconds_until(when: datetime) -> float | None:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)  # an HTTP date is, whatever it says
    try:
        return max(aware.timestamp() - time.time(), 0.0)
    except (OverflowError, ValueError):
        return None


def _count(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _until(text: str | None) -> float | None:
    """Seconds: of `6m0s`, `120ms` or `59` (as Azure says), or until an instant in ISO form (as Anthropic says)."""
    text = (text or "").strip()
    match = _DURATION.fullmatch(f"{text}s" if text.isdecimal() else text)
    if match is not None and any(match.groups()):
        seconds = sum(float(amount) * unit for amount, unit in zip(match.groups(), _UNITS, strict=True) if amount)
        return seconds if seconds <= _LONGEST_SECONDS else None
    try:
        return _seconds_until(datetime.fromisoformat(text))
    except ValueError:
        return None
