"""The explanation of a look-up: the parts of a row's key beside those of the nearest stored call."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..._media.inline import put_back
from ...errors import LedgerError
from ...types import ModelKind
from ..calls.changes import changes
from ..calls.keys import VERSION, Keyring
from ..ledger.blobs import Blobs, blob_name
from ..ledger.file import reader_of
from ..ledger.makers import Maker, stored_makers
from ..ledger.stored_calls import DamagedCallError, answer_columns, fetch_all, stored_answer
from ..ledger.stored_failures import StoredFailure, latest_failure
from ..ledger.turns import knows_turns

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from ...types import ChatType, Request, StoredEffect

# A response's request is stored with its first sample. In a conversation each turn has its own.
_CALLS = """
    SELECT id, row, key, maker, error, coalesce(request, (
        SELECT request FROM calls AS first WHERE first.step = calls.step AND first.row = calls.row
            AND first.key = calls.key AND first.request IS NOT NULL LIMIT 1))
    FROM calls WHERE step = ?"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A row's stored call, or the differences of its request from the nearest one.

    Attributes:
        step, row: what is explained. key: of its request, in hexadecimal.
        parts: what the key is of: `identity`, `parameters`, `output_schema`, `messages`.
        found: whether an answer with this key is stored. call: the id of it, else of the nearest call, else None.
        differs: what differs from that call, each as `part: stored -> now`.
        because: what has changed in the step's configuration since that call.
        failure: the row's latest call that failed and was not answered since, or None.
        turn: of a conversation, or an answer that may be mended: the first turn that is not stored, else the last;
            None where there is but one call. sample: whose turn it is. turns: how many are stored.
        end: the error with which the conversation ends, as far as it is stored; or None.
    """

    step: str
    row: str
    key: str
    parts: dict[str, Any]
    found: bool
    call: int | None
    stored_row: str | None
    differs: list[str] = field(default_factory=list)
    because: list[str] = field(default_factory=list)
    failure: StoredFailure | None = None
    turn: str | None = None
    sample: int = 0
    turns: int = 0
    end: str | None = None

    def __str__(self) -> str:
        place = "" if self.turn is None else f", turn {self.turn}"
        place += f" of sample {self.sample}" if self.sample else ""
        lines = [f"Row {self.row} of step {self.step!r}{place}, key {self.key or 'none'} (version {VERSION})."]
        lines += [f"  {line}" for line in self._verdict()]
        if self.failure is not None:
            first, *others = self.failure.lines()
            lines += [f"  {first}", *(f"    {line}" for line in others)]
        lines += ["Its key is of:", *(f"  {line}" for line in _flat(self.parts))]
        return "\n".join(lines)

    def _verdict(self) -> Iterator[str]:
        where = "this row's" if self.stored_row == self.row else f"row {self.stored_row}'s"
        if self.found:
            yield self._found(where)
            if self.end is not None:
                yield f"It ends with {self.end}"
            return
        if self.turn is not None and not self.differs:
            stored = {0: "no turn is", 1: "one turn is"}.get(self.turns, f"{self.turns} turns are")
            yield f"Not found: turn {self.turn} is not stored; before it, {stored}."
            return
        if self.call is None and not self.differs:
            yield "Not found: no call of this step is stored."
            return
        yield self._not_found(where)
        yield from (f"  {difference}" for difference in self.differs)
        if self.because:
            yield "The configuration has changed since that call:"
            yield from (f"  {change}" for change in self.because)

    def _found(self, where: str) -> str:
        if self.turns != 1:
            return f"Found: all its {self.turns} turns are stored. They are used again."
        return f"Found: {where} call {self.call} has the same key. Its answer is used again."

    def _not_found(self, where: str) -> str:
        there = "the effect there" if self.call is None else f"call {self.call}"
        if self.turn is not None and self.stored_row == self.row:
            return f"Not found: turn {self.turn} asks something else than is stored: from {there} it differs in:"
        return f"Not found. The nearest is {where} call {self.call}, from which it differs in:"


def stored_messages(run_dir: str | Path, *, step: str, row: str) -> ChatType:
    """The prompt that a row was asked with last.

    Raises:
        LedgerError: there is none, or it was not stored.
    """
    with reader_of(run_dir) as reader:
        of_the_row = " AND turn IS NULL" if knows_turns(reader) else ""
        query = f"{_CALLS} AND row = ?{of_the_row} ORDER BY id DESC LIMIT 1"
        call = reader.execute(query, (step, row)).fetchone()
    if call is None or call[-1] is None:
        why = "was not stored" if call is not None else "is not there: no call of it is"
        raise LedgerError(f"The prompt of row {row} of step {step!r} {why}, in {str(run_dir)!r}. Give the row itself.")
    messages: ChatType = _messages_in(call[-1], Path(run_dir))
    return messages


def _messages_in(request: str, run_dir: Path) -> Any:
    """The messages of a stored request, with the contents that were taken out of them."""
    blobs = Blobs(run_dir)
    return put_back(json.loads(request)["messages"], lambda part: _content_of(part, blobs))


def _content_of(part: dict[str, Any], blobs: Blobs) -> bytes:
    try:
        return blobs.get(blob_name(part["sha256"], part["media_type"]))
    except LedgerError as exc:
        raise LookupError from exc


@dataclass(frozen=True, slots=True)
class Place:
    """The place of what is explained.

    Attributes:
        turn: None for the one call about a row. turns: how many are stored before it, or, where all are, of all.
        missing: whether it is known not to be stored. end: as of an `Explanation`.
    """

    step: str
    row: str
    sample: int = 0
    turn: str | None = None
    turns: int = 1
    missing: bool | None = None
    end: str | None = None


def explain(
    run_dir: str | Path, *, place: Place, request: Request, keyring: Keyring, config: dict[str, Any]
) -> Explanation:
    """Compare a request with what a run directory holds; read only, so a run may go on in it meanwhile.

    Args:
        request: of the row, or of a turn of its conversation. keyring: of the LLM that would be asked.
        config: of the step as it is now.

    Raises:
        LedgerError: there is no ledger in the directory, or it cannot be read.
    """
    step, row, key = place.step, place.row, keyring.key(request)
    now = Maker(keyring.identity, dict(request.parameters), request.output_schema, config)
    parts = {
        "identity": now.identity,
        "parameters": now.parameters,
        "output_schema": now.schema,
        "messages": request.asked,
    }
    with reader_of(run_dir) as reader:
        found, call = _nearest(reader, place, key)
        same = call is not None and call[2] == key and call[4] is None
        damage = _damage(reader, call[0], Blobs(Path(run_dir))) if same else None
        found = found and damage is None
        makers = stored_makers(reader, step)
        failure = latest_failure(reader, makers, step=step, row=row)
    id, stored_row = (None, None) if call is None else (call[0], call[1])
    explanation = Explanation(
        *(step, row, key.hex(), parts, found, id, stored_row),
        failure=failure,
        turn=place.turn,
        sample=place.sample,
        turns=place.turns,
        end=place.end,
    )
    if call is not None and not found:
        before = makers.get(call[3])
        if damage is not None:
            explanation.differs.append(f"{damage}, and is asked for again")
        explanation.differs.extend(_differences(before, now, call, request, Path(run_dir)))
        if before is not None and before.config is not None:
            explanation.because.extend(changes(_without_llm(before.config), _without_llm(config)))
    return explanation


def explain_effect(run_dir: str | Path, *, place: Place, effect: StoredEffect) -> Explanation:
    """Compare an effect, which is not stored, with what is in its place.

    Raises:
        LedgerError: as `explain`.
    """
    now = {"effect": effect.name, "arguments": json.loads(effect.arguments or "null")}
    query = (
        "SELECT row, name, arguments, error FROM effects WHERE step = ? AND row = ? AND sample = ? AND turn = ?"
        " ORDER BY id DESC LIMIT 1"
    )
    with reader_of(run_dir) as reader:
        failure = latest_failure(reader, stored_makers(reader, place.step), step=place.step, row=place.row)
        values = (place.step, place.row, place.sample, place.turn)
        stored = fetch_all(reader, query, values) if knows_turns(reader) else []
    row, name, arguments, error = stored[0] if stored else (None, None, None, None)
    explanation = Explanation(
        *(place.step, place.row, effect.key.hex(), now, False, None, row),
        failure=failure,
        turn=place.turn,
        sample=place.sample,
        turns=place.turns,
    )
    if stored:
        if error is not None:
            explanation.differs.append(f"that effect failed ({error}), and failures are not used again")
        explanation.differs.extend(changes({"effect": name, "arguments": json.loads(arguments or "null")}, now))
    return explanation


def _nearest(reader: sqlite3.Connection, place: Place, key: bytes) -> tuple[bool, Any]:
    """Tell whether an answer with the key is stored, and find the call to show: it, the row's latest, or any latest."""
    if place.missing and place.turn is not None:
        return False, _at_the_turn(reader, place, key)
    step, row = place.step, place.row
    queries = (
        (True, " AND row = ? AND key = ? AND error IS NULL ORDER BY id DESC LIMIT 1", (row, key)),
        (True, " AND key = ? AND error IS NULL ORDER BY id DESC LIMIT 1", (key,)),
        (False, " AND row = ? ORDER BY error IS NOT NULL, id DESC LIMIT 1", (row,)),
        (False, " ORDER BY error IS NOT NULL, id DESC LIMIT 1", ()),
    )
    for found, where, values in queries:
        call = reader.execute(_CALLS + where, (step, *values)).fetchone()
        if call is not None:
            return found, call
    return False, None


