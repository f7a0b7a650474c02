"""TOML, with the line that each value stands on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import ConfigurationError
from .document import Document, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .document import Keys

_WORD = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY = rf"{_WORD}(?:\s*\.\s*{_WORD})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=")
_LEXEME = re.compile(
    r"""\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*|[][{}]|\n""", re.DOTALL
)


def read_toml(path: str, *, text: str | None = None) -> Document:
    """Read a TOML file, or `text` in its place.

    Raises:
        ConfigurationError: it cannot be read, or is not TOML.
    """
    text = (read_text(path) if text is None else text).replace("\r\n", "\n")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{path}: this is not valid TOML: {exc}.") from exc
    return Document(path, _plain(data), dict(_lines(text)), Path(path).parent)


def _plain(value: Any) -> Any:
    """The data as YAML would have it: a date is a text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _lines(text: str) -> Iterator[tuple[Keys, int]]:
    """The keys of each header and assignment. The text is known to be TOML, so a light look does."""
    table: Keys = ()
    counts: dict[Keys, int] = {}
    for line, statement in _statements(text):
        if header := _HEADER.match(statement):
            table = _table(header, counts)
            yield table, line
        elif assignment := _ASSIGNMENT.match(statement):
            keys = _parts(assignment[1])
            yield from (((*table, *keys[: end + 1]), line) for end in range(len(keys)))


def _table(header: re.Match[str], counts: dict[Keys, int]) -> Keys:
    """The keys that a header leads to: a name in them that is an array of tables means its last one."""
    keys: Keys = ()
    *outer, last = _parts(header[2])
    for name in outer:
        keys = (*keys, name)
        if keys in counts:
            keys = (*keys, counts[keys])
    keys = (*keys, last)
    if header[1] == "[[":
        counts[keys] = counts.get(keys, -1) + 1
        keys = (*keys, counts[keys])
    return keys


def _parts(key: str) -> tuple[str, ...]:
    return tuple(word[1:-1] if word[0] in "\"'" else word for word in re.findall(_WORD, key))


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement, which may go over several lines, with the line that it begins on."""
    begin, line, first, depth = 0, 1, 1, 0
    for lexeme in _LEXEME.finditer(text + "\n"):
        found = lexeme[0]
        if found in ("[", "{", "]", "}"):
            depth += 1 if found in "[{" else -1
        line += found.count("\n")
        if found == "\n" and depth == 0:
            yield first, text[begin : lexeme.start()]
            begin, first = lexeme.end(), line
