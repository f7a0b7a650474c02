"""Keeping keys out of error texts.

A server may echo the key it refuses, whole or in part, and the SDK puts a server's message
into its exceptions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REDACTED = "[redacted]"
# Keys that are not ours to know: those of OpenAI's form, the half-masked ones of its own
# messages included, and whatever stands behind `Bearer`.
_KEY_LIKE = re.compile(r"\bsk-[\w*.\-]{6,}|(?<=\bBearer )\S+", re.IGNORECASE)


class Secrets:
    """The values that no text may show."""

    __slots__ = ("_values",)

    def __init__(self, *values: str) -> None:
        # Longest first: one secret may begin with another.
        self._values = sorted(values, key=len, reverse=True)

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
