"""A file's data, with the line on which each value stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ....errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Keys: TypeAlias = tuple[str | int, ...]
"""The keys and places that lead to a value."""


TEXT = "<text>"
"""The path of a document that is no file."""


@dataclass(frozen=True, slots=True)
class Document:
    """The data of a file, or of a dict.

    Attributes:
        path: the file, as the user named it; empty for a dict. data: its contents.
        lines: the keys that lead to a value, to its line, counted from 1.
        folder: from where the paths in it are meant.
    """

    path: str
    data: Any
    lines: Mapping[Keys, int] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)

    @property
    def name(self) -> str:
        """The name after the file, of a pipeline that nothing else gives one."""
        return Path(self.path).stem if self.path and self.path != TEXT else "pipeline"

    def at(self, *keys: str | int) -> str:
        """`file:line` of what `keys` lead to, or of the nearest thing around it; of a dict, the keys."""
        if not self.path:
            return spelt(keys) or "the configuration"
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines.get(keys, 1)}"

    def expected(self, keys: Keys, expected: str, value: Any) -> ConfigurationError:
        """The error of a value that is not what stands there."""
        place = f"{self.at(*keys)}: `{spelt(keys)}`" if self.path else f"`{spelt(keys)}`"
        return ConfigurationError(f"{place}: expected {expected}, not {kind_of(value)}.")


def spelt(keys: Iterable[str | int]) -> str:
    """`tasks[0].llm`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


def kind_of(value: Any) -> str:
    """The word for a kind of value in a sentence."""
    names = {dict: "a mapping", list: "a list", str: f"the text {value!r}", type(None): "nothing"}
    return names.get(type(value), repr(value))


def read_text(path: str) -> str:
    """The text of a file.

    Raises:
        ConfigurationError: it cannot be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: cannot be read: it is not UTF-8 (byte {exc.start}).") from exc
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read: {exc.strerror or exc}.") from exc
