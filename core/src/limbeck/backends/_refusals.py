"""The contents of an error body, in whatever form a server puts them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import TransientError, UnavailableError
from ._waits import Headers, seconds_to_wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MESSAGES = ("message", "msg", "detail", "error_description", "description", "title", "reason", "status_msg")
_NESTED = ("error", "errors", "detail", "innererror", "details", "base_resp")
_CODES = ("code", "type", "status", "error_code", "reason", "status_code")
_DEEPEST = 5
_GUESSED = 502  # for an error in a successful response that claims no status
_LONGEST_EXCERPT = 500  # of what is searched: a message may quote the whole prompt

# Out of money is not a rate: waiting does not mend it, and every further call fails alike.
_NO_CREDIT_CODES = frozenset(
    {"insufficient_quota", "insufficient_balance", "insufficient_credits", "insufficient_funds", "out_of_credits"}
    | {"quota_exhausted", "credits_exhausted", "payment_required", "arrearage", "accountoverdueerror"}
    | {"billing_hard_limit_reached", "billing_limit_reached", "billing_not_active", "billing_error"}
    | {"billing_disabled", "exceeded_current_quota_error", "spend_limit_reached", "enforced_spend_limit_reached"}
    | {"budget_exceeded"}
    | {"contract_spend_limit_reached", "linked_organization_spend_limit_reached", "insufficient_user_quota"}
)
_NO_CREDIT_WORDS = re.compile(
    r"insufficient[ _](?:\w+ )?(?:quota|balance|credits?|funds)|(?:balance|credits?|funds|quota) (?:is |are )?"
    r"(?:too low|insufficient|not (?:enough|sufficient)|exhausted|used up|depleted)"
    r"|(?:quota|credits?|balance)[ _](?:has been |have been |is |was )?(?:exhausted|exceeded|used up|depleted)"
    r"|(?:exceeded|exhausted|used up|used all)(?: of)?(?: your| the| its)?(?: \w+){0,3} (?:quota|credits?)\b"
    r"|out of (?:credits?|quota|funds)|(?:no|zero|negative) (?:remaining )?(?:credits?|balance)\b"
    r"|(?:not|doesn't|don't) have (?:any |enough )credits?|requires? more credits|can only afford|not enough credits?"
    r"|billing (?:hard )?limit|billing (?:is |account is )?(?:not active|disabled|inactive)"
    r"|check your (?:\w+ and )?billing"
    r"|plan and billing|payment required|spend(?:ing)? limit|account is (?:overdue|in arrears)|arrear"
    r"|reached your specified (?:\w+ )?api usage limits|top[ -]?up your|recharge your"
    r"|(?:budget|credit limit) (?:has been |was |is )?(?:exceeded|reached)|spend(?:ing)? cap|unpaid (?:invoice|bill)"
    r"|credits? (?:has |have )?run out|(?:purchase|buy) (?:more|additional) credits?|monthly usage limit"
    r"|account is in good standing|余额不足|欠费",
    re.IGNORECASE,
)
# What says that time mends it.
_PASSING = re.compile(
    r"per[ -]?(?:second|minute|min\b|hour|day)|rate[ _-]?limit|\b[rt]p[mds]\b"
    r"|\bconcurren|slow(?:ing)? down|please wait|retry (?:shortly|later|soon)"
    r"|(?:re)?try (?:again )?(?:in|after) \d|too many requests",
    re.IGNORECASE,
)
# What stands in quotes is the prompt's, not the server's; the apostrophe in a word opens none.
_QUOTED = re.compile(r"(?<!\w)'.*?'(?!\w)|\"[^\"]*\"|`[^`]*`|“[^”]*”|‘[^’]*’(?!\w)", re.DOTALL)
_INVALID = frozenset({400, 413, 422})  # what is wrong is in the request, which the message may repeat without quotes
_NO_WORD = re.compile(r"[\W_]+")
_NO_ERROR = frozenset({"", "0", "none", "null", "no error", "ok", "success"})
_STATUS_OF_CODE = {
    **dict.fromkeys(("invalid_api_key", "authentication_error", "unauthenticated", "unauthorized"), 401),
    **dict.fromkeys(("permission_error", "permission_denied", "forbidden"), 403),
    **dict.fromkeys(("not_found", "not_found_error", "model_not_found"), 404),
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "resource_exhausted", "too_many_requests"), 429),
    **dict.fromkeys(("context_length_exceeded", "content_filter", "invalid_request_error", "bad_request"), 400),
    **dict.fromkeys(("overloaded_error", "unavailable", "service_unavailable"), 503),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A server's refusal, whichever form its body had.

    Attributes:
        status: the HTTP status; of an error inside of a successful answer the one that it claims, else 502.
        message: the server's words, which may quote a key. codes: its codes and types, in lower case.
        param: the request's parameter that it blames. no_credit: whether it says that the account cannot pay.
        guessed: whether nobody said the status: it is that of a broken gateway.
    """

    status: int
    message: str
    codes: frozenset[str] = frozenset()
    param: str | None = None
    no_credit: bool = False
    guessed: bool = False


