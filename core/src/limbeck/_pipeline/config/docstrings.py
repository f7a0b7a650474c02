"""The fields of a class, as they are shown to people: names, types, defaults, and what docstrings say of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from ..._docstrings import names_in
from .settings import alternatives, fields_of

if TYPE_CHECKING:
    from collections.abc import Collection


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
    """Each field's description, from the `Attributes:` of the class that says most specifically what it is."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docs.update(names_in(base.__dict__.get("__doc__"), names))
    return docs
