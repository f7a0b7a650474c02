"""The conversations of the samples that are shown: what was asked and done, turn by turn."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from .messages import MOST_CHARACTERS, Message, messages_of, parameters_of, shown_message, stored_request
from .records import text_of
from .turns import Place, mended_of, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from limbeck.runs import Run

    from .records import Records

MOST_TURNS = 200
"""Calls and effects of one conversation that are read; of a longer one, its beginning and its end."""
_LAST_TURNS = 20

_CALL = """
    SELECT substr(c.text, 1, ?) AS text, length(c.text) AS length, c.detail AS detail, c.finish_reason AS finish_reason,
        {model} AS model, c.input_tokens AS input_tokens, c.output_tokens AS output_tokens, c.latency AS latency,
        c.attempts AS attempts, c.error AS error, substr(c.message, 1, 2000) AS message,
        substr(c.request, 1, ?) AS request, {parameters} AS parameters
    FROM calls c{makers} WHERE c.id = ?
"""
_EFFECT = """
    SELECT name, substr(arguments, 1, ?1) AS arguments, substr(result, 1, ?1) AS result, error, seconds
    FROM effects WHERE id = ?2
"""

Sampled = tuple[str, str, int]
"""A step, the id of a row, and the number of a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One call or effect of a conversation.

    Attributes:
        turn: its label: "2", "2.1" beside "2.2", "2r1", "2f1"; "" for the one call about a row, whose repairs and
            fallbacks are "r1" and "f1".
        kind: what it is. mends: the label of the call that it repairs or stands in for.
        model: who was asked. latency: seconds that it took. parameters: of sampling, as JSON.
        continues: the turn whose chat, with its answer, goes before `messages`; None where these are all.
        messages: of the prompt, but for those that `continues` has; None where they are not known.
        text, length, reasoning, tool_calls: the answer, perhaps cut, and its whole length; tool calls as JSON.
        name, arguments, result: of an effect; the latter as JSON.
        error, message: of a failure. became: "caught" by the conversation, which went on; "mended" by a repair or
            a fallback, as an answer that could not be used may be; None for an answer, or where all ended with it.
    """

    turn: str
    kind: Literal["call", "repair", "fallback", "effect"]
    mends: str | None = None
    model: str | None = None
    attempts: int | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency: float | None = None
    parameters: str | None = None
    continues: str | None = None
    messages: list[Message] | None = None
    reasoning: str | None = None
    tool_calls: str | None = None
    text: str | None = None
    length: int = 0
    name: str | None = None
    arguments: str | None = None
    result: str | None = None
    error: str | None = None
    message: str | None = None
    became: Literal["caught", "mended"] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A call or an effect in the ledger, by its id there and the time it ended."""

    place: Place
    label: str
    id: int
    at: float
    is_call: bool


class Conversations:
    """The conversations about some rows, found in one pass over the ledger, and read one after another."""

    def __init__(self, records: Records, wanted: Iterable[Sampled]) -> None:
        self._records = records
        self._events: dict[Sampled, list[Event]] = {}
        pairs = {(step, row) for step, row, _ in wanted if step in records.conversing}
        if not pairs:
            return
        records.query("CREATE TEMP TABLE talked (step TEXT, row TEXT, PRIMARY KEY (step, row))")
        for pair in pairs:
            records.query("INSERT INTO talked VALUES (?, ?)", pair)
        # An effect without a key is the note of a conversation's end.
        for table, final in (("calls", " WHERE a.retried IS NULL"), ("effects", " WHERE length(a.key)")):
            query = (
                f"SELECT a.step, a.row, a.sample, a.turn, a.id, a.at FROM {table} a CROSS JOIN talked t"
                f" ON t.step = a.step AND t.row = a.row{final} ORDER BY a.id"
            )
            for step, row, sample, label, id, at in records.query(query):
                event = Event(place_of(label), label or "", id, at, table == "calls")
                self._events.setdefault((step, row, sample), []).append(event)

    def events(self, sampled: Sampled) -> list[Event]:
        """The calls and effects of a sample in the order of its conversation, each turn as it was asked last."""
        found = self._events.get(sampled, [])
        latest: dict[str, Event] = {}
        for event in sorted(found, key=lambda event: event.at):
            latest.pop(event.label, None)
            latest[event.label] = event
        if latest and next(reversed(latest.values())).place.turn:  # before it was a conversation, there was one call
            latest = {label: event for label, event in latest.items() if event.place.turn}
        return list(_of_now(sorted(latest.values(), key=lambda event: event.place)))

    def turns(self, sampled: Sampled, *, failed_at: str | None) -> tuple[list[Turn], int]:
        """The turns of a sample, and how many were left out of a long conversation.

        Args:
            failed_at: the turn at which it failed; None where it did not, or not at one.
        """
        events = self.events(sampled)
        left_out = max(0, len(events) - MOST_TURNS)
        if left_out:
            events = [*events[: MOST_TURNS - _LAST_TURNS], *events[-_LAST_TURNS:]]
        chats = _Chats(self._records.run)
        turns = [self._call(event, chats) if event.is_call else self._effect(event) for event in events]
        places = [event.place for event in events]
        end = None if failed_at is None else place_of(failed_at)
        return [
            replace(turn, became=_became(turn, place, list(zip(places, turns, strict=True)), end))
            for place, turn in zip(places, turns, strict=True)
        ], left_out

    def _call(self, event: Event, chats: _Chats) -> Turn:
        made = self._records.has_makers
        query = _CALL.format(
            model="coalesce(c.model, json_extract(m.identity, '$.model_name'))" if made else "c.model",
            parameters="m.parameters" if made else "NULL",
            makers=" LEFT JOIN makers m ON m.id = c.maker" if made else "",
        )
        found = self._records.first(query, (MOST_CHARACTERS, 10 * MOST_CHARACTERS, event.id)) or {}
        request = found.pop("request")
        asked = parameters_of(request) or found["parameters"]
        detail = answer_detail(found.pop("detail"))
        text = text_of(found.pop("text"))
        continues, messages = chats.put(event, request, text)
        mends = mended_of(event.label)
        return Turn(
            **{
                **found,
                "parameters": None if asked in (None, "{}") else asked,
                "length": found["length"] or 0,
                "model": text_of(found["model"]),
                "finish_reason": text_of(found["finish_reason"]),
                "message": text_of(found["message"]),
            },
            **detail,
            turn=event.label,
            kind="call" if mends is None else ("repair" if event.place.repair else "fallback"),
            mends=mends,
            text=text,
            continues=continues,
            messages=messages,
        )

    def _effect(self, event: Event) -> Turn:
        found = self._records.first(_EFFECT, (MOST_CHARACTERS, event.id)) or {}
        failed = found["error"] is not None
        return Turn(
            turn=event.label,
            kind="effect",
            latency=found["seconds"],
            name=found["name"],
            arguments=text_of(found["arguments"]),
            result=text_of(found["result"]),
            error="EffectError" if failed else None,
            message=text_of(found["error"]),
        )


