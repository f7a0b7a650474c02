"""The descriptions of a class's fields, out of its docstrings."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_SECTION = re.compile(r"^(?:Attributes|Args):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def field_docs(cls: type, names: Collection[str]) -> dict[str, str]:
    """Each field's description, from the `Attributes:` of the class that says most specifically what it is.

    Several may share a line: `prompt: what is asked. answer: what comes back.`
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docs.update(_of_class(base, names))
    return docs


def _of_class(cls: type, names: Collection[str]) -> dict[str, str]:
    section = _SECTION.search(inspect.cleandoc(cls.__dict__.get("__doc__") or ""))
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
