"""The explanation of a look-up: the parts of a row's key beside those of the nearest stored call."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ...errors import LedgerError
from ...types import ModelKind
from ..calls.changes import changes
from ..calls.keys import VERSION, Keyring
from ..ledger.blobs import Blobs
from ..ledger.file import reader_of
from ..ledger.makers import Maker, stored_makers
from ..ledger.stored_calls import DamagedCallError, answer_columns, fetch_all, stored_answer
from ..ledger.stored_failures import StoredFailure, latest_failure

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from ...types import ChatType, Request

# A response's request is stored with its first sample.
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

    def __str__(self) -> str:
        lines = [f"Row {self.row} of step {self.step!r}, key {self.key} (version {VERSION})."]
        lines += [f"  {line}" for line in self._verdict()]
        if self.failure is not None:
            first, *others = self.failure.lines()
            lines += [f"  {first}", *(f"    {line}" for line in others)]
        lines += ["Its key is of:", *(f"  {line}" for line in _flat(self.parts))]
        return "\n".join(lines)

    def _verdict(self) -> Iterator[str]:
        where = "this row's" if self.stored_row == self.row else f"row {self.stored_row}'s"
        if self.found:
            yield f"Found: {where} call {self.call} has the same key. Its answer is used again."
            return
        if self.call is None:
            yield "Not found: no call of this step is stored."
            return
        yield f"Not found. The nearest is {where} call {self.call}, from which it differs in:"
        yield from (f"  {difference}" for difference in self.differs)
        if self.because:
            yield "The configuration has changed since that call:"
            yield from (f"  {change}" for change in self.because)


def stored_messages(run_dir: str | Path, *, step: str, row: str) -> ChatType:
    """The prompt that a row was asked with last.

    Raises:
        LedgerError: there is none, or it was not stored.
    """
    with reader_of(run_dir) as reader:
        call = reader.execute(f"{_CALLS} AND row = ? ORDER BY id DESC LIMIT 1", (step, row)).fetchone()
    if call is None or call[-1] is None:
        why = "was not stored" if call is not None else "is not there: no call of it is"
        raise LedgerError(f"The prompt of row {row} of step {step!r} {why}, in {str(run_dir)!r}. Give the row itself.")
    messages: ChatType = json.loads(call[-1])["messages"]
    return messages


def explain(
    run_dir: str | Path, *, step: str, row: str, request: Request, keyring: Keyring, config: dict[str, Any]
) -> Explanation:
    """Compare a row's request with what a run directory holds; read only, so a run may go on in it meanwhile.

    Args:
        step: the step's name. row: the row's id. request: of the row. keyring: of the LLM that would be asked.
        config: of the step as it is now.

    Raises:
        LedgerError: there is no ledger in the directory, or it cannot be read.
    """
    key = keyring.key(request)
    now = Maker(keyring.identity, dict(request.parameters), request.output_schema, config)
    parts = {
        "identity": now.identity,
        "parameters": now.parameters,
        "output_schema": now.schema,
        "messages": request.asked,
    }
    with reader_of(run_dir) as reader:
        found, call = _nearest(reader, step, row, key)
        damage = _damage(reader, call[0], Blobs(Path(run_dir))) if found else None
        found = found and damage is None
        makers = stored_makers(reader, step)
        failure = latest_failure(reader, makers, step=step, row=row)
    id, stored_row = (None, None) if call is None else (call[0], call[1])
    explanation = Explanation(step, row, key.hex(), parts, found, id, stored_row, failure=failure)
    if call is not None and not found:
        before = makers.get(call[3])
        if damage is not None:
            explanation.differs.append(f"{damage}, and is asked for again")
        explanation.differs.extend(_differences(before, now, call, request))
        if before is not None and before.config is not None:
            explanation.because.extend(changes(_without_llm(before.config), _without_llm(config)))
    return explanation


def _nearest(reader: sqlite3.Connection, step: str, row: str, key: bytes) -> tuple[bool, Any]:
    """Tell whether an answer with the key is stored, and find the call to show: it, the row's latest, or any latest."""
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


def _damage(reader: sqlite3.Connection, call: int, blobs: Blobs) -> DamagedCallError | None:
    """The damage of a stored answer that has the key, or None."""
    query = f"SELECT {answer_columns(reader)} FROM calls WHERE id = ?"
    try:
        stored_answer(fetch_all(reader, query, (call,))[0], blobs)
    except DamagedCallError as exc:
        return exc
    return None


def _differences(before: Maker | None, now: Maker, call: Any, request: Request) -> Iterator[str]:
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
    stored = None if body is None else json.loads(body)["messages"]
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
