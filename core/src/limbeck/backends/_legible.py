"""The readable part of an answer. Its text is paid for: no fault in the fields beside it may lose it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..types import Generation, GenerationResponse, Quota, Usage
from ._parts import text_in

_MOST_TOKENS = 10**12  # of one response; and what the ledger adds up stays a number it can hold
_DIGITS = re.compile(r"\s*\d{1,13}(?:\.0{1,13})?\s*", re.ASCII)
_COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_TEXT = frozenset({str, type(None)})
_NUMBER = frozenset({int})


def tokens_in(value: Any) -> int | None:
    """A count of tokens: a whole number from 0 on, perhaps as a float or a text; None where it is none."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None


def legible_usage(usage: Any) -> tuple[Usage | None, str | None]:
    """The tokens that can be read, and what cannot.

    Without one of the two that are billed, input and output, nothing is counted: a part would pass for the whole.
    """
    if usage is None:
        return None, None
    if not isinstance(usage, Usage | Mapping):
        return None, f"`usage`, which is a {type(usage).__name__}"
    given = {name: usage.get(name) if isinstance(usage, Mapping) else getattr(usage, name) for name in _COUNTS}
    read = {name: 0 if value is None else tokens_in(value) for name, value in given.items()}
    odd = [name for name in _COUNTS if read[name] is None]
    left_out = f"`usage`, with {', '.join(f'{name}={given[name]!r:.40}' for name in odd)}" if odd else None
    if read["input_tokens"] is None or read["output_tokens"] is None:
        return None, left_out
    return Usage(**{name: count or 0 for name, count in read.items()}), left_out


def legible(response: GenerationResponse) -> tuple[GenerationResponse, list[str]]:
    """A response with all that can be read of it, and a word for each part that was left out.

    The texts stay. An unreadable count, reasoning, finish reason, tool call, model or quota is left out.
    """
    if _is_plain(response):
        return response, []
    said = response.left_out if isinstance(response.left_out, list | tuple) else ()
    left_out = [word for word in said if isinstance(word, str)]
    usage, odd_usage = legible_usage(response.usage)
    if odd_usage:
        left_out.append(odd_usage)
    whole = replace(
        response,
        generations=[_generation(each, left_out) for each in response.generations],
        usage=usage,
        model=_of_kind(response, "model", str, left_out),
        quota=_of_kind(response, "quota", Quota, left_out),
        left_out=(),
    )
    return whole, left_out


def _generation(given: Any, left_out: list[str]) -> Any:
    if not isinstance(given, Generation):
        return given  # which is no part of an answer: whoever made it must hear of it
    calls = given.tool_calls
    kept = [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list | tuple) else []
    if calls and (not isinstance(calls, list | tuple) or len(kept) < len(calls)):
        left_out.append(f"`tool_calls`, which is {_short(calls)}")
    return replace(
        given,
        text=_text(given.text),
        finish_reason=_of_kind(given, "finish_reason", str, left_out),
        reasoning=_of_kind(given, "reasoning", str, left_out),
        tool_calls=kept or None,
    )


def _text(text: Any) -> str | None:
    """A text, or that of parts; None for what is neither, which is no answer."""
    return text_in(text) if isinstance(text, str | list | tuple) else None


def _of_kind(whole: Any, name: str, kind: type, left_out: list[str]) -> Any:
    value = getattr(whole, name)
    if value is None or isinstance(value, kind):
        return value
    left_out.append(f"`{name}`, which is {_short(value)}")
    return None


def _short(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except Exception:  # noqa: BLE001 - the isolation boundary of a value's own methods
        return f"a {type(value).__name__}"


def _is_plain(response: GenerationResponse) -> bool:
    """Tell whether everything is exactly as it should be, which is nearly always so: it is asked of every answer."""
    usage: Any = response.usage
    quota: Any = response.quota
    return (
        not response.left_out
        and type(response.model) in _TEXT
        and isinstance(quota, Quota | None)
        and (usage is None or (type(usage) is Usage and _are_counts(usage)))
        and all(map(_is_plain_generation, response.generations))
    )


def _are_counts(usage: Any) -> bool:
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
    return _NUMBER.issuperset(map(type, counts)) and min(counts) >= 0 and max(counts) < _MOST_TOKENS


def _is_plain_generation(given: Any) -> bool:
    return (
        type(given) is Generation
        and type(given.text) in _TEXT
        and type(given.finish_reason) in _TEXT
        and type(given.reasoning) in _TEXT
        and given.tool_calls is None
    )
