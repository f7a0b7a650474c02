"""YAML as YAML 1.2 reads it, with the line that each value stands on; and back."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import ConfigurationError, MissingDependencyError
from .bounds import check_bounds, too_deep
from .document import Document, read_text
from .scalars import PATTERNS, scalar, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from .document import Keys

_TAG = "tag:yaml.org,2002:"
_MERGE = ("merge", "<<", "<")
_LONGEST = 60  # characters of a value in a message
_AFTER_INDICATOR = "\0 \t\r\n\x85\u2028\u2029,[]{}"  # what makes a `?` before it more than a letter, in flow style
_DEEPEST = 6  # lines are noted down to here: a task's LLM's generation_kwargs


def read_yaml(path: str, *, text: str | None = None) -> Document:
    """Read a YAML file, or `text` in its place.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or gives a key twice.
        MissingDependencyError: PyYAML is not installed.
    """
    yaml = _yaml()
    text = read_text(path) if text is None else text
    try:
        node = _node(text, lambda line: f"{path}:{line}")
        lines = dict(_lines(node, path)) if node is not None else {}
        data = _loader()("").construct_document(node) if node is not None else None
    except yaml.reader.ReaderError as exc:
        raise ConfigurationError(
            f"{path}:{text.count(chr(10), 0, exc.position) + 1}: the character {chr(exc.character)!r} cannot stand in "
            "YAML. Take it out."
        ) from exc
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{_place(path, exc)}: this is not valid YAML: {_problem(exc)}.") from exc
    return Document(path, data, lines, Path(path).parent)


def _node(text: str, at: Callable[[int], str]) -> Any:
    """The root of a text's nodes, which end; None of an empty one."""
    loader = _loader()(text)
    try:
        node = loader.get_single_node()
    except RecursionError:
        raise too_deep(at(loader.line + 1)) from None
    finally:
        loader.dispose()
    if node is not None:
        check_bounds(node, _parts, lambda _, inner: at(inner.start_mark.line + 1))
    return node


def _parts(node: Any) -> Iterator[tuple[str | int, Any]]:
    """The nodes inside one."""
    if node.id == "sequence":
        yield from enumerate(node.value)
    elif node.id == "mapping":
        for place, pair in enumerate(node.value):
            yield from ((place, each) for each in pair)


def read_value(text: str, where: str) -> Any:
    """The value that `text` stands for on a command line.

    A list or mapping is written as in YAML, in brackets or braces; any other text is one
    scalar, so that a colon or a `#` in a sentence means nothing.

    Raises:
        ConfigurationError: it is too deep, or leads in a circle; `where` is its place.
    """
    stripped = text.strip()
    if stripped[:1] not in ("[", "{", '"', "'") or stripped.startswith("{{"):
        value = scalar(stripped)
        return text if isinstance(value, str) else value
    try:
        return _loader()("").construct_document(_node(stripped, lambda _: where))
    except _yaml().YAMLError:
        return text  # a sentence that begins with a bracket


def write_yaml(data: Any) -> str:
    """The text that `read_yaml` reads as `data`, and YAML 1.1 too."""
    return str(
        _yaml().dump(data, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)
    )


def _yaml() -> ModuleType:
    try:
        import yaml
    except ImportError as exc:
        raise MissingDependencyError(
            "yaml", needed_by="A pipeline's YAML file", requirement="limbeck-core[yaml]"
        ) from exc
    return yaml


@cache
def _loader() -> Any:
    class Loader(_yaml().SafeLoader):  # type: ignore[misc]  # imported when it is first used
        """The core schema of YAML 1.2, with merge keys (`<<`) kept, and `?` in plain texts of its flow style."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - its base class declares it so
        _in_plain = False

        def check_key(self) -> bool:
            return self.peek(1) in _AFTER_INDICATOR if self.flow_level else super().check_key()

        def check_plain(self) -> bool:
            return super().check_plain() or (self.flow_level and self.peek() == "?" and not self.check_key())

        def scan_plain(self) -> Any:
            self._in_plain = True
            try:
                return super().scan_plain()
            finally:
                self._in_plain = False

        def peek(self, index: int = 0) -> str:
            character: str = super().peek(index)
            return "_" if character == "?" and self._in_plain else character  # the scanner would end a text at it

    for kind, pattern, first in (*PATTERNS, _MERGE):
        _resolve(Loader, kind, pattern, first)
    for kind, _, _ in PATTERNS:
        Loader.add_constructor(_TAG + kind, _constructor(kind))
    return Loader


def _constructor(kind: str) -> Callable[[Any, Any], Any]:
    def construct(_loader: Any, node: Any) -> Any:
        try:
            return value_of(kind, node.value)
        except ValueError:  # tagged as what it is not
            raise _yaml().constructor.ConstructorError(
                None, None, f"{node.value[:_LONGEST]!r} is no {kind} that can be read", node.start_mark
            ) from None

    return construct


@cache
def _dumper() -> Any:
    class Dumper(_yaml().SafeDumper):  # type: ignore[misc]  # imported when it is first used
        """Quotes what either version of YAML would take for something else than text."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    for kind, pattern, first in PATTERNS:
        _resolve(Dumper, kind, pattern, first)
    Dumper.add_representer(str, _represent_text)
    return Dumper


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar(f"{_TAG}str", text, style="|" if "\n" in text else None)


def _resolve(cls: Any, kind: str, pattern: str, first: str) -> None:
    cls.add_implicit_resolver(_TAG + kind, re.compile(f"(?:{pattern})$"), ["" if c == "\0" else c for c in first])


def _place(path: str, error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path


def _problem(error: Any) -> str:
    parts = [getattr(error, name, None) for name in ("context", "problem")]
    return ", ".join(part for part in parts if part) or str(error).replace("\n", " ")


def _lines(node: Any, path: str, keys: Keys = ()) -> Iterator[tuple[Keys, int]]:
    yield keys, node.start_mark.line + 1
    if len(keys) >= _DEEPEST:
        return
    if node.id == "sequence":
        for place, item in enumerate(node.value):
            yield from _lines(item, path, (*keys, place))
    elif node.id == "mapping":
        yield from _lines_of_mapping(node, path, keys)


def _lines_of_mapping(node: Any, path: str, keys: Keys) -> Iterator[tuple[Keys, int]]:
    seen: set[str] = set()
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in seen and name != "<<":
            raise ConfigurationError(f"{path}:{line}: the key `{name}` is given twice.")
        seen.add(name)
        yield from _lines(value, path, (*keys, name))
        yield (*keys, name), line
