"""A recipe's steps and edges, with every mistake told by where it was written."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from ..._llm.resolving import WORDS, model_kind_of, resolve_model
from ..._registry.registry import default_registry
from ..._step import GeneratorStep, Sink, open_pipeline
from ...errors import ConfigurationError, LimbeckError, MissingColumnError, UnknownNameError, did_you_mean
from .endpoints import FirstRows
from .recipe import ticked
from .settings import (
    Setting,
    fields_of,
    is_secret,
    path_fields,
    placed,
    put,
    refuse_unknown,
    split_setting,
    typed_value,
)
from .text.interpolation import refers
from .written import Written, WrittenFile, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..._registry.index import Kind
    from ...types import ModelKind
    from ..graph.graph import Graph
    from .recipe import Recipe, StepSpec
    from .text.interpolation import Environment


def build(recipe: Recipe, graph: Graph) -> WrittenFile:
    """Put the steps and edges of a recipe into an empty graph; gives how they were written.

    Equal `llm`s are one object, and so share one window.

    Raises:
        ConfigurationError: what is wrong, where it was written, and what is close to it.
    """
    token = open_pipeline.set(None)  # what is made here belongs to this pipeline only
    try:
        return _Builder(recipe, graph).written()
    finally:
        open_pipeline.reset(token)


def build_one(cls: type, fields: dict[str, Any], settings: Sequence[str] = (), *, subject: str) -> Any:
    """One instance of `cls`.

    Args:
        fields: by name. settings: `--set` arguments on top of them, `FIELD=VALUE`. subject: what messages call it.

    Raises:
        ConfigurationError: a field is unknown, wrong or missing.
    """
    annotations = fields_of(cls)
    for key, text in map(split_setting, settings):
        setting = Setting(f"--set {key}", tuple(key.removeprefix("task.").split(".")), text)
        refuse_unknown(setting.keys[0], annotations, what=subject, where=setting.flag)
        put(fields, setting, setting.keys, annotations)
    return construct(cls, fields, lambda name: f"--set {name}".rstrip(), subject=subject)


class _Builder:
    """Builds one pipeline."""

    def __init__(self, recipe: Recipe, graph: Graph) -> None:
        self._recipe = recipe
        self._graph = graph
        self._llms: dict[str, Any] = {}

    def written(self) -> WrittenFile:
        recipe, graph = self._recipe, self._graph
        written: dict[str, Written] = {}
        built = {spec.name: _StepBuilder(spec, recipe, self._llms).step() for spec in recipe.steps}
        steps = {name: self._limited(step) for name, (step, _) in built.items()}
        edges = self._edges(steps)
        for spec in recipe.steps:
            if spec.optional and not any(after is spec for _, after in edges):
                continue
            _located(spec.where, recipe.environment, partial(graph.add, steps[spec.name]))
            written[spec.name] = replace(built[spec.name][1], step=steps[spec.name])
        for before, spec in edges:
            connect = partial(graph.connect, steps[before], steps[spec.name])
            _located(spec.after_where or spec.where, recipe.environment, connect)
        _located(recipe.where, recipe.environment, lambda: graph.steps)  # a circle
        return WrittenFile(recipe.run, recipe.environment, written)

    def _limited(self, step: Any) -> Any:
        limit = self._recipe.run.limit
        if limit is None or not isinstance(step, GeneratorStep):
            return step
        return FirstRows(name=step.name, on_error=step.on_error, source=step, limit=limit)

    def _edges(self, steps: Mapping[str, Any]) -> list[tuple[str, StepSpec]]:
        """The edges, as the step upstream and the entry downstream, in the order of the file."""
        edges: list[tuple[str, StepSpec]] = []
        before: StepSpec | None = None
        for spec in self._recipe.steps:
            if spec.short == "output":
                led = {name for name, _ in edges}
                ends = [name for name, step in steps.items() if name not in led and not isinstance(step, Sink)]
                edges += [(name, spec) for name in ends]
                continue
            edges += [(name, spec) for name in self._before(spec, before, steps)]
            before = spec
        return edges

    def _before(self, spec: StepSpec, before: StepSpec | None, steps: Mapping[str, Any]) -> list[str]:
        if spec.after is not None:
            for name in spec.after:
                self._check_after(spec, name, steps)
            return spec.after
        if before is None or isinstance(steps[spec.name], GeneratorStep):
            return []
        if isinstance(steps[before.name], Sink):
            raise ConfigurationError(
                f"{spec.where}: {spec.name!r} comes after the sink {before.name!r}, which gives no rows on. "
                "Say with `after: NAME` whose rows it takes."
            )
        return [before.name]

    def _check_after(self, spec: StepSpec, name: str, steps: Mapping[str, Any]) -> None:
        if name not in steps:
            raise ConfigurationError(
                f"{spec.after_where}: `after` of {spec.name!r}: there is no step named {name!r}."
                f"{did_you_mean(name, steps)} The steps are {ticked(steps)}."
            )


class _StepBuilder:
    """Builds one step."""

    def __init__(self, spec: StepSpec, recipe: Recipe, llms: dict[str, Any]) -> None:
        self._spec = spec
        self._recipe = recipe
        self._environment: Environment = recipe.environment
        self._llms = llms
        self._fields = dict(spec.fields)
        self._origins = dict(spec.origins)

    def step(self) -> tuple[Any, Written]:
        """The step, and how it was written."""
        spec = self._spec
        cls = _located(spec.where, self._environment, lambda: _class_of(spec))
        annotations = fields_of(cls)
        self._apply_settings(annotations, model_kind_of(cls))
        for name in self._fields:
            if name != "name":
                refuse_unknown(name, annotations, what=spec.subject, where=self._origin(name))
        values = {name: self._value(name, value, annotations) for name, value in self._fields.items()}
        self._place_paths(cls, values)
        if "name" in annotations:
            values["name"] = spec.name  # under which `--set` knows it, whatever else the class is registered as
        if spec.kind == "task":
            kind = model_kind_of(cls)
            values[kind] = self._model(kind, values.get(kind), self._fields.get(kind))
        hidden = {name for name, value in self._fields.items() if refers(value)}
        step = construct(cls, values, self._origin, subject=spec.subject, environment=self._environment, hidden=hidden)
        if "name" not in annotations and getattr(step, "name", None) != spec.name:
            spec.name = step.name
        written = {name: value for name, value in self._fields.items() if name != "name"}
        return step, Written(spec.kind, spec.registered, written, snapshot(step), spec.short, step)

    def _origin(self, name: str) -> str:
        return self._origins.get(name, self._spec.where)

    def _apply_settings(self, annotations: Mapping[str, Any], kind: ModelKind) -> None:
        spec = self._spec
        for setting in spec.settings:
            name = setting.keys[0]
            if name == "name" or (name == kind and len(setting.keys) > 1):
                continue
            refuse_unknown(name, annotations, what=spec.subject, where=setting.flag)
            put(self._fields, setting, setting.keys, annotations)
            self._origins[name] = setting.flag

    def _value(self, name: str, written: Any, annotations: Mapping[str, Any]) -> Any:
        return self._environment.resolved(
            written,
            lambda _: self._origin(name),
            (lambda text: typed_value(text, annotations.get(name), self._origin(name)))
            if isinstance(written, str)
            else _read_scalar,
        )

    def _place_paths(self, cls: type, values: dict[str, Any]) -> None:
        """Make the paths that the file holds those that its folder means."""
        for name in path_fields(cls):
            typed = any(setting.keys[0] == name for setting in self._spec.settings)
            folder = Path() if typed else self._spec.folder
            if name in values:
                values[name] = placed(values[name], folder)
                written = self._fields[name]
                self._fields[name] = (
                    _placed_reference(written, folder) if refers(written) else placed(values[name], Path.cwd())
                )

    # The model

    def _model(self, kind: ModelKind, given: Any, written: Any) -> Any:
        spec, environment = self._spec, self._environment
        where = self._origin(kind)
        settings = [setting for setting in spec.settings if setting.keys[0] == kind and len(setting.keys) > 1]
        if not isinstance(given, str | dict) or not given:
            listed = f"limbeck {kind.replace('_', '-')}s"
            raise ConfigurationError(
                f"{where}: the task {spec.name!r} names no {WORDS[kind]}. Give it `{kind}: provider/model` (see "
                f"`{listed}`), or `{kind}: offline` to try it without a model."
            )
        config: Any = given
        limits = self._recipe.run.limits()
        if isinstance(given, dict) or settings or limits:
            config, origins = self._model_config(kind, given, written, settings, where)
            where = ", ".join(dict.fromkeys([where, *origins.values()]))
        key = f"{kind} {_text_of(config)}"
        if key not in self._llms:
            resolve = partial(resolve_model, kind, config)
            self._llms[key] = _located(where, environment, resolve, hide=refers(written))
        return self._llms[key]

    def _model_config(
        self, kind: ModelKind, given: Any, written: Any, settings: list[Setting], where: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The model's fields, and where those were said that do not stand with it."""
        config = dict(given) if isinstance(given, dict) else {"provider": given}
        kept = dict(written) if isinstance(written, dict) else {"provider": written}
        provider = config.get("provider")
        if not isinstance(provider, str):
            raise ConfigurationError(
                f"{where}: {'a' if kind == 'scorer' else 'an'} `{kind}` given as a mapping needs the key `provider`, "
                "such as `openai/gpt-5-mini`."
            )
        name = _provider_of(kind, provider)
        get = partial(default_registry().get, kind, name)
        cls = _located(where, self._environment, get, hide=refers(written))
        annotations = fields_of(cls)
        shown = str(kept.get("provider"))
        for name in config:
            if name != "provider":
                refuse_unknown(name, annotations, what=f"the {WORDS[kind]} {shown!r}", where=where)
                if isinstance(kept.get(name), str) and refers(kept[name]):
                    config[name] = self._value_of_llm(name, kept[name], annotations, where)
        origins = self._apply_limits(kind, config, kept, annotations, shown)
        for setting in settings:
            for fields in (config, kept):
                _set_on_llm(fields, setting, annotations, shown)
            origins[setting.keys[1]] = setting.flag
        if settings or self._recipe.firm:
            self._fields[kind] = kept
        return config, origins

    def _value_of_llm(self, name: str, written: str, annotations: Mapping[str, Any], where: str) -> Any:
        return self._environment.resolved(
            written, lambda _: where, lambda text: typed_value(text, annotations.get(name), where)
        )

    def _apply_limits(
        self,
        kind: ModelKind,
        config: dict[str, Any],
        kept: dict[str, Any],
        annotations: Mapping[str, Any],
        shown: str,
    ) -> dict[str, str]:
        recipe, origins = self._recipe, {}
        for name, value in recipe.run.limits().items():
            if kind != "llm" and name not in annotations:
                continue  # provider batches are of LLMs
            firm = name in recipe.firm
            where = _flag(name) if firm else recipe.origins.get(name, recipe.where)
            refuse_unknown(name, annotations, what=f"the {WORDS[kind]} {shown!r}", where=where)
            if firm or name not in config:
                config[name] = value
                origins[name] = where
            if firm:
                kept[name] = value
        return origins