def _at_the_turn(reader: sqlite3.Connection, place: Place, key: bytes) -> Any:
    """The call to show beside a turn that is not stored: its own that failed, another there, or another row's first."""
    if not knows_turns(reader):
        return None
    latest = " AND turn = ? ORDER BY key = ? DESC, error IS NOT NULL, id DESC LIMIT 1"
    own = (place.step, place.row, place.sample, place.turn, key)
    call = reader.execute(f"{_CALLS} AND row = ? AND sample = ?{latest}", own).fetchone()
    if call is None and not place.turns:
        call = reader.execute(_CALLS + latest, (place.step, place.turn, key)).fetchone()
    return call


def _damage(reader: sqlite3.Connection, call: int, blobs: Blobs) -> DamagedCallError | None:
    """The damage of a stored answer that has the key, or None."""
    query = f"SELECT {answer_columns(reader)} FROM calls WHERE id = ?"
    try:
        stored_answer(fetch_all(reader, query, (call,))[0], blobs)
    except DamagedCallError as exc:
        return exc
    return None


def _differences(before: Maker | None, now: Maker, call: Any, request: Request, run_dir: Path) -> Iterator[str]:
    _, _, key, _, error, body = call
    if error is not None:
        yield f"that call failed ({error}), and failures are not used again"
    if before is not None:
        yield from changes(before.identity, now.identity, "identity")
        yield from changes(before.parameters, now.parameters, "parameters")
        if before.schema != now.schema:
            yield from changes(before.schema, now.schema, "output_schema") or ["output_schema"]
        if before.key(request.asked) == key:
            return
    stored = None if body is None else _messages_in(body, run_dir)
    if stored is not None:
        yield from _message_differences(stored, request.asked)
    elif error is None or before is not None:
        yield "messages (the prompts themselves are not stored with this call)"


def _message_differences(before: list[Any], now: list[Any]) -> Iterator[str]:
    for place in range(max(len(before), len(now))):
        old = before[place] if place < len(before) else None
        new = now[place] if place < len(now) else None
        role = (new or old or {}).get("role", "?")
        name = f"messages[{place}] ({role})"
        if old is None:
            yield f"{name}: it is new"
        elif new is None:
            yield f"{name}: it is gone"
        else:
            yield from changes(old, new, name)


def _without_llm(config: dict[str, Any]) -> dict[str, Any]:
    """The LLM's own fields are told as its identity; what is left of them concerns transport."""
    return {name: value for name, value in config.items() if name not in get_args(ModelKind)}


def _flat(value: Any, place: str = "") -> Iterator[str]:
    """`place: value` for each leaf of dicts and lists."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{place}[{number}]")
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
        yield f"{place}: {text if len(text) <= 200 else f'{text[:197]}...'}"
