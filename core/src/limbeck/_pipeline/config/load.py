"""Files and dicts to documents, and data back to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from .text.document import TEXT, Document
from .text.toml_text import read_toml
from .text.yaml_text import read_yaml, write_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .recipe import Recipe

_TOML = (".toml",)


def read_document(path: str) -> Document:
    """Read a file by its suffix: `.toml`, or else as YAML."""
    return read_toml(path) if Path(path).suffix.lower() in _TOML else read_yaml(path)


def of_yaml(source: str | Path) -> Document:
    """The document of a YAML file, or of a text of several lines."""
    if isinstance(source, str) and "\n" in source:
        return read_yaml(TEXT, text=source)
    return read_yaml(str(source))


def of_toml(source: str | Path) -> Document:
    """The document of a TOML file, or of a text of several lines."""
    if isinstance(source, str) and "\n" in source:
        return read_toml(TEXT, text=source)
    return read_toml(str(source))


def of_dict(data: Any) -> Document:
    """The document of a dict."""
    return Document("", data)


def recipe_of_file(path: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """What a YAML or TOML file says of a pipeline, with `--set` arguments on top.

    Raises:
        ConfigurationError: file, line, key, what was expected there, and what is close.
    """
    from .recipe import read_recipe

    return read_recipe(read_document(str(path)), settings)


def recipe_of_dict(data: Any, settings: Sequence[str] = ()) -> Recipe:
    """As `recipe_of_file`, of a dict in the form of a file. Paths in it are meant from the working directory."""
    from .recipe import read_recipe

    return read_recipe(of_dict(data), settings)


def write_file(data: dict[str, Any], path: str | Path | None) -> str:
    """Write the text of a YAML file; see `Pipeline.to_yaml`."""
    text = write_yaml(data)
    if path is not None:
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as exc:
            raise ConfigurationError(f"{str(path)!r} cannot be written: {exc.strerror or exc}.") from exc
    return text
