"""One call as the ledger stores it: from an answer to the records of its samples, and back."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from ...types import Generation, StoredAnswer, Usage

if TYPE_CHECKING:
    from ...types import FailedCall, GenerationRequest, PaidAnswer

_CALL_COLUMNS = (
    *("step", "row", "sample", "key", "text", "finish_reason", "detail", "request", "model"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("latency", "attempts", "error", "message", "at", "batch"),
    *("cost", "origin", "maker", "retried"),
)
INSERT_CALL = f"INSERT INTO calls ({', '.join(_CALL_COLUMNS)}) VALUES ({', '.join('?' * len(_CALL_COLUMNS))})"
ROW_ORDER = "CAST(row AS INTEGER), sample, id"
ANSWER_COLUMNS = (
    "id, sample, key, text, finish_reason, detail, model,"
    " input_tokens, output_tokens, cached_tokens, reasoning_tokens, latency, attempts"
)
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


class StoredCall(NamedTuple):
    """One call out of the table: `ANSWER_COLUMNS`, and what became of it."""

    id: int
    sample: int
    key: bytes
    text: str | bytes | None
    finish_reason: str | None
    detail: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    latency: float | None
    attempts: int
    error: str | None
    message: str | None
    maker: int | None

    @property
    def answer(self) -> tuple[Any, ...]:
        """Its `ANSWER_COLUMNS`."""
        return self[:13]


def answer_records(step: str, answer: PaidAnswer, *, body: str | None, maker: int | None, at: float) -> list[Any]:
    """A record for each sample that has a generation; what is the whole response's stands on the first.

    Args:
        body: the request's text, where it is stored. maker: what made it. at: Unix time.
    """
    response = answer.response
    usage, cost = response.usage, answer.cost
    records = []
    for sample, generation in zip(answer.samples, response.generations, strict=False):
        records.append(
            (
                *(step, answer.row, sample, answer.key),
                *(_storable(generation.text), _storable(generation.finish_reason), _detail(generation)),
                *(body, _storable(response.model), *_tokens(usage)),
                *(answer.latency, answer.attempts, None, None, at, answer.batch),
                *(cost, answer.origin, maker, None),
            )
        )
        usage = cost = body = None
    return records


def failure_records(step: str, failure: FailedCall, *, body: str | None, maker: int | None, at: float) -> list[Any]:
    """A record for each sample of a call that brought no answer, with what was paid for it on the first.

    Args:
        body, maker, at: as of an answer.
    """
    error, retried = failure.error, True if failure.retried else None
    usage, cost = error.usage, failure.cost
    records = []
    for sample in failure.samples:
        records.append(
            (
                *(step, failure.row, sample, failure.key, _storable(error.raw), None, None),
                *(body, _storable(error.model), *_tokens(usage)),
                *(None, failure.attempts, type(error).__name__, _storable(str(error)), at, None),
                *(cost, None, maker, retried),
            )
        )
        usage = cost = body = None
    return records


def stored_answer(record: tuple[Any, ...]) -> StoredAnswer:
    """What a row of `ANSWER_COLUMNS` holds.

    Raises:
        sqlite3.DatabaseError: it is damaged, which SQLite does not notice of a value.
    """
    id, _, _, text, finish_reason, detail, model, *tokens, latency, attempts = record
    try:
        usage = None if tokens[0] is None else Usage(**dict(zip(TOKENS, tokens, strict=True)))
        extra = json.loads(detail) if detail else {}
        generation = Generation(text=stored_text(text), finish_reason=stored_text(finish_reason), **extra)
        model = stored_text(model)
    except (ValueError, TypeError) as exc:
        raise sqlite3.DatabaseError(f"the answer of call {id} is damaged ({exc})") from exc
    return StoredAnswer(generation=generation, usage=usage, model=model, latency=latency, attempts=attempts)


def _tokens(usage: Usage | None) -> tuple[int | None, ...]:
    if usage is None:
        return (None, None, None, None)
    return (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)


def _detail(generation: Generation) -> str | None:
    if generation.reasoning is None and generation.tool_calls is None and generation.logprobs is None:
        return None
    detail = {
        name: value
        for name in ("reasoning", "tool_calls", "logprobs")
        if (value := getattr(generation, name)) is not None
    }
    try:
        return json.dumps(detail, default=str)
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, a value that holds itself
        return json.dumps({name: repr(value) for name, value in detail.items()})


def request_text(request: GenerationRequest) -> str:
    body = {
        "messages": request.messages,
        "parameters": dict(request.parameters),
        "output_schema": request.output_schema,
    }
    return json.dumps(body)


def _storable(text: str | None) -> str | bytes | None:
    """SQLite's text has no lone surrogates; such a text is stored as bytes."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def stored_text(text: str | bytes | None) -> str | None:
    """The counterpart of `_storable`."""
    return text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text
