"""A pipeline as it is written down: names, never code, and never a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import SecretStr
from pydantic_core import PydanticSerializationError

from ..._configured import Configured
from ..._llm.resolving import WORDS, model_kind_of
from ..._registry.registry import default_registry
from ..._step import GeneratorStep, Sink
from ...errors import ConfigurationError, LimbeckError
from ..steps.rows import Rows
from .endpoints import FirstRows
from .settings import is_secret, path_fields, placed
from .text.interpolation import escaped, refers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...types import ModelKind
    from ..graph.graph import Graph
    from .run_settings import RunSettings
    from .text.interpolation import Environment


@dataclass(frozen=True, slots=True)
class Written:
    """One step as it was written in a file.

    Attributes:
        kind, registered: the name of its class. fields: as they were written, references to the
            environment among them. snapshot: what the step's fields were when it had been made.
        short: whether it is the file's `input` or `output`. step: the step itself.
    """

    kind: Literal["task", "step"]
    registered: str
    fields: dict[str, Any]
    snapshot: dict[str, Any] = field(repr=False)
    short: Literal["input", "output"] | None
    step: Any


class _Unstorable:
    """The stand-in for a value that is no data."""

    def __init__(self, value: Any) -> None:
        self.value = value


def snapshot(step: Any) -> dict[str, Any]:
    """The step's fields as data, but for its name and for secrets."""
    if not isinstance(step, Configured):
        return {}
    secret = secret_fields(type(step))
    return {name: _dumped(step, name) for name in type(step).model_fields if name != "name" and name not in secret}


def _dumped(step: Configured, name: str) -> Any:
    try:
        return step.model_dump(mode="json", include={name})[name]
    except (PydanticSerializationError, ValueError, TypeError):  # a function, an open file, a circle
        return _Unstorable(getattr(step, name))