def _of_now(events: Sequence[Event]) -> Iterator[Event]:
    """The events without those from before the conversation was begun anew at an earlier turn."""
    began = 0.0  # at which what comes later in the conversation may have been stored at the earliest
    for _, together in groupby(events, key=lambda event: event.place.turn):
        latest: dict[int, float] = {}
        for event in together:
            beside = event.place.beside
            if event.at >= max(began, latest.get(beside, 0.0), latest.get(0, 0.0)):
                yield event
            latest[beside] = max(event.at, latest.get(beside, 0.0))
        began = max(began, *latest.values())


def _became(
    turn: Turn, place: Place, turns: Iterable[tuple[Place, Turn]], end: Place | None
) -> Literal["caught", "mended"] | None:
    """What a conversation that failed at `end` made of a turn that failed, or that could not be used."""
    ended_here = end is not None and end.branch == place.branch
    later = [other for at, other in turns if at.branch == place.branch and at > place]
    if later and later[-1].error is None and not ended_here:
        return "mended"
    return "caught" if turn.error is not None and (end is None or place.turn < end.turn) else None


def answer_detail(detail: str | None) -> dict[str, Any]:
    """The reasoning and the tool calls in a stored answer's detail, as JSON text."""
    try:
        found = json.loads(detail) if detail else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    reasoning, calls = found.get("reasoning"), found.get("tool_calls")
    return {
        "reasoning": reasoning[:MOST_CHARACTERS] if isinstance(reasoning, str) else None,
        "tool_calls": json.dumps(calls, indent=2, ensure_ascii=False)[:MOST_CHARACTERS] if calls else None,
    }


class _Chats:
    """The chats of a conversation so far, as digests of their messages: a later one often continues an earlier."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: list[tuple[Event, list[bytes], str | None]] = []

    def put(self, event: Event, request: str | None, answer: str | None) -> tuple[str | None, list[Message] | None]:
        """Take in what a turn asked; gives the turn whose chat it continues, and the messages that are new."""
        if request is None:
            return None, None
        messages = stored_request(request)
        if messages is None:
            return None, messages_of(request, self._run)
        digests = [_digest(message) for message in messages]
        before = self._continued(event, digests)
        self._known.append((event, digests, answer))
        if before is None:
            return None, messages_of(request, self._run)
        continued, length, answered = before
        fresh = messages[length:]
        if fresh and _is_answer(fresh[0], answered):
            fresh = fresh[1:]
        return continued.label, [shown_message(message, self._run) for message in fresh]

    def _continued(self, event: Event, digests: list[bytes]) -> tuple[Event, int, str | None] | None:
        """The latest of the longest chats that are the beginning of this one."""
        found = None
        for other, known, answer in self._known:
            if not other.place.is_before(event.place) or digests[: len(known)] != known or not known:
                continue
            same_question = len(known) == len(digests) and other.place.branch != event.place.branch
            if not same_question and (found is None or len(known) >= found[1]):
                found = other, len(known), answer
        return found


def _digest(message: Any) -> bytes:
    return blake2b(json.dumps(message, sort_keys=True).encode(), digest_size=16).digest()


def _is_answer(message: Any, answer: str | None) -> bool:
    """Tell whether a message is the answer of the turn before, which is shown there."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return False
    content = message.get("content") or ""
    return isinstance(content, str) and content[:MOST_CHARACTERS].strip() == (answer or "").strip()


def abreast(turns: Iterable[Turn]) -> list[list[list[Turn]]]:
    """The turns by their number; of each, what was side by side, with its repairs and fallbacks."""
    return [
        [list(branch) for _, branch in groupby(together, key=lambda turn: place_of(turn.turn).branch)]
        for _, together in groupby(turns, key=lambda turn: place_of(turn.turn).turn)
    ]
