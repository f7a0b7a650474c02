"""`--set KEY=VALUE`: what a key means is known when the classes are."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from ..._elsewhere import field_elsewhere
from ...errors import ConfigurationError, did_you_mean
from .text.yaml_text import read_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_SECRET_WORDS = frozenset(
    {"key", "apikey", "token", "secret", "password", "credential", "credentials", "authorization", "headers", "cookies"}
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One `--set`.

    Attributes:
        flag: how errors call it, without the value, which may be a secret.
        keys: the path below the step, such as `("llm", "temperature")`. text: the value as typed.
    """

    flag: str
    keys: tuple[str, ...]
    text: str


def split_setting(argument: str) -> tuple[str, str]:
    """The key and the text of `KEY=VALUE`.

    Raises:
        ConfigurationError: there is no `=`, or nothing before it.
    """
    key, equals, text = argument.partition("=")
    if not equals or not key.strip(". "):
        raise ConfigurationError(
            f"--set takes KEY=VALUE, such as `llm.temperature=0`; {argument!r} is not of that form."
        )
    return key.strip(), text


def is_secret(name: str) -> bool:
    """Tell whether a field or setting of this name may hold a secret, which is then not repeated anywhere."""
    return not _SECRET_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", name.lower()))


def fields_of(cls: type) -> Mapping[str, Any]:
    """Field name to annotation: of a pydantic model, or the constructor's parameters of any other class."""
    fields = getattr(cls, "model_fields", None)
    if fields is not None:
        return {name: info.annotation for name, info in fields.items()}
    parameters = inspect.signature(cls).parameters.values()
    named = (each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL))
    return {each.name: each.annotation for each in named}


def put(fields: dict[str, Any], setting: Setting, keys: tuple[str, ...], annotations: Mapping[str, Any]) -> None:
    """Put a setting's value where `keys` lead in `fields`, making mappings on the way."""
    annotation = annotations.get(keys[0]) if len(keys) == 1 else None
    place = fields
    for key in keys[:-1]:
        inner = place.get(key)
        if inner is not None and not isinstance(inner, dict):
            raise ConfigurationError(f"{setting.flag}: `{key}` is not a mapping, so it cannot hold `{keys[-1]}`.")
        place[key] = place = dict(inner or {})
    place[keys[-1]] = typed_value(setting.text, annotation)


def typed_value(text: str, annotation: Any) -> Any:
    """The value of `text` for a field: a text field takes it as it was typed."""
    choices = alternatives(annotation)
    others = [cls for cls in choices if getattr(cls, "__name__", "") not in ("str", "SecretStr", "NoneType")]
    if others or choices == [type(None)]:
        return read_value(text)
    if type(None) in choices and text in ("", "null", "~"):
        return None
    return text


def alternatives(annotation: Any) -> list[Any]:
    """The types that an annotation allows: those of a union, each without the constraints of `Annotated`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [choice for each in get_args(annotation) for choice in alternatives(each)]
    return [annotation]


def path_fields(cls: type) -> set[str]:
    """The fields that hold paths: those that may be a `pathlib.Path`, or a list of them."""
    return {name for name, annotation in fields_of(cls).items() if _mentions_path(annotation)}


def _mentions_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_mentions_path, get_args(annotation)))


def placed(value: Any, folder: Path) -> Any:
    """A path, or several, as meant from a folder. What is no path (`-`, an address, no text at all) stays as it is."""
    if isinstance(value, list):
        return [placed(each, folder) for each in value]
    if isinstance(value, Path):
        return folder / value
    if not isinstance(value, str) or value in ("", "-") or "://" in value:
        return value
    return str(folder / value)


def refuse_unknown(name: str, known: Iterable[str], *, what: str, where: str) -> None:
    """Raise unless `name` is among `known`, with what is close to it."""
    names = sorted(known)
    if name not in names:
        near = field_elsewhere(what.split()[1].lower(), name) or did_you_mean(name, names)
        raise ConfigurationError(f"{where}: {what} has no field {name!r}.{near} Its fields are {', '.join(names)}.")