def _text_of(config: Any) -> str:
    """The text that equal configurations of an LLM have in common."""
    try:
        return json.dumps(config, sort_keys=True, default=str)
    except (TypeError, ValueError):  # keys that are no texts, which the LLM may well refuse
        return repr(config)


def _flag(name: str) -> str:
    """The option of the command line that sets a field of every LLM."""
    return "--batch" if name == "mode" else f"--{name.replace('_', '-')}"


def _class_of(spec: StepSpec) -> Any:
    """The class that an entry asks for; a task that was asked for as a step, or the other way round, is told so.

    Raises:
        RegistryError: as `get_task` and `get_step`.
    """
    other: Kind = "step" if spec.kind == "task" else "task"
    try:
        return default_registry().get(spec.kind, spec.registered)
    except UnknownNameError:
        if spec.registered not in default_registry().names(other):
            raise
    raise ConfigurationError(f"{spec.registered!r} is a {other}: write `{other}: {spec.registered}`.")


def _read_scalar(text: str) -> Any:
    from .text.scalars import scalar

    return scalar(text)


def _placed_reference(written: Any, folder: Path) -> Any:
    """The same, absolute, for one that takes something from the environment, which it keeps."""
    if isinstance(written, list):
        return [_placed_reference(each, folder) for each in written]
    if not isinstance(written, str) or written.startswith("${env:"):  # whose variable may well hold the whole path
        return written
    return placed(written, folder.absolute())


