"""Google docstrings: what they say of a thing as a whole, and of each of its names."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_NAMES = re.compile(r"^(?:Attributes|Args|Arguments):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(
    r"^(?:Args|Arguments|Attributes|Returns|Yields|Raises|Examples?|Notes?|Warns|Warnings?):[ \t]*$", re.MULTILINE
)


def purpose_in(docstring: str | None) -> str:
    """The text before the first section."""
    return _SECTION.split(inspect.cleandoc(docstring or ""), maxsplit=1)[0].strip()


def names_in(docstring: str | None, names: Collection[str]) -> dict[str, str]:
    """Each name's description, from the section of attributes or arguments.

    Several may share a line: `prompt: what is asked. answer: what comes back.`
    """
    section = _NAMES.search(inspect.cleandoc(docstring or ""))
    if section is None or not names:
        return {}
    known = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    # A name counts at the start of a line or after a full stop, followed by a colon.
    parts = re.split(
        rf"(?:^\s*|(?<=\.)\s+)((?:{known})(?:, (?:{known}))*)(?: \([^)]*\))?:\s", section[1], flags=re.MULTILINE
    )
    return {
        name: " ".join(text.split())
        for group, text in zip(parts[1::2], parts[2::2], strict=True)
        for name in group.split(", ")
    }
