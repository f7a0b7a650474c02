"""What a server refused, as one of Limbeck's errors; never with a key in it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilteredError,
    ContextLengthError,
    RateLimitError,
    TransientError,
)
from limbeck.types import Quota

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.errors import GenerationError

_LONGEST_DETAIL = 800

# A Hugging Face token wherever it stands: a server may echo one that is not ours.
_TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9_]{8,}")

# TGI, vLLM, SGLang, llama.cpp and OpenAI's own words for a prompt that does not fit.
_TOO_LONG = re.compile(
    r"inputs?` (?:must have less than|tokens \+)|context[_ ](?:length|window|size)|maximum (?:input|prompt) length"
    r"|longer than the model|too many (?:input )?tokens|(?:input|prompt) is too long",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content[_ ](?:filter|policy|management)|safety (?:system|filter)|flagged as", re.IGNORECASE)

# 424 is TGI's "the model server failed on this request"; 409 and 425 ask for another attempt too.
_AGAIN = frozenset({408, 409, 424, 425})


def redacted(text: str, secret: str | None) -> str:
    """`text` without `secret` and without anything that looks like a Hugging Face token."""
    if secret:
        text = text.replace(secret, "***")
    return _TOKEN.sub("***", text)


def failure(status: int, headers: Mapping[str, str], body: str, *, subject: str, secret: str | None) -> GenerationError:
    """The error that an HTTP answer of 400 and above stands for.

    Args:
        status, headers, body: the answer; `headers` finds names whatever their case.
        subject: who was asked, for the message.
        secret: the key in use, taken out of the message.
    """
    detail = redacted(_detail(body), secret)
    message = f"{subject} answered {status}{f': {detail}' if detail else ''}."
    if status == 429:
        refusal = RateLimitError(message, retry_after=seconds_to_wait(headers))
        refusal.quota = quota_of(headers)
        return refusal
    if status in {401, 402, 403}:
        return AuthenticationError(f"{message} {_credentials_remedy(status, headers, detail)}")
    if status in _AGAIN or status >= 500:
        asked = seconds_to_wait(headers)
        return TransientError(message, retry_after=_estimated_time(body) if asked is None else asked)
    return _refusal(status, message, detail)


def _refusal(status: int, message: str, detail: str) -> BadRequestError:
    if _TOO_LONG.search(detail):
        return ContextLengthError(f"{message} Shorten the prompt, or ask for fewer new tokens.")
    if _FILTERED.search(detail):
        return ContentFilteredError(message)
    if status == 404:
        message += " Check the name of the model or the URL; a server with several models needs `served_model_name`."
    return BadRequestError(message)


def _credentials_remedy(status: int, headers: Mapping[str, str], detail: str) -> str:
    if status == 402:
        return "The account has no credit left: add some at https://huggingface.co/settings/billing, or set `bill_to`."
    if status == 403 and ("gated" in detail.lower() or headers.get("x-error-code") == "GatedRepo"):
        return "The model is gated: accept its terms on its page at https://huggingface.co with the account of the key."
    if status == 403:
        return "The key lacks a permission: see https://huggingface.co/settings/tokens."
    return "Check the key in `api_key`, in HF_TOKEN or of `hf auth login`."


def _detail(body: str) -> str:
    """What the server says went wrong, out of the shapes that servers say it in."""
    try:
        text = _said(json.loads(body))
    except ValueError:
        text = "" if "<html" in body.lower() else body
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}…"


def _said(value: Any) -> str:
    if isinstance(value, dict):
        keys = ("error", "errors", "message", "detail", "error_description", "msg", "code")
        return "; ".join(text for key in keys if (text := _said(value.get(key))))
    if isinstance(value, list):
        return "; ".join(text for item in value if (text := _said(item)))
    return value if isinstance(value, str) else ""


def _estimated_time(body: str) -> float | None:
    """Seconds until a model that is being loaded is there; the serverless API puts it in the body of a 503."""
    try:
        estimate = json.loads(body)["estimated_time"]
    except (ValueError, TypeError, KeyError):
        return None
    return float(estimate) if isinstance(estimate, int | float) and not isinstance(estimate, bool) else None


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What `retry-after-ms`, `retry-after` or the Hub's `ratelimit` ask for, in seconds, or None."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = _retry_after(headers.get("retry-after"))
    return _quota_reset(headers) if asked is None else asked


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _retry_after(text: str | None) -> float | None:
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000": the zone is not said, and HTTP knows only one
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _quota_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the Hub's quota is filled again, where it is used up."""
    quota = quota_of(headers)
    return quota.requests_reset if quota is not None and quota.requests_remaining == 0 else None


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """What is left of the caller's requests, from Hugging Face's `ratelimit: "api";r=0;t=55` (IETF draft 9)."""
    if "ratelimit" not in headers:
        return None
    from huggingface_hub.utils._http import parse_ratelimit_headers

    said = parse_ratelimit_headers(headers)
    return Quota(requests_remaining=said.remaining, requests_reset=float(said.reset_in_seconds)) if said else None
