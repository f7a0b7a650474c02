"""What a backend and its server say of their limits, once it is known to be usable: both may be anybody's."""

from __future__ import annotations

import math
from typing import Any

from ...errors import ConfigurationError
from ...types import Quota

_LONGEST_SECONDS = 7 * 86_400.0  # what is later than that was a point in time, or a mistake


def batched(llm: Any) -> bool:
    """Whether a backend is to be asked through its provider's batches.

    Raises:
        ConfigurationError: its `mode` is neither of the two.
    """
    mode = getattr(llm, "mode", "online")
    if mode not in ("online", "batch"):
        raise ConfigurationError(f"{_named(llm)} has {mode!r} as its `mode`; it is 'online' or 'batch'.")
    return bool(mode == "batch")


def setting(llm: Any, name: str, default: Any, *, whole: bool = False, none: Any = None) -> Any:
    """A number above 0 that a backend may have as an attribute; a window of none would wait for ever.

    Args:
        whole: it counts something. none: what its `None` means; by default that it has none.

    Raises:
        ConfigurationError: it is no such number.
    """
    value = getattr(llm, name, default)
    if value is None:
        return none
    if _is_number(value) and value > 0 and (not whole or value == math.inf or value == int(value)):
        return value
    kind = "whole number" if whole else "number"
    raise ConfigurationError(f"{_named(llm)} has {value!r} as its `{name}`; it is a {kind} above 0.")


def wait_of(seconds: Any) -> float | None:
    """The time that a refusal asks to wait, or None where it says nothing that is one."""
    return float(seconds) if _is_number(seconds) and 0.0 <= seconds <= _LONGEST_SECONDS else None


def quota_of(quota: Any, *, longest: float) -> Quota | None:
    """What is left by the server's word, or None where that cannot be one.

    Args:
        longest: seconds that a request may wait; nobody is left alone for longer.
    """
    if quota is None or not all(_fits(getattr(quota, name, "")) for name in Quota.__slots__):
        return None
    requests_reset, tokens_reset = (_at_most(each, longest) for each in (quota.requests_reset, quota.tokens_reset))
    if requests_reset == quota.requests_reset and tokens_reset == quota.tokens_reset:
        return quota  # type: ignore[no-any-return]  # with all that makes one
    return Quota(
        requests_remaining=quota.requests_remaining,
        requests_reset=requests_reset,
        tokens_remaining=quota.tokens_remaining,
        tokens_reset=tokens_reset,
    )


def _at_most(seconds: float | None, longest: float) -> float | None:
    if seconds is None or seconds > _LONGEST_SECONDS:
        return None
    return min(seconds, longest)


def _fits(amount: Any) -> bool:
    return amount is None or _is_number(amount)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124 - NaN is not


def _named(llm: Any) -> str:
    return f"`{type(llm).__module__}.{type(llm).__qualname__}`"
