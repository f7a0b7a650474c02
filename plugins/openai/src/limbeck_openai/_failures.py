"""From what a server says to Limbeck's error types. No I/O, no SDK."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from limbeck.backends import fault_of, seconds_to_wait
from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilteredError,
    ContextLengthError,
    GenerationError,
    RateLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from limbeck.backends import Refusal

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


def failure_of(refusal: Refusal, headers: Mapping[str, str], *, server: str, model: str) -> GenerationError:
    """The error that a refusal means.

    Args:
        refusal: what the server said. headers: of its answer.
        server: what to call it in the message.
        model: the model that was asked for.
    """
    message = f"{server} answered {refusal.status}: {refusal.message.rstrip('. ')}."
    return (
        _final_for_all(refusal, message)
        or _final_for_one(refusal, message, model)
        or _for_now(refusal, headers, message)
    )


def _final_for_all(refusal: Refusal, message: str) -> AuthenticationError | None:
    """The error for a refusal that every further call would meet too, or None."""
    if refusal.no_credit:
        return AuthenticationError(f"{message} The account has no credit left; add some, then run again.")
    if refusal.status in (401, 403) and not _is_filtered(refusal):
        return AuthenticationError(f"{message} Check the key and what it may use.")
    return None


def _final_for_one(refusal: Refusal, message: str, model: str) -> BadRequestError | None:
    """The error for a refusal that this request would always meet, though others may not, or None."""
    if _is_filtered(refusal):
        return ContentFilteredError(message)
    if _is_too_long(refusal):
        return ContextLengthError(message)
    if refusal.status == 429 and "request too large" in refusal.message.lower():
        return BadRequestError(f"{message} One request is larger than the account's tokens per minute.")
    if refusal.status == 404:
        return BadRequestError(
            f"{message} Either the model or deployment {model!r} does not exist there, or is not open to this account, "
            "or the address is wrong: a `base_url` mostly ends in `/v1`."
        )
    if refusal.status in (408, 409, 425, 429) or refusal.status >= 500:
        return None
    return BadRequestError(message + _remedy(refusal))


def _for_now(refusal: Refusal, headers: Mapping[str, str], message: str) -> GenerationError:
    wait = seconds_to_wait(headers)
    if refusal.status == 429:
        return RateLimitError(message, retry_after=wait)
    return fault_of(refusal.status, message, retry_after=wait, guessed=refusal.guessed)


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
