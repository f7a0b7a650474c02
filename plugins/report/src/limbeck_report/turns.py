"""The places of calls and effects in a conversation: `2`, `2.1` beside `2.2`, `2r1` a repair, `2f1` a fallback."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_LABEL = re.compile(r"(?:(\d+)(?:\.(\d+))?)?(?:f(\d+))?(?:r(\d+))?")


class Place(NamedTuple):
    """A place in a conversation; they are ordered as a conversation comes to them, what is side by side by number.

    Attributes:
        turn: its number, 0 for the one call about a row. beside: its number among those of the turn, 0 if it is alone.
        fallback, repair: the number of the fallback and of the repair, 0 for the call itself.
    """

    turn: int
    beside: int
    fallback: int
    repair: int

    @property
    def branch(self) -> tuple[int, int]:
        """The call or effect that was asked for, with its repairs and fallbacks."""
        return self.turn, self.beside

    def is_beside(self, other: Place) -> bool:
        """Tell whether the two are parts of one turn, neither of which waits for the other."""
        return self.turn == other.turn and self.beside != other.beside and 0 not in (self.beside, other.beside)

    def is_before(self, other: Place) -> bool:
        """Tell whether a conversation comes to `other` only when it is done with this one."""
        return self < other and not self.is_beside(other)


@lru_cache(4096)
def place_of(label: str | None) -> Place:
    """The place that a label of the ledger names."""
    found = _LABEL.match(label or "")
    return Place(*(int(number or 0) for number in found.groups())) if found else Place(0, 0, 0, 0)


def goes_past(later: str | None, earlier: str | None) -> bool:
    """Tell whether a conversation that is at `later`, which came after it, is done with `earlier`.

    It has gone on from there, or has come there again, or begun anew before it.
    """
    return not place_of(later).is_beside(place_of(earlier))


def mended_of(label: str) -> str | None:
    """The label of the call that a repair or a fallback is of; None for another call."""
    repaired = re.sub(r"r\d+$", "", label)
    return repaired if repaired != label else (re.sub(r"f\d+$", "", label) if "f" in label else None)
