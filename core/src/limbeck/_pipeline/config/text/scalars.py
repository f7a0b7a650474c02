"""The values of plain words: the core schema of YAML 1.2 (section 10.3 of its specification).

YAML 1.1, which PyYAML reads, takes `no` for false, `12:30` for 750 and `1e-3` for a text: none
of that does for labels, texts and sampling parameters.
"""

from __future__ import annotations

import re
from typing import Any

# The kind of a word, its pattern, and the characters that it may begin with.
PATTERNS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


def scalar(text: str) -> Any:
    """The value of one word: a truth, a number, null, or the text itself."""
    for kind, pattern, _ in PATTERNS:
        if re.fullmatch(pattern, text):
            return value_of(kind, text)
    return text


def value_of(kind: str, text: str) -> Any:
    """The value of a word of that kind."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