def _provider_of(kind: ModelKind, text: str) -> str:
    """The registered name in `provider/model`, which may itself be qualified with a distribution."""
    first, _, rest = text.partition("/")
    qualified = f"{first}/{rest.partition('/')[0]}"
    return qualified if rest and default_registry().declares(kind, qualified) else first


def _set_on_llm(config: dict[str, Any], setting: Setting, annotations: Any, provider: str) -> None:
    keys = setting.keys[1:]
    if keys[0] in annotations:
        put(config, setting, keys, annotations)
        return
    if "generation_kwargs" not in annotations:
        refuse_unknown(keys[0], annotations, what=f"the LLM {provider!r}", where=setting.flag)
    put(config, setting, ("generation_kwargs", *keys), annotations)


def sources_of(graph: Graph) -> list[Any]:
    """The sources, without the limits that were set on them."""
    sources = [step for step in graph.steps.values() if isinstance(step, GeneratorStep)]
    return [step.source if isinstance(step, FirstRows) else step for step in sources]


def check_pipeline(graph: Graph, recipe: Recipe) -> None:
    """Raise for all that is wrong and can be seen before a row has moved.

    Raises:
        ConfigurationError: what `Pipeline.check` finds, with its place; a source cannot be read; no rows are
            given to the first step.
    """
    _require_sources(graph, recipe)
    specs = {spec.name: spec for spec in recipe.steps}
    for name, step in graph.steps.items():
        if isinstance(step, GeneratorStep):
            spec = specs[name]
            where = next(iter(spec.origins.values())) if spec.short else spec.where
            _located(where, recipe.environment, lambda step=step: step.outputs)  # type: ignore[misc]
    try:
        graph.check()
    except MissingColumnError as exc:
        raise ConfigurationError(f"{specs[exc.task].where}: {recipe.environment.hidden(str(exc))}") from exc
    except LimbeckError as exc:
        raise ConfigurationError(f"{recipe.where}: {recipe.environment.hidden(str(exc))}") from exc


