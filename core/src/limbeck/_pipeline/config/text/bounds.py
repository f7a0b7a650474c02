"""The bounds of a document: it leads in no circle, is not nested without end, and does not repeat itself endlessly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ....errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .document import Keys

LEVELS = 100
"""Lists and mappings inside one another, at most: what reads a value calls itself for each level."""

_REPEATED = 1_000_000  # values that may be there through references only

Parts: TypeAlias = "Callable[[Any], Iterable[tuple[str | int, Any]]]"
"""The values inside a value, each with its key or place; none of a scalar."""


def too_deep(where: str) -> ConfigurationError:
    """The error of a document whose values are nested too deeply."""
    return ConfigurationError(
        f"{where}: lists and mappings are nested more than {LEVELS} levels deep here. Make it flatter."
    )


def check_bounds(root: Any, parts: Parts, where: Callable[[Keys, Any], str]) -> None:
    """Raise for a document that what comes after could not read to its end.

    Args:
        root: the whole. parts: what is inside a value. where: the place of a value, for messages.

    Raises:
        ConfigurationError: it leads in a circle, is too deep, or its references stand for too many values.
    """
    _Walk(parts, where).extent(root, ())


class _Walk:
    """One walk through a document, which looks at what is referred to several times once."""

    def __init__(self, parts: Parts, where: Callable[[Keys, Any], str]) -> None:
        self._parts = parts
        self._where = where
        self._outer: set[int] = set()
        self._known: dict[int, tuple[int, int]] = {}  # values and levels in what has been looked at
        self._repeated = 0

    def extent(self, value: Any, keys: Keys) -> tuple[int, int]:
        """The number of values in a value, itself among them, and of levels."""
        inside = list(self._parts(value))
        if not inside:
            return 1, 0
        if id(value) in self._outer:
            raise ConfigurationError(
                f"{self._where(keys, value)}: this refers to what it stands in, and so leads in a circle. "
                "Write out what is meant."
            )
        size, levels = self._known.get(id(value)) or self._looked_into(value, inside, keys)
        if len(keys) + levels > LEVELS:
            raise too_deep(self._where(keys, value))
        return size, levels

    def _looked_into(self, value: Any, inside: list[tuple[str | int, Any]], keys: Keys) -> tuple[int, int]:
        if len(keys) >= LEVELS:
            raise too_deep(self._where(keys, value))
        self._outer.add(id(value))
        size, levels = 1, 0
        for key, part in inside:
            again = id(part) in self._known
            part_size, part_levels = self.extent(part, (*keys, key))
            size, levels = size + part_size, max(levels, part_levels)
            if again:
                self._count(part_size, (*keys, key), part)
        self._outer.discard(id(value))
        self._known[id(value)] = size, levels + 1
        return size, levels + 1

    def _count(self, size: int, keys: Keys, value: Any) -> None:
        self._repeated += size
        if self._repeated > _REPEATED:
            raise ConfigurationError(
                f"{self._where(keys, value)}: what is referred to again and again comes to more than {_REPEATED:,} "
                "values here. Put rows into a file, and name it in `input`."
            )
