"""The refusals of a server, as Limbeck's errors; never with a key in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from limbeck.backends import Secrets, fault_of, quota_of, read_refusal, seconds_to_wait
from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilteredError,
    ContextLengthError,
    RateLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.errors import GenerationError

_LONGEST_DETAIL = 800

# TGI, vLLM, SGLang, llama.cpp and OpenAI's own words for a prompt that does not fit.
_TOO_LONG = re.compile(
    r"inputs?` (?:must have less than|tokens \+)|context[_ ](?:length|window|size)|maximum (?:input|prompt) length"
    r"|longer than the model|too many (?:input )?tokens|(?:input|prompt) is too long",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content[_ ](?:filter|policy|management)|safety (?:system|filter)|flagged as", re.IGNORECASE)

_NO_CREDIT = (
    "The account has no credit left: add some (at Hugging Face: https://huggingface.co/settings/billing, or `bill_to`)."
)

# 424 is TGI's "the model server failed on this request"; 409 and 425 ask for another attempt too.
_AGAIN = frozenset({408, 409, 424, 425})


def failure(
    status: int, headers: Mapping[str, str], body: Any, *, subject: str, secrets: Secrets, sent: bytes | None = None
) -> GenerationError:
    """The error that an HTTP answer of 400 and above stands for.

    Args:
        status, headers, body: the answer, as its JSON value or its text; 200 for an error that came in place of one.
        subject: who was asked, for the message.
        secrets: what no message may show. sent: the body of the request, where that is known.
    """
    refusal = read_refusal(status, body, headers, sent=sent)
    status, detail = refusal.status, _shortened(secrets.redact(_message_in(body)))
    message = f"{subject} answered {status}{f': {detail}' if detail else ''}."
    if refusal.no_credit:
        return AuthenticationError(f"{message} {_NO_CREDIT}")
    if status == 429:
        limited = RateLimitError(message, retry_after=seconds_to_wait(headers))
        limited.quota = quota_of(headers)
        return limited
    if status in {401, 403}:
        return AuthenticationError(f"{message} {_credentials_remedy(status, headers, detail)}")
    if status in _AGAIN or status >= 500:
        asked = seconds_to_wait(headers)
        wait = _estimated_time(body) if asked is None else asked
        return fault_of(status, message, retry_after=wait, guessed=refusal.guessed)
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
    if status == 403 and ("gated" in detail.lower() or headers.get("x-error-code") == "GatedRepo"):
        return "The model is gated: accept its terms on its page at https://huggingface.co with the account of the key."
    if status == 403:
        return "The key lacks a permission: see https://huggingface.co/settings/tokens."
    return "Check the key in `api_key`, in HF_TOKEN or of `hf auth login`."


def _shortened(text: str) -> str:
    text = "" if "<html" in text.lower() else " ".join(text.split()).rstrip(".")
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}…"


def _message_in(value: Any) -> str:
    """The server's account of what went wrong, read from any of the shapes in which servers give it."""
    if isinstance(value, dict):
        keys = ("error", "errors", "message", "detail", "error_description", "msg", "code")
        return "; ".join(text for key in keys if (text := _message_in(value.get(key))))
    if isinstance(value, list):
        return "; ".join(text for item in value if (text := _message_in(item)))
    return value if isinstance(value, str) else ""


def _estimated_time(body: Any) -> float | None:
    """Seconds until a model that is being loaded is there; the serverless API puts it in the body of a 503."""
    estimate = body.get("estimated_time") if isinstance(body, dict) else None
    return float(estimate) if isinstance(estimate, int | float) and not isinstance(estimate, bool) else None
