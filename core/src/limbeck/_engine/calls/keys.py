"""The key of a request: a digest of everything that can change its answer, and of nothing else.

Version 1: BLAKE2b, 16 bytes, over the canonical JSON of the backend's identity, the sampling
parameters and the output schema, then over that of what is asked: the messages of a chat. Canonical is: keys sorted,
no white space, UTF-8, lone surrogates kept as such.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ...errors import RowError

if TYPE_CHECKING:
    from ...types import Request

VERSION = 1
KEY_SIZE = 16

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Keyring:
    """Makes the keys of one backend's requests; what they have in common is digested once."""

    def __init__(self, identity: dict[str, Any]) -> None:
        self.identity = identity
        self._identity = canonical(identity)
        self._last: tuple[Any, Any, Any] | None = None  # parameters, schema, and the digest of both

    def key(self, request: Request) -> bytes:
        """The key of `request`, which is the same for each of its samples.

        Raises:
            RowError: the request holds a value that JSON cannot.
        """
        digest = self._prefix(request).copy()
        digest.update(canonical(request.asked))
        return bytes(digest.digest())

    def _prefix(self, request: Request) -> Any:
        """The digest of all but the messages, kept while parameters and schema stay the same objects."""
        last = self._last
        if last is not None and last[0] is request.parameters and last[1] is request.output_schema:
            return last[2]
        digest = blake2b(digest_size=KEY_SIZE)
        for part in (canonical({"version": VERSION}), self._identity):
            digest.update(part)
        digest.update(canonical([dict(request.parameters), request.output_schema]))
        self._last = (request.parameters, request.output_schema, digest)
        return digest


def canonical(value: Any) -> bytes:
    """The canonical JSON of `value`.

    Raises:
        RowError: JSON cannot hold it.
    """
    try:
        return _encode(value).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError) as exc:
        raise RowError(f"The request cannot be written as JSON: {exc}.") from exc


def identity_of(llm: Any) -> dict[str, Any]:
    """The fields that identify the answers of `llm`: its own `identity`, or class and model for one that has none."""
    identity = getattr(llm, "identity", None)
    if isinstance(identity, dict):
        return identity
    return {"provider": f"{type(llm).__module__}:{type(llm).__qualname__}", "model_name": llm.model_name}