def secret_fields(cls: type) -> set[str]:
    """The fields that hold a secret, by their type."""
    fields = getattr(cls, "model_fields", {})
    return {name for name, info in fields.items() if SecretStr in (info.annotation, *get_args(info.annotation))}


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A pipeline's file as it was written: its steps, its settings, and what it took from the environment.

    Attributes:
        run: what the file says of how it is run. environment: what was taken from there, and so is not shown.
        steps: how each was written, by name.
    """

    run: RunSettings
    environment: Environment
    steps: Mapping[str, Written]

    @property
    def limit(self) -> int | None:
        """Rows of each source to read at most."""
        return self.run.limit

    def hidden(self, text: str) -> str:
        """A text without what the file took from the environment."""
        return self.environment.hidden(text)

    def config(self, graph: Graph) -> dict[str, Any]:
        """The graph as the file would have it now; see `to_dict`."""
        return to_dict(graph, self)


def to_dict(graph: Graph, file: WrittenFile | None) -> dict[str, Any]:
    """A graph as plain data; `file` is what it was read from. See `Pipeline.to_dict`."""
    return _Writer(graph, file).data()


class _Writer:
    """Writes one pipeline down."""

    def __init__(self, graph: Graph, file: WrittenFile | None) -> None:
        self._graph = graph
        self._run = file.run if file is not None else None
        self._steps = graph.steps
        written = file.steps if file is not None else {}
        self._entries = {name: _Entry(name, step, written.get(name)) for name, step in self._steps.items()}

    def data(self) -> dict[str, Any]:
        first, last = self._short_input(), self._short_output()
        data: dict[str, Any] = {"name": escaped(self._graph.name)}
        for key, name in (("input", first), ("output", last)):
            if name is not None:
                (data[key],) = self._entries[name].fields.values()
        data |= self._run.said() if self._run is not None else {}
        if "run_dir" in data:
            data["run_dir"] = placed(data["run_dir"], Path.cwd())
        inner = [name for name in self._steps if name not in (first, last)]
        data["steps"] = [self._entry(name, before) for name, before in zip(inner, [first, *inner], strict=False)]
        return data

    def _entry(self, name: str, before: str | None) -> dict[str, Any]:
        entry = self._entries[name].data()
        actual = self._graph.before(name)
        if actual != self._default(name, before) or (before is not None and isinstance(self._steps[before], Sink)):
            entry["after"] = actual[0] if len(actual) == 1 else actual
        return entry

    def _default(self, name: str, before: str | None) -> list[str]:
        """The steps upstream of one for which the file does not name them."""
        return [] if before is None or isinstance(self._steps[name], GeneratorStep) else [before]

    def _short_input(self) -> str | None:
        """The source that the key `input` is enough for."""
        return next((name for name in self._steps if self._entries[name].is_short("input")), None)

    def _short_output(self) -> str | None:
        """The sink that `output` is enough for: all rows that no other step takes go there."""
        name = next((name for name in self._steps if self._entries[name].is_short("output")), None)
        if name is None:
            return None
        ends = [
            each
            for each, step in self._steps.items()
            if each != name and not isinstance(step, Sink) and set(self._graph.after(each)) <= {name}
        ]
        return name if self._graph.before(name) == ends else None


class _Entry:
    """One step of a file."""

    def __init__(self, name: str, step: Any, written: Written | None) -> None:
        self._written = written if written is not None and written.step is step else None
        self._name = name
        self._step = step = step.source if isinstance(step, FirstRows) else step
        self._kind: Literal["task", "step"] = self._written.kind if self._written else _kind(step)
        self._registered = self._written.registered if self._written else self._registered_name()
        self.fields = self._fields()

    def is_short(self, which: Literal["input", "output"]) -> bool:
        """Tell whether one key of the file said, and still says, all of it."""
        written = self._written
        return (
            written is not None and written.short == which and self._name == which
            and self.fields == written.fields and len(self.fields) == 1
        )  # fmt: skip

    def data(self) -> dict[str, Any]:
        """The entry, without what leads to it."""
        default = self._registered.rpartition("/")[2]
        named = {} if self._name == default else {"name": escaped(self._name)}
        if self._kind == "step" and self._registered == "router" and "routes" in self.fields:
            fields = dict(self.fields)
            return {"router": fields.pop("routes"), **named, **fields}
        if self._kind == "step" and self._registered == "join":
            group = {"group": self.fields["group"]} if "group" in self.fields else {}
            return {"join": group, **named, **{key: value for key, value in self.fields.items() if key != "group"}}
        return {self._kind: self._registered, **named, **self.fields}

    # Names

    def _registered_name(self) -> str:
        if isinstance(self._step, Rows):
            raise ConfigurationError(
                f"The source {self._name!r} gives rows that are in memory, which a file does not hold. Read them "
                "from a file with a source step, or leave the source out, and give the rows to `pipeline.run(rows)`."
            )
        return _name_of(self._kind, type(self._step), f"The step {self._name!r}")

    # Fields

    def _fields(self) -> dict[str, Any]:
        step, written = self._step, self._written
        if not isinstance(step, Configured):
            if written is None:
                raise ConfigurationError(
                    f"The step {self._name!r} is of `{_path(type(step))}`, which is no `limbeck.Step`, so its fields "
                    "cannot be written to a file."
                )
            return written.fields
        secret = secret_fields(type(step))
        fields: dict[str, Any] = {}
        for name, value in snapshot(step).items():
            if written is not None and name in written.snapshot and _same(value, written.snapshot[name]):
                if name in written.fields:
                    fields[name] = written.fields[name]
            elif name in step.model_fields_set and not (
                value is None and type(step).model_fields[name].default is None
            ):
                fields[name] = escaped(self._stored(name, value))
        for name in secret & (written.fields if written else {}).keys():
            if written is not None and refers(written.fields[name]):
                fields[name] = written.fields[name]
        kind = model_kind_of(step)
        if kind in fields and self._kind == "task":
            fields[kind] = self._model(kind, fields[kind])
        return fields

    def _stored(self, name: str, value: Any) -> Any:
        if isinstance(value, _Unstorable):
            hint = "an expression, such as `router(hard=\"difficulty > 3\")`" if name in ("routes", "function") else (
                "a name of the registry"
            )  # fmt: skip
            raise ConfigurationError(
                f"The field `{name}` of the step {self._name!r} holds {_what(value.value)}. A file stores names and "
                f"data, never code: write {hint}, or keep this pipeline in Python."
            )
        return placed(value, Path.cwd()) if name in path_fields(type(self._step)) else value

    def _model(self, kind: ModelKind, written: Any) -> Any:
        model = getattr(self._step, kind)
        if self._written is None or kind not in self._written.fields or written is not self._written.fields[kind]:
            _name_of(kind, type(model), f"The {WORDS[kind]} of the step {self._name!r}")
            if not isinstance(model, Configured):
                raise ConfigurationError(
                    f"The {WORDS[kind]} of the step {self._name!r} is of `{_path(type(model))}`, which is of no class "
                    "of Limbeck's, so its fields cannot be written to a file."
                )
        if not isinstance(written, dict):
            return written
        secret = secret_fields(type(model))
        kept = {name: value for name, value in written.items() if name not in secret or refers(value)}
        for keys in _secrets(kept):
            raise ConfigurationError(
                f"`{'.'.join((kind, *keys))}` of the step {self._name!r} may hold a secret, which is not written to a "
                "file. Put it into the environment, and write `${env:NAME}` in its place."
            )
        return kept


def _secrets(data: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys that lead to what may be a secret: by its name, or as a part of an address."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _secrets(value, (*keys, str(name)))
    elif isinstance(data, str) and data and not refers(data) and _secret(keys, data):
        yield keys


def _secret(keys: tuple[str, ...], text: str) -> bool:
    return any(map(is_secret, keys)) or re.search(r"://[^/]*@", text) is not None


def _same(value: Any, before: Any) -> bool:
    if isinstance(value, _Unstorable) and isinstance(before, _Unstorable):
        return value.value is before.value
    return bool(value == before)


def _kind(step: Any) -> Literal["task", "step"]:
    return "task" if hasattr(step, "format_input") else "step"


def _name_of(kind: Literal["task", "step"] | ModelKind, cls: type, subject: str) -> str:
    """The name by which `cls` is found again.

    Raises:
        ConfigurationError: it has none.
    """
    registry = default_registry()
    name = registry.name_of(kind, cls)
    if name is None:
        raise ConfigurationError(
            f"{subject} is of `{_path(cls)}`, which has no name in the registry. A file stores names, never code: "
            f"register it with `register_{kind}('…', {cls.__name__})`, or declare it in an entry point."
        )
    try:
        found = registry.get(kind, name)
    except LimbeckError:  # several offer it
        found = None
    if found is cls:
        return name
    qualified = [listing.qualified for listing in registry.listings(kind) if listing.name.rpartition("/")[2] == name]
    return next((each for each in qualified if _is(kind, each, cls)), name)


def _is(kind: Literal["task", "step"] | ModelKind, name: str, cls: type) -> bool:
    try:
        return default_registry().get(kind, name) is cls
    except LimbeckError:
        return False


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _what(value: Any) -> str:
    if isinstance(value, dict):
        value = next((each for each in value.values() if callable(each)), value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"the function `{value.__module__}.{value.__qualname__}`"
    return f"a `{_path(type(value))}`"
