"""YAML as YAML 1.2 reads it, and with the line that each value stands on.

PyYAML reads YAML 1.1, in which `no` is false, `12:30` is 750 and `1e-3` is a string: none of
that does for labels, texts and sampling parameters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEEPEST = 6  # lines are noted down to here: a task's LLM's generation_kwargs


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2 (section 10.3), with merge keys (`<<`) kept."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - its base class declares it so


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), ["" if c == "\0" else c for c in _first]
    )


def _int(_loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(node.value, 0) if node.value[:2] in ("0o", "0x") else int(node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file's data.

    Attributes:
        path: the file, as the user named it. data: its contents.
        lines: the keys that lead to a value, to its line, counted from 1.
    """

    path: str
    data: Any
    lines: Mapping[tuple[str | int, ...], int]

    def at(self, *keys: str | int) -> str:
        """`file:line` of what `keys` lead to, or of the nearest thing around it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines.get(keys, 1)}"


def read_yaml(path: str) -> Document:
    """Read a YAML file.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or gives a key twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read: {_reason(exc)}.") from exc
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines = dict(_lines(node, path)) if node is not None else {}
        data = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{_place(path, exc)}: this is not valid YAML: {_problem(exc)}.") from exc
    finally:
        loader.dispose()
    return Document(path, data, lines)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    return getattr(error, "strerror", None) or str(error)


def _place(path: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path


def _problem(error: yaml.YAMLError) -> str:
    parts = [getattr(error, name, None) for name in ("context", "problem")]
    return ", ".join(part for part in parts if part) or str(error).replace("\n", " ")


def _lines(node: yaml.Node, path: str, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    yield keys, node.start_mark.line + 1
    if len(keys) >= _DEEPEST:
        return
    if isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            yield from _lines(item, path, (*keys, place))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen and name != "<<":
                raise ConfigurationError(f"{path}:{line}: the key `{name}` is given twice.")
            seen.add(name)
            yield from _lines(value, path, (*keys, name))
            yield (*keys, name), line


def read_value(text: str) -> Any:
    """The value that `text` stands for on a command line.

    A list or mapping is written as in YAML, in brackets or braces; any other text is one
    scalar, so that a colon or a `#` in a sentence means nothing.
    """
    stripped = text.strip()
    loader = _Loader(stripped)
    try:
        if stripped[:1] in ("[", "{", '"', "'") and not stripped.startswith("{{"):
            try:
                return loader.get_single_data()
            except yaml.YAMLError:
                return text  # a sentence that begins with a bracket
        tag = loader.resolve(yaml.ScalarNode, stripped, (True, False))  # type: ignore[no-untyped-call]  # PyYAML's stubs
        node = yaml.ScalarNode(tag, stripped)
        return text if tag.endswith(":str") else loader.construct_object(node)
    finally:
        loader.dispose()
