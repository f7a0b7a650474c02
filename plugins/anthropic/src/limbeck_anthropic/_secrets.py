"""Keeping keys out of error texts.

A server may echo the key it refuses, and the SDK puts a server's message into its exceptions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REDACTED = "[redacted]"
# Headers that authenticate: the SDK's own, a gateway's, and whatever a user names alike.
SECRET_HEADER = re.compile(r"authorization|api-?key|token|secret|cookie", re.IGNORECASE)
# Keys that are not ours to know: Anthropic's form, and whatever stands behind `Bearer`.
_KEY_LIKE = re.compile(r"\bsk-ant-[\w\-]{6,}|(?<=\bBearer )\S+", re.IGNORECASE)
# A shorter one is a placeholder for a server that checks none, and may be a part of any word.
_SHORTEST = 8


class Secrets:
    """The values that no text may show: those of the request headers that authenticate."""

    __slots__ = ("_values",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        values = {value.removeprefix("Bearer ") for name, value in headers.items() if SECRET_HEADER.search(name)}
        # Longest first: one secret may begin with another.
        self._values = sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True)

    def redact(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, _REDACTED)
        return _KEY_LIKE.sub(_REDACTED, text)

    def show_in(self, exc: BaseException) -> bool:
        """Whether a traceback of `exc`, its causes included, would print one."""
        return any(self.redact(text) != text for text in map(str, _chain(exc)))


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__
