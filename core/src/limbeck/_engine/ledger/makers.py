"""Makers of answers: everything that an answer's key is of, but the messages. Most makers have many answers."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from hashlib import blake2b
from operator import is_
from typing import TYPE_CHECKING, Any

from ..calls.keys import KEY_SIZE, VERSION, canonical
from .stored_calls import fetch_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...types import ChatType, Request

_INSERT = "INSERT OR REPLACE INTO makers (id, step, identity, parameters, schema, config) VALUES (?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT id, identity, parameters, schema, config FROM makers"


@dataclass(frozen=True, slots=True)
class Maker:
    """An LLM, and the parameters and schema with which it was asked.

    Attributes:
        identity: the LLM's. parameters: of sampling. schema: of the output, or None.
        config: the step's configuration, where the answer was bought with it.
    """

    identity: dict[str, Any]
    parameters: dict[str, Any]
    schema: Any = None
    config: dict[str, Any] | None = None

    @property
    def model_name(self) -> str:
        """The LLM's name for its model."""
        return str(self.identity.get("model_name"))

    def key(self, messages: ChatType) -> bytes:
        """The key of a request with these messages."""
        digest = blake2b(digest_size=KEY_SIZE)
        for part in ({"version": VERSION}, self.identity, [self.parameters, self.schema], messages):
            digest.update(canonical(part))
        return digest.digest()


class Makers:
    """The makers of one step's answers, each written once.

    Args:
        reader: of the ledger. submit: hands a statement and its records to the writer.
        identity, config: of the step as it is now.
    """

    def __init__(
        self,
        reader: sqlite3.Connection,
        submit: Callable[..., object],
        *,
        step: str,
        identity: dict[str, Any],
        config: str,
    ) -> None:
        self._submit = submit
        self._step = step
        self._fixed = (_text(identity), config)
        self._ids: dict[tuple[str, ...], int] = {}
        self._last: tuple[tuple[Any, ...], int] | None = None
        for id, *parts in fetch_all(reader, f"{_SELECT} WHERE step = ?", (step,)):
            made = tuple(parts)
            if _is_intact(id, step, made):  # another is written anew
                self._ids[made] = id

    def id_of(self, request: Request, identity: Mapping[str, Any] | None = None) -> int:
        """The id of the maker of the answers to `request`; kept while parameters and schema stay the same objects.

        Args:
            identity: what identifies the LLM, where it is not the step's own.
        """
        asked = (request.parameters, request.output_schema, identity)
        if self._last is not None and all(map(is_, self._last[0], asked)):
            return self._last[1]
        own, config = self._fixed
        identity_text = own if identity is None else _text(identity)
        parameters, schema = _text(dict(request.parameters)), _text(request.output_schema)
        made = (identity_text, parameters, schema, config)
        id = self._ids.get(made)
        if id is None:
            id = self._ids[made] = _new_id(self._step, made)
            self._submit(_INSERT, [(id, self._step, *made)])
        self._last = (asked, id)
        return id


def stored_makers(reader: sqlite3.Connection, step: str) -> dict[int | None, Maker]:
    """The makers of a step's answers, by id.

    Raises:
        sqlite3.DatabaseError: one is damaged.
    """
    makers: dict[int | None, Maker] = {}
    for id, *parts in fetch_all(reader, f"{_SELECT} WHERE step = ?", (step,)):
        if not _is_intact(id, step, parts):
            raise sqlite3.DatabaseError(
                f"what is noted of who answered step {step!r} (maker {id}) is damaged; a run with the same "
                "configuration and parameters notes it anew"
            )
        makers[id] = Maker(*map(json.loads, parts))
    return makers


def _is_intact(id: int, step: str, made: Sequence[str]) -> bool:
    """Tell whether a maker is as it was written: its id is a digest of it."""
    return id == _new_id(step, made)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))  # in ASCII: SQLite's text has no lone surrogates


def _new_id(step: str, made: Sequence[str]) -> int:
    """A number of 63 bits that is the same whoever makes it, so that steps need not count together."""
    digest = blake2b(digest_size=8)
    for part in (step, *made):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return int.from_bytes(digest.digest(), "big") >> 1
