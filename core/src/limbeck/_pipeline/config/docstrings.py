"""The fields of a class, as they are shown to people: names, types, defaults, and what docstrings say of them."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from .settings import alternatives, fields_of

if TYPE_CHECKING:
    from collections.abc import Collection

_SECTION = re.compile(r"^(?:Attributes|Args):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """A field of a task, a step or an LLM.

    Attributes:
        name: its own. type: its annotation, as one would write it. default: as JSON; empty where there is none.
        required: whether it must be given. meaning: what the docstring says of it; may be empty.
    """

    name: str
    type: str
    default: str
    required: bool
    meaning: str


def describe_fields(cls: type) -> list[FieldDescription]:
    """The fields of a class, those of its own before those of its base classes."""
    annotations = fields_of(cls)
    inherited = {name for base in cls.__mro__[1:] for name in getattr(base, "model_fields", ())}
    names = sorted(annotations, key=lambda name: name in inherited)
    docs, infos = field_docs(cls, names), getattr(cls, "model_fields", {})
    return [
        FieldDescription(name, _type(annotations[name]), *_default(infos.get(name)), docs.get(name, ""))
        for name in names
    ]


def _type(annotation: Any) -> str:
    """An annotation as one would write it, without modules and without the constraints of `Annotated`."""
    choices = alternatives(annotation)
    if len(choices) > 1:
        return " | ".join(map(_type, choices))
    (annotation,) = choices
    arguments = get_args(annotation)
    if annotation is type(None) or isinstance(annotation, str):
        return annotation if isinstance(annotation, str) else "None"
    name = getattr(annotation, "__name__", None) or str(annotation).rpartition(".")[2]
    if get_origin(annotation) is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    return f"{name}[{', '.join(map(_type, arguments))}]" if arguments else name


def _default(info: Any) -> tuple[str, bool]:
    """The default as JSON, and whether there is none."""
    if info is None or info.is_required():
        return "", info is not None
    value = info.get_default(call_default_factory=True)
    return json.dumps(value, ensure_ascii=False, default=str), False


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
