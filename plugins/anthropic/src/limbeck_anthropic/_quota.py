"""What is left of the caller's allowance, by the headers of https://platform.claude.com/docs/en/api/rate-limits."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from limbeck.types import Quota

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "anthropic-ratelimit"
_MOST_DIGITS = 18


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """What the headers say, None where they say nothing; `tokens` is the allowance that is nearest its end."""
    requests = _count(headers.get(f"{_PREFIX}-requests-remaining"))
    tokens = _count(headers.get(f"{_PREFIX}-tokens-remaining"))
    if requests is None and tokens is None:
        return None
    return Quota(
        requests_remaining=requests,
        requests_reset=_seconds_until(headers.get(f"{_PREFIX}-requests-reset")),
        tokens_remaining=tokens,
        tokens_reset=_seconds_until(headers.get(f"{_PREFIX}-tokens-reset")),
    )


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _seconds_until(instant: str | None) -> float | None:
    try:
        when = datetime.fromisoformat(instant or "")
    except ValueError:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(aware.timestamp() - time.time(), 0.0)