def _require_sources(graph: Graph, recipe: Recipe) -> None:
    for spec in recipe.steps:
        step = graph.steps.get(spec.name)
        if step is None or graph.before(spec.name) or isinstance(step, GeneratorStep) or hasattr(step, "seeds"):
            continue
        raise ConfigurationError(
            f"{spec.where}: the run has no `input`, and the {spec.kind} {spec.name!r} makes no rows of its own."
        )


def _located(where: str, environment: Environment, make: Callable[[], Any], *, hide: bool = False) -> Any:
    """Call `make`, and have its errors say where. With `hide`, values are not shown."""
    try:
        return make()
    except ValidationError as exc:
        hidden = set() if not hide else {str(fault["loc"][0]) for fault in exc.errors() if fault["loc"]}
        message = _validation_message(exc, lambda _: where, subject=exc.title, hidden=hidden)
        raise ConfigurationError(environment.hidden(message)) from None
    except LimbeckError as exc:
        shown = environment.hidden(str(exc))
        # The original would show what is hidden.
        raise ConfigurationError(f"{where}: {shown}") from (exc if shown == str(exc) else None)


def construct(
    cls: type,
    fields: dict[str, Any],
    origin: Callable[[str], str],
    *,
    subject: str,
    environment: Environment | None = None,
    hidden: set[str] | frozenset[str] = frozenset(),
) -> Any:
    """An instance of `cls`.

    Args:
        origin: the place of a field. subject: what messages call the class.
        environment: what of it must not be shown. hidden: fields whose values are not shown.

    Raises:
        ConfigurationError: all faults, each with its place.
    """
    try:
        return cls(**fields)
    except ValidationError as exc:
        # Not chained: pydantic's own text shows the values, and one may be a key.
        message = _validation_message(exc, origin, subject=subject, hidden=hidden)
        raise ConfigurationError(message) from None
    except LimbeckError as exc:
        shown = str(exc) if environment is None else environment.hidden(str(exc))
        raise ConfigurationError(f"{origin('')}: {shown}") from (exc if shown == str(exc) else None)


def _validation_message(
    error: ValidationError, origin: Callable[[str], str], *, subject: str, hidden: set[str] | frozenset[str]
) -> str:
    faults = []
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0]) if fault["loc"] else ""
        path = ".".join(map(str, fault["loc"]))
        if fault["type"] == "missing":
            faults.append(f"{origin(name)}: {subject} needs the field `{path}`")
        else:
            faults.append(
                f"{origin(name)}: {f'`{path}` of ' if path else ''}{subject}: "
                f"{fault['msg']}{'' if name in hidden else _given(name, fault['input'])}"
            )
    return ".\n".join(faults) + "."


def _given(name: str, value: Any) -> str:
    """`, not 'three'`, where the value is short and no secret."""
    if isinstance(value, SecretStr) or is_secret(name):
        return ""
    return f", not {value!r}" if isinstance(value, str | int | float | bool | None) and len(repr(value)) <= 60 else ""
