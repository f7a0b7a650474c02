"""From what a server says to Limbeck's error types. No I/O, no SDK."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilteredError,
    ContextLengthError,
    GenerationError,
    RateLimitError,
    TransientError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

# Out of money is not a rate: waiting does not mend it, and every further call fails alike.
_OUT_OF_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}

_FILTER_CODES = {
    "content_filter",
    "content_policy_violation",
    "data_inspection_failed",
    "invalid_prompt",
    "responsibleaipolicyviolation",
}
_FILTER_WORDS = re.compile(
    r"\bflagged\b|content management policy|content[ _]filter|content polic|usage polic|content exists risk"
    r"|inappropriate content",
    re.IGNORECASE,
)

_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
# OpenAI's wording and vLLM's two; llama.cpp, SGLang, TGI; gateways.
_CONTEXT_WORDS = re.compile(
    r"maximum context length|maximum model length|context (?:size|window|length)|longer than the model'?s context"
    r"|inputs.{0,3} tokens \+ .{0,3}max_new_tokens|prompt is too long|reduce the length of",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A server's refusal, whichever form its body had.

    Attributes:
        status: the HTTP status. headers: with lower-case names.
        message: the server's words. codes: its `code` and `type`, in lower case.
        param: the request's parameter that it blames.
    """

    status: int
    headers: Mapping[str, str]
    message: str
    codes: frozenset[str] = frozenset()
    param: str | None = None


def refusal_of(status: int, headers: Mapping[str, str], body: Any) -> Refusal:
    """Read a body: OpenAI's, vLLM's flat one, FastAPI's `detail`, or plain text."""
    error = body.get("error", body) if isinstance(body, dict) else body
    facts: dict[str, Any] = error if isinstance(error, dict) else {}
    inner = facts.get("innererror")  # Azure's
    codes = [facts.get("code"), facts.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    message = facts.get("message") or facts.get("detail") or error or "no message"
    param = facts.get("param")
    return Refusal(
        status=status,
        headers=headers,
        message=str(message),
        codes=frozenset(str(code).lower() for code in codes if code),
        param=param if isinstance(param, str) else None,
    )


def failure_of(refusal: Refusal, *, server: str, model: str) -> GenerationError:
    """The error that a refusal means.

    Args:
        refusal: what the server said.
        server: what to call it in the message.
        model: the model that was asked for.
    """
    said = f"{server} answered {refusal.status}: {refusal.message.rstrip('. ')}."
    return _final_for_all(refusal, said) or _final_for_one(refusal, said, model) or _for_now(refusal, said)


def _final_for_all(refusal: Refusal, said: str) -> AuthenticationError | None:
    """What every further call would meet too."""
    if refusal.status == 402 or refusal.codes & _OUT_OF_CREDIT:
        return AuthenticationError(f"{said} The account has no credit left; add some, then run again.")
    if refusal.status in (401, 403) and not _is_filtered(refusal):
        return AuthenticationError(f"{said} Check the key and what it may use.")
    return None


def _final_for_one(refusal: Refusal, said: str, model: str) -> BadRequestError | None:
    """What this request would always meet, though others may not."""
    if _is_filtered(refusal):
        return ContentFilteredError(said)
    if _is_too_long(refusal):
        return ContextLengthError(said)
    if refusal.status == 429 and "request too large" in refusal.message.lower():
        return BadRequestError(f"{said} One request is larger than the account's tokens per minute.")
    if refusal.status == 404:
        return BadRequestError(
            f"{said} Either the model or deployment {model!r} does not exist there, or is not open to this account, "
            "or the address is wrong: a `base_url` mostly ends in `/v1`."
        )
    if refusal.status in (408, 409, 425, 429) or refusal.status >= 500:
        return None
    return BadRequestError(said + _remedy(refusal))


def _for_now(refusal: Refusal, said: str) -> GenerationError:
    wait = seconds_to_wait(refusal.headers)
    if refusal.status == 429:
        return RateLimitError(said, retry_after=wait)
    return TransientError(said, retry_after=wait)


def _is_filtered(refusal: Refusal) -> bool:
    if refusal.status not in (400, 403, 422):
        return False
    return bool(refusal.codes & _FILTER_CODES) or bool(_FILTER_WORDS.search(refusal.message))


def _is_too_long(refusal: Refusal) -> bool:
    if refusal.status not in (400, 413, 422, 500):
        return False
    return bool(refusal.codes & _CONTEXT_CODES) or bool(_CONTEXT_WORDS.search(refusal.message))


def _remedy(refusal: Refusal) -> str:
    if refusal.param == "n" or "one completion choice" in refusal.message.lower():
        return " Set `max_choices=1` for a server that gives one answer to a request."
    return ""


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What `retry-after-ms` or `retry-after` (seconds or an HTTP date) ask for, in seconds; None where neither says."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    return seconds if seconds is not None else _seconds_until(text)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return max(value, 0.0) if math.isfinite(value) else None


def _seconds_until(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)  # an HTTP date is, whatever it says
    return max(aware.timestamp() - time.time(), 0.0)
