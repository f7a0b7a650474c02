"""Task specifications to tasks, with every mistake told by where it was written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from limbeck import get_llm, get_task
from limbeck._llm.llm import resolve_llm
from limbeck._registry.registry import default_registry
from limbeck.errors import ConfigurationError, LimbeckError

from .settings import Setting, fields_of, is_secret, put, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .settings import Limit, TaskSpec


def build_tasks(specs: Sequence[TaskSpec]) -> list[Any]:
    """The tasks; equal `llm`s are one object, and so share one window.

    Raises:
        ConfigurationError: what is wrong, where it was written, and what is close to it.
    """
    llms: dict[str, Any] = {}
    return [_build_task(spec, llms) for spec in specs]


def build_one(cls: type, fields: dict[str, Any], settings: Sequence[tuple[str, str]], *, subject: str) -> Any:
    """One instance of `cls` with these fields, and those that `--set KEY=VALUE` gives.

    Raises:
        ConfigurationError: a field is unknown, wrong or missing.
    """
    annotations = fields_of(cls)
    for key, text in settings:
        setting = Setting(f"--set {key}", tuple(key.removeprefix("task.").split(".")), text)
        refuse_unknown(setting.keys[0], annotations, what=subject, where=setting.flag)
        put(fields, setting, setting.keys, annotations)
    return _construct(cls, fields, lambda name: f"--set {name}".rstrip(), subject=subject)


def _build_task(spec: TaskSpec, llms: dict[str, Any]) -> Any:
    cls = _located(spec.where, lambda: get_task(spec.task))
    annotations = fields_of(cls)
    fields, origins = dict(spec.fields), dict(spec.origins)
    for setting in spec.settings:
        name = setting.keys[0]
        if name == "llm" and len(setting.keys) > 1:
            continue
        refuse_unknown(name, annotations, what=f"the task {spec.task!r}", where=setting.flag)
        put(fields, setting, setting.keys, annotations)
        origins[name] = setting.flag
    for name in fields:
        refuse_unknown(name, annotations, what=f"the task {spec.task!r}", where=origins.get(name, spec.where))
    if "name" in annotations:
        fields["name"] = spec.name  # under which `--set` knows it, whatever else the class is registered as
    fields["llm"] = _build_llm(spec, fields.get("llm"), origins.get("llm", spec.where), llms)
    task = _construct(cls, fields, lambda name: origins.get(name, spec.where), subject=f"the task {spec.task!r}")
    if not callable(getattr(task, "run", None)):
        raise ConfigurationError(
            f"{spec.where}: the task {spec.task!r} has no `run`; a subclass of `limbeck.Task` has one."
        )
    return task


def _build_llm(spec: TaskSpec, given: Any, where: str, llms: dict[str, Any]) -> Any:
    settings = [setting for setting in spec.settings if setting.keys[0] == "llm" and len(setting.keys) > 1]
    if not isinstance(given, str | dict) or not given:
        raise ConfigurationError(
            f"{where}: the task {spec.name!r} names no LLM. Give it `llm: provider/model` (see `limbeck llms`), "
            "or `llm: offline` to try it without a model."
        )
    config: Any = given
    if isinstance(given, dict) or settings or spec.limits:
        config, origins = _llm_config(given, settings, spec.limits, where)
        where = _several(where, origins)
    key = json.dumps(config, sort_keys=True, default=str)
    if key not in llms:
        llms[key] = _located(where, lambda: resolve_llm(config))
    return llms[key]


def _several(where: str, origins: dict[str, str]) -> str:
    return ", ".join(dict.fromkeys([where, *origins.values()]))


def _llm_config(
    given: Any, settings: list[Setting], limits: list[Limit], where: str
) -> tuple[dict[str, Any], dict[str, str]]:
    config = dict(given) if isinstance(given, dict) else {"provider": given}
    provider = config.get("provider")
    if not isinstance(provider, str):
        raise ConfigurationError(
            f"{where}: an `llm` given as a mapping needs the key `provider`, such as `openai/gpt-5-mini`."
        )
    cls = _located(where, lambda: get_llm(_provider_of(provider)))
    annotations = fields_of(cls)
    for name in config:
        if name != "provider":
            refuse_unknown(name, annotations, what=f"the LLM {provider!r}", where=where)
    origins: dict[str, str] = {}
    for limit in limits:
        refuse_unknown(limit.name, annotations, what=f"the LLM {provider!r}", where=limit.where)
        if limit.firm or limit.name not in config:
            config[limit.name] = limit.value
            origins[limit.name] = limit.where
    for setting in settings:
        _set_on_llm(config, setting, annotations, provider)
        origins[setting.keys[1]] = setting.flag
    return config, origins


def _provider_of(text: str) -> str:
    """The registered name in `provider/model`, which may itself be qualified with a distribution."""
    first, _, rest = text.partition("/")
    qualified = f"{first}/{rest.partition('/')[0]}"
    return qualified if rest and default_registry().declares("llm", qualified) else first


def _set_on_llm(config: dict[str, Any], setting: Setting, annotations: Any, provider: str) -> None:
    keys = setting.keys[1:]
    if keys[0] in annotations:
        put(config, setting, keys, annotations)
        return
    if "generation_kwargs" not in annotations:
        refuse_unknown(keys[0], annotations, what=f"the LLM {provider!r}", where=setting.flag)
    put(config, setting, ("generation_kwargs", *keys), annotations)


def _located(where: str, make: Callable[[], Any]) -> Any:
    """What `make` makes; its errors say where."""
    try:
        return make()
    except ValidationError as exc:
        raise ConfigurationError(_validation_message(exc, lambda _: where, subject=exc.title)) from None
    except LimbeckError as exc:
        raise ConfigurationError(f"{where}: {exc}") from exc


def _construct(cls: type, fields: dict[str, Any], origin: Callable[[str], str], *, subject: str) -> Any:
    try:
        return cls(**fields)
    except ValidationError as exc:
        # Not chained: pydantic's own text shows the values, and one may be a key.
        raise ConfigurationError(_validation_message(exc, origin, subject=subject)) from None
    except LimbeckError as exc:
        raise ConfigurationError(f"{origin('')}: {exc}") from exc


def _validation_message(error: ValidationError, origin: Callable[[str], str], *, subject: str) -> str:
    faults = []
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0]) if fault["loc"] else ""
        path = ".".join(map(str, fault["loc"]))
        if fault["type"] == "missing":
            faults.append(f"{origin(name)}: {subject} needs the field `{path}`")
        else:
            faults.append(
                f"{origin(name)}: {f'`{path}` of ' if path else ''}{subject}: "
                f"{fault['msg']}{_given(name, fault['input'])}"
            )
    return ".\n".join(faults) + "."


def _given(name: str, value: Any) -> str:
    """`, not 'three'`, where the value is short and no secret."""
    if isinstance(value, SecretStr) or is_secret(name):
        return ""
    return f", not {value!r}" if isinstance(value, str | int | float | bool | None) and len(repr(value)) <= 60 else ""
