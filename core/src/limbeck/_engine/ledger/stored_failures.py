"""Failed calls in a ledger: the request, the error, and the tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .stored_calls import TOKENS, stored_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from .makers import Maker

# Those of a row that no answer came after, the latest first. A call's request is stored with its first sample.
# `{final}`: but those that were asked again, which are there for what was paid for them.
_UNANSWERED = f"""
    SELECT id, sample, error, message, attempts, text, maker, coalesce(request, (
        SELECT request FROM calls AS first WHERE first.step = calls.step AND first.row = calls.row
            AND first.key = calls.key AND first.request IS NOT NULL LIMIT 1)), {", ".join(TOKENS[:2])}, {{turn}}
    FROM calls WHERE step = ?1 AND row = ?2 AND error IS NOT NULL{{final}} AND NOT EXISTS (
        SELECT 1 FROM calls AS later WHERE later.step = ?1 AND later.row = ?2
            AND later.sample = calls.sample AND later.id > calls.id AND later.error IS NULL)
    ORDER BY id DESC LIMIT 1"""
_SHOWN = 200  # characters of a value that is no text


@dataclass(frozen=True, slots=True)
class StoredFailure:
    """A failed call of a row.

    Attributes:
        call: its id in the ledger. sample: the row's. error, message: its type and words. attempts: how often it
            was sent. raw: the text of what came in place of an answer, or None.
        request: `messages`, `parameters` and `output_schema`; None where prompts are not stored.
        model_name: of the LLM that was asked; parameters: of sampling; None where that is not known.
        input_tokens, output_tokens: what a response took all the same; None on the samples but its first.
        turn: the place in its conversation; None for the one call about a row.
    """

    call: int
    sample: int
    error: str
    message: str
    attempts: int
    raw: str | None
    request: dict[str, Any] | None
    model_name: str | None
    parameters: dict[str, Any] | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    turn: str | None = None

    def lines(self) -> Iterator[str]:
        """The lines that describe it."""
        sent = f"after {self.attempts} attempts" if self.attempts != 1 else "at its one attempt"
        place = f"sample {self.sample}" if self.turn is None else f"sample {self.sample}, turn {self.turn}"
        yield f"Its call {self.call} ({place}) failed {sent}: {self.error}: {self.message}"
        if self.raw is not None:
            yield from _labelled("what came", self.raw)
        if self.model_name is not None:
            yield f"model: {self.model_name}"
        if self.parameters is not None:
            yield f"parameters: {json.dumps(self.parameters)}"
        if self.input_tokens is not None:
            yield f"tokens: {self.input_tokens} in, {self.output_tokens} out"
        if self.request is None:
            yield 'Its prompt is not stored (`ledger_requests="hash"`).'
            return
        for number, message in enumerate(self.request["messages"]):
            yield from _labelled(f"messages[{number}] ({message.get('role', '?')})", _content(message))


def latest_failure(
    reader: sqlite3.Connection, makers: Mapping[int | None, Maker], *, step: str, row: str
) -> StoredFailure | None:
    """The latest call of a row that failed, with no answer to its sample after it."""
    columns = {name for _, name, *_ in reader.execute("PRAGMA table_info(calls)")}  # of an earlier version, perhaps
    final = " AND retried IS NULL" if "retried" in columns else ""
    turn = "turn" if "turn" in columns else "NULL"
    found = reader.execute(_UNANSWERED.format(final=final, turn=turn), (step, row)).fetchone()
    if found is None:
        return None
    call, sample, error, message, attempts, raw, maker_id, body, *tokens = found
    maker = makers.get(maker_id)
    request = None if body is None else json.loads(body)
    made_with = None if maker is None else maker.parameters
    return StoredFailure(
        call=call,
        sample=sample,
        error=error,
        message=stored_text(message) or "",
        attempts=attempts,
        raw=stored_text(raw),
        request=request,
        model_name=None if maker is None else maker.model_name,
        parameters=made_with if request is None else request["parameters"],
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        turn=tokens[2],
    )


def _labelled(label: str, text: str) -> Iterator[str]:
    """A text behind a label; its further lines are indented."""
    first, *others = text.splitlines() or [""]
    yield f"{label}: {first}"
    for line in others:
        yield f"  {line}"


def _content(message: Mapping[str, Any]) -> str:
    """A message's text as it is; what is no text, shortened."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    value = content if content is not None else {key: message[key] for key in message if key != "role"}
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
