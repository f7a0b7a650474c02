"""From what a server says to Limbeck's error types. No I/O, no SDK.

The wordings and codes are those of https://platform.claude.com/docs/en/api/errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from limbeck.backends import Secrets, fault_of, quota_of, read_refusal, seconds_to_wait
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
    from collections.abc import Callable, Mapping

# A message can quote the whole prompt, and a gateway's error page is long.
_LONGEST_MESSAGE = 500

# An error inside a stream comes with status 200; its type says which status it would have had.
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

_TOO_LONG_WORDS = re.compile(
    r"prompt is too long|input is too long|exceeds? (?:the )?(?:model's )?context (?:limit|window|length)",
    re.IGNORECASE,
)
_FILTER_WORDS = re.compile(r"content filtering policy", re.IGNORECASE)

_PASSING_STATUSES = {408, 409, 425, 499}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A server's refusal, whichever form its body had.

    Attributes:
        status: the HTTP status. kind: the error's `type`. message: the server's words.
        no_credit: whether it says that the account cannot pay. headers: with lower-case names.
    """

    status: int
    message: str
    kind: str | None = None
    no_credit: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal_of(
    status: int, body: Any, headers: Mapping[str, str], *, redact: Callable[[str], str], sent: bytes | None = None
) -> Refusal:
    """Read an error body: Anthropic's form, a gateway's, or plain text.

    Args:
        status: the HTTP status; 200 for an error that came inside an answer.
        body: the JSON value, or the text where it was none.
        headers: with lower-case names.
        redact: takes keys out of a text. It is applied before the text is cut, which could leave half a key.
        sent: the body of the request, where that is known.
    """
    error = body.get("error", body) if isinstance(body, dict) else body
    facts: dict[str, Any] = error if isinstance(error, dict) else {}
    kind = facts.get("type")
    parsed = read_refusal(status, body, headers, sent=sent)
    claimed = _STATUS_OF_TYPE.get(str(kind), 500 if parsed.guessed else parsed.status)
    return Refusal(
        status=status if status >= 300 else claimed,
        message=redact(parsed.message)[:_LONGEST_MESSAGE].rstrip("."),
        kind=kind if isinstance(kind, str) else None,
        no_credit=parsed.no_credit,
        headers=headers,
    )


def failure_of(refusal: Refusal, *, server: str, model: str) -> GenerationError:
    """The error that a refusal means.

    Args:
        refusal: what the server said.
        server: what to call it in the message.
        model: the model that was asked for.
    """
    kind = f" ({refusal.kind})" if refusal.kind else ""
    request_id = refusal.headers.get("request-id")
    reference = f" [request {request_id}]" if request_id else ""
    message = f"{server} answered {refusal.status}{kind}: {refusal.message}{reference}."
    failure = _final_for_all(refusal, message) or _final_for_one(refusal, message, model) or _for_now(refusal, message)
    failure.quota = quota_of(refusal.headers)
    return failure


def tokenless_failure(explanation: str, *, status: int | None, cause: BaseException | None) -> GenerationError:
    """The error when the SDK got no access token for a profile or a federated identity.

    Args:
        explanation: the SDK's words. status: what the token endpoint answered, if it did.
        cause: what the SDK's exception was raised from.
    """
    message = f"The SDK could not get an access token: {Secrets().redact(explanation)[:_LONGEST_MESSAGE]}"
    unanswered = status is None and type(cause).__module__.partition(".")[0] == "httpx2"
    if unanswered or status in _PASSING_STATUSES or status == 429 or (status or 0) >= 500:
        return TransientError(message)
    return AuthenticationError(message)


def _final_for_all(refusal: Refusal, message: str) -> AuthenticationError | None:
    """The error for a refusal that every further call would meet too, or None."""
    if refusal.no_credit:
        return AuthenticationError(
            f"{message} Waiting does not mend this: add credit or raise the spend limit, then run again."
        )
    if refusal.status == 401:
        return AuthenticationError(f"{message} Check `api_key`, or the environment variable `ANTHROPIC_API_KEY`.")
    if refusal.status == 403:
        return AuthenticationError(f"{message} Check what the key, its workspace and its region may use.")
    return None


def _final_for_one(refusal: Refusal, message: str, model: str) -> BadRequestError | None:
    """The error for a refusal that this request would always meet, though others may not, or None."""
    if refusal.status == 413 or (refusal.status in (400, 422) and _TOO_LONG_WORDS.search(refusal.message)):
        return ContextLengthError(f"{message} Shorten the prompt or lower `max_tokens`.")
    if refusal.status in (400, 422) and _FILTER_WORDS.search(refusal.message):
        return ContentFilteredError(message)
    if refusal.status == 404:
        return BadRequestError(
            f"{message} Either the model {model!r} does not exist there (or is not open to this account), "
            "or `base_url` is wrong: it ends before `/v1`."
        )
    if refusal.status in _PASSING_STATUSES or refusal.status == 429 or refusal.status >= 500:
        return None
    return BadRequestError(message)


def _for_now(refusal: Refusal, message: str) -> RateLimitError | TransientError:
    wait = seconds_to_wait(refusal.headers)
    if refusal.status == 429:
        return RateLimitError(message, retry_after=wait)
    return fault_of(refusal.status, message, retry_after=wait)
