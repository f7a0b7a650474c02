"""One call as the ledger stores it: from an answer to the records of its samples, and back."""

from __future__ import annotations

import json
import math
import sqlite3
import struct
import sys
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from ...errors import LedgerError
from ...types import Generation, GenerationResponse, Image, ImageResponse, StoredAnswer, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...types import FailedCall, PaidAnswer, Request, Response
    from .blobs import Blobs

_CALL_COLUMNS = (
    *("step", "row", "sample", "key", "text", "finish_reason", "detail", "request", "model"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("latency", "attempts", "error", "message", "at", "batch"),
    *("cost", "origin", "maker", "retried", "digest", "turn", "value"),
)
INSERT_CALL = f"INSERT INTO calls ({', '.join(_CALL_COLUMNS)}) VALUES ({', '.join('?' * len(_CALL_COLUMNS))})"
ROW_ORDER = "CAST(row AS INTEGER), sample, id"
_ANSWER_COLUMNS = (
    "id, sample, key, text, finish_reason, detail, model,"
    " input_tokens, output_tokens, cached_tokens, reasoning_tokens, latency, attempts, step, row"
)
ANSWER_COLUMNS = f"{_ANSWER_COLUMNS}, turn, cost, digest, value"
ANSWER_WIDTH = ANSWER_COLUMNS.count(",") + 1
# A checksum of all that an answer is taken for, in the column `digest`; null in calls of earlier versions.
DIGEST_MIGRATION = """
    ALTER TABLE calls ADD COLUMN digest INTEGER;
    ALTER TABLE results ADD COLUMN digest INTEGER;
"""
# A vector, as 32-bit floats with the least significant byte first; null for answers of other kinds.
VALUE_MIGRATION = "ALTER TABLE calls ADD COLUMN value BLOB;"
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


class DamagedCallError(sqlite3.DatabaseError):
    """A stored call is not what was written, which SQLite does not notice of a value.

    Attributes:
        call: its id. row: the row it says it is of.
    """

    def __init__(self, call: Any, row: Any, why: str) -> None:
        super().__init__(f"the answer of call {call} is damaged ({why})")
        self.call = call
        self.row = row


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
    step: str
    row: str
    turn: str | None
    cost: float | None
    digest: int | None
    value: bytes | None
    error: str | None
    message: str | None
    maker: int | None

    @property
    def answer(self) -> tuple[Any, ...]:
        """Its `ANSWER_COLUMNS`."""
        return self[:ANSWER_WIDTH]


def answer_records(
    step: str, answer: PaidAnswer, *, body: str | None, maker: int | None, at: float, blobs: Blobs | None = None
) -> list[Any]:
    """A record for each sample that has a generation; what is the whole response's stands on the first.

    Args:
        body: the request's text, where it is stored. maker: what made it. at: Unix time.
        blobs: where images are put.

    Raises:
        LedgerError: an image cannot be written.
    """
    response = answer.response
    usage, cost, model = response.usage, answer.cost, storable(response.model)
    records = []
    for sample, generation in zip(answer.samples, response.generations, strict=False):
        content = (storable(generation.text), storable(generation.finish_reason), _detail(generation, blobs))
        value = _vector_bytes(generation.value)
        took = (*_tokens(usage), answer.latency, answer.attempts)
        records.append(
            (
                *(step, answer.row, sample, answer.key),
                *(*content, body, model, *took),
                *(None, None, at, answer.batch),
                *(cost, answer.origin, maker, None),
                _call_checksum(
                    (sample, answer.key, *content, model, *took, step, answer.row, answer.turn, cost), value
                ),
                answer.turn,
                value,
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
    usage, cost, model = error.usage, failure.cost, storable(error.model)
    records = []
    for sample in failure.samples:
        content = (storable(error.raw), None, None)
        took = (*_tokens(usage), None, failure.attempts)
        records.append(
            (
                *(step, failure.row, sample, failure.key),
                *(*content, body, model, *took),
                *(type(error).__name__, storable(str(error)), at, None),
                *(cost, None, maker, retried),
                _call_checksum((sample, failure.key, *content, model, *took, step, failure.row, failure.turn, cost)),
                failure.turn,
                None,
            )
        )
        usage = cost = body = None
    return records


def checksum(key: bytes, *texts: str | bytes | None, numbers: bytes = b"") -> int:
    """The CRC-32 of values, the same of what SQLite gives back of them; any one flipped bit changes it."""
    try:
        joined = "\x1f".join([text or "" for text in texts])  # type: ignore[misc]  # bytes are seldom
    except TypeError:
        joined = "\x1f".join([text.hex() if isinstance(text, bytes) else text or "" for text in texts])
    return crc32(joined.encode("utf-8", "surrogatepass"), crc32(numbers, crc32(key)))


_PACK = struct.Struct("<8d").pack


def _call_checksum(values: Sequence[Any], value: bytes | None = None) -> int | None:
    """Of a call's `ANSWER_COLUMNS` between its id and its checksum; None where there is a number that none can hold."""
    sample, key, text, finish_reason, detail, model, *tokens, latency, attempts, step, row, turn, cost = values
    try:
        numbers = _packed(sample, *tokens, latency, attempts, cost)
    except OverflowError:
        return None
    place = (row,) if turn is None else (row, turn)
    return checksum(
        key, text, finish_reason, detail, model, step, *place, numbers=numbers + value if value else numbers
    )


def _packed(*numbers: float | None) -> bytes:
    """Numbers as 64-bit floats, whatever their columns make of them; NaN as null, which SQLite makes of it."""
    if None not in numbers and not math.isnan(sum(numbers)):  # type: ignore[arg-type]  # the usual case, in a hurry
        return _PACK(*numbers)
    return _PACK(*[math.nan if each is None or each != each else each for each in numbers])  # noqa: PLR0124 - NaN


def answer_columns(reader: sqlite3.Connection) -> str:
    """`ANSWER_COLUMNS` of a ledger that is only read, and may be of an earlier version."""
    known = {name for _, name, *_ in reader.execute("PRAGMA table_info(calls)")}
    later = [name if name in known else "NULL" for name in ("turn", "cost", "digest", "value")]
    return ", ".join([_ANSWER_COLUMNS, *later])


def fetch_all(reader: sqlite3.Connection, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The records of a query; a text that is damaged so that it is none any more comes with what it has."""
    try:
        return reader.execute(query, values).fetchall()
    except sqlite3.OperationalError as exc:
        if "decode" not in str(exc):
            raise
    reader.text_factory = lambda stored: stored.decode("utf-8", "surrogateescape")
    try:
        return reader.execute(query, values).fetchall()
    finally:
        reader.text_factory = str


def stored_answer(record: tuple[Any, ...], blobs: Blobs | None = None) -> StoredAnswer:
    """The answer in a record of `ANSWER_COLUMNS`.

    Args:
        blobs: where its image is, if it is one.

    Raises:
        DamagedCallError: it is not what was written.
    """
    id, sample, _, text, finish_reason, detail, model, *tokens, latency, attempts, _, row, _, _, digest, value = record
    try:
        _check(record[1:-2], digest, value)
        usage = None if tokens[0] is None else Usage(**dict(zip(TOKENS, tokens, strict=True)))
        extra = _stored_detail(detail, blobs) if detail else {}
        if value is not None:
            extra["value"] = _vector(value)
        generation = Generation(text=stored_text(text), finish_reason=stored_text(finish_reason), **extra)
        model = stored_text(model)
    except (ValueError, TypeError, KeyError, struct.error, LedgerError) as exc:
        raise DamagedCallError(id, row, str(exc)) from exc
    if type(sample) is not int:
        raise DamagedCallError(id, row, f"its sample is {sample!r}")
    return StoredAnswer(generation=generation, usage=usage, model=model, latency=latency, attempts=attempts)


def _check(values: tuple[Any, ...], digest: int | None, vector: bytes | None) -> None:
    if digest is None:  # of an earlier version: as much as can be seen
        for value in values:
            if isinstance(value, str) and not value.isascii():
                value.encode()
    elif _call_checksum(values, vector) != digest:
        raise ValueError("its checksum is another")


def _tokens(usage: Usage | None) -> tuple[int | None, ...]:
    if usage is None:
        return (None, None, None, None)
    return (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)


def _vector_bytes(value: Any) -> bytes | None:
    return _little_endian(value).tobytes() if type(value) is array else None


def _vector(stored: bytes) -> array[float]:
    vector = array("f")
    vector.frombytes(stored)
    return _little_endian(vector)


def _little_endian(vector: array[float]) -> array[float]:
    if sys.byteorder == "little":
        return vector
    turned = array(vector.typecode, vector)
    turned.byteswap()
    return turned


def _stored_detail(detail: str, blobs: Blobs | None) -> dict[str, Any]:
    """The fields of a `Generation` that `_detail` has written."""
    fields: dict[str, Any] = json.loads(detail)
    scores, image = fields.pop("scores", None), fields.pop("image", None)
    if scores is not None:
        fields["value"] = scores
    elif image is not None and blobs is not None:
        fields["value"] = Image(content=blobs.get(image["file"]), media_type=image["media_type"])
    return fields


def holds_files(response: Response) -> bool:
    """Tell whether an answer of a response is kept as a file."""
    if isinstance(response, GenerationResponse):  # an answer of any kind out of a cache, too
        return any(type(generation.value) is Image for generation in response.generations)
    return isinstance(response, ImageResponse)


def _detail(generation: Generation, blobs: Blobs | None) -> str | None:
    value = generation.value
    if isinstance(value, Image) and blobs is not None:
        image = {"file": blobs.put(value.content, value.media_type), "media_type": value.media_type}
        return json.dumps({"image": image})
    if isinstance(value, list):
        return json.dumps({"scores": value})
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


def request_text(request: Request, messages: Any) -> str:
    """A request as it is stored, with `messages` in place of what it asks."""
    body = {
        "messages": messages,
        "parameters": dict(request.parameters),
        "output_schema": request.output_schema,
    }
    return json.dumps(body)


def storable(text: str | None) -> str | bytes | None:
    """SQLite's text has no lone surrogates; such a text is stored as bytes."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def stored_text(text: str | bytes | None) -> str | None:
    """The counterpart of `storable`."""
    return text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text