def read_refusal(status: int, body: Any, headers: Headers = (), *, sent: Any = None) -> Refusal:
    """Read an error body: an object, one in a list or under `error` or `detail`, or plain text.

    Args:
        status: the HTTP status. body: the JSON value, or the text where it was none.
        headers: one that asks to wait means that time mends it.
        sent: the request's body, as it was sent or as a JSON value. A message may repeat it, and what a row says of
            credit ends no run. Where it is None, words of an invalid request (400, 413, 422) say nothing of credit.
    """
    codes = frozenset(code.lower() for code in _codes(body))
    message = _message(body) or "no message"
    said = status if status >= 300 else _claimed(codes)
    claimed = _GUESSED if said is None else said
    return Refusal(
        status=claimed,
        guessed=said is None,
        message=message,
        codes=codes,
        param=_param(body),
        no_credit=_says_no_credit(claimed, codes, message, headers, sent),
    )


def is_error_body(body: Any, *, answer: str) -> bool:
    """Tell whether the body of a successful response is an error: gateways have sent their 200 before they fail.

    Args:
        body: its JSON value. answer: the name under which an answer would stand.
    """
    if isinstance(body, list):
        return any(isinstance(item, dict) and bool(item.get("error")) for item in body)
    if not isinstance(body, dict):
        return False
    if body.get(answer) and _says_nothing(body.get("error")):
        return False
    outcome = body.get("base_resp")  # MiniMax's, with a `status_code` of 0 where all is well
    if not body.get(answer) and isinstance(outcome, dict) and outcome.get("status_code"):
        return True
    names = () if body.get(answer) else ("message", "detail", "msg", "errors", "code")
    return any(body.get(name) for name in ("error", *names))


def _says_nothing(error: Any) -> bool:
    """Tell whether an error beside an answer is a field that the server left empty."""
    if isinstance(error, dict):
        return all(_says_nothing(value) for value in error.values())
    if isinstance(error, str):
        return error.strip().lower() in _NO_ERROR
    return not error


def _message(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if depth > _DEEPEST:
        return ""
    if isinstance(value, list):
        return "; ".join(text for item in value[:3] if (text := _message(item, depth + 1)))
    if not isinstance(value, dict):
        return ""
    errors = ("error", "errors", "base_resp")
    keys = (*errors, *_MESSAGES) if isinstance(value.get("error"), dict | list) else (*_MESSAGES, *errors)
    message = next((text for key in keys if (text := _message(value.get(key), depth + 1))), "")
    return message or (str(value) if value and not depth else "")


def _codes(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value[:3]:
            yield from _codes(item, depth + 1)
    if not isinstance(value, dict):
        return
    for key in _CODES:
        code = value.get(key)
        if isinstance(code, str | int) and not isinstance(code, bool) and code:
            yield str(code)
    for key in _NESTED:
        inner = value.get(key)
        if isinstance(inner, str) and inner and " " not in inner:
            yield inner
        yield from _codes(inner, depth + 1)


def _param(body: Any) -> str | None:
    error = body.get("error", body) if isinstance(body, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else None


def _claimed(codes: frozenset[str]) -> int | None:
    """The status that the error of a successful response claims, if any."""
    numbers = sorted(int(code) for code in codes if code.isdecimal() and len(code) == 3 and code[0] in "45")
    named = sorted(_STATUS_OF_CODE[code] for code in codes & _STATUS_OF_CODE.keys())
    return next(iter(numbers or named), None)


def _says_no_credit(status: int, codes: frozenset[str], message: str, headers: Headers, sent: Any) -> bool:
    known = codes & _NO_CREDIT_CODES
    if status == 402 or (known and not (status in _INVALID and sent is not None and _stand_in(sent, known))):
        return True
    if status == 429 and any(code.startswith("rate_limit") for code in codes):
        return False
    excerpt = _QUOTED.sub("''", message)[:_LONGEST_EXCERPT]
    said = [match.group() for match in _NO_CREDIT_WORDS.finditer(excerpt)]
    if (status >= 500 and status not in (500, 502)) or not said or _PASSING.search(excerpt):
        return False
    if sent is None:
        return status not in _INVALID and seconds_to_wait(headers) is None
    return seconds_to_wait(headers) is None and not _stand_in(sent, said)


def _stand_in(sent: Any, words: Iterable[str]) -> bool:
    """Tell whether all of these words stand in the request itself."""
    if isinstance(sent, bytes | bytearray):
        try:
            sent = json.loads(sent)
        except (ValueError, RecursionError):
            sent = sent.decode("utf-8", "replace")
    asked = _plain(" ".join(_texts(sent)))
    return all(_plain(each) in asked for each in words)


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value


def _plain(text: str) -> str:
    return _NO_WORD.sub(" ", text).casefold().strip()


# Said by what stands before the server (520 to 527 and 530 are Cloudflare's), or by one that is overloaded as a whole.
_AWAY = frozenset({502, 503, 504, 529, 530, *range(520, 528)})


def fault_of(status: int, message: str, *, retry_after: float | None = None, guessed: bool = False) -> TransientError:
    """The error that a status of 500 and above, or one that passes, stands for; a guessed one is of this call only."""
    error = UnavailableError if status in _AWAY and not guessed else TransientError
    return error(message, retry_after=retry_after)
