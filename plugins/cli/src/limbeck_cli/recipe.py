"""The file that `limbeck run` takes: rows in, a chain of tasks, rows out.

name: capitals
input: capitals.jsonl       # a file beside this one, `-`, or a list of rows
output: "-"
tasks:
  - task: text-generation
    llm: openai/gpt-5-mini
    num_generations: 3
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import ConfigurationError, did_you_mean

from .run_keys import RUN_KEYS, read_run_options
from .run_options import RunOptions
from .settings import Limit, Setting, TaskSpec, split_setting
from .yaml_text import read_value, read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import Row

    from .yaml_text import Document

_KEYS = {
    "name": "the run's name",
    "input": "a path, `-` for stdin, or a list of rows",
    "output": "a path, or `-` for stdout",
    "tasks": "a list of tasks, each with the key `task`",
}


@dataclass(slots=True)
class Recipe:
    """A run, as the file and the command line describe it.

    Attributes:
        name: what progress and messages call it.
        input: a path, "-", rows, or None where the first task makes its own. where: where that stands.
        output: a path or "-". tasks: the chain. run: how it is run.
    """

    name: str
    input: str | list[Row] | None
    output: str
    tasks: list[TaskSpec]
    where: str = "--input"
    run: RunOptions = field(default_factory=RunOptions)


def read_recipe(path: str, settings: Sequence[str]) -> Recipe:
    """Read and check a file, with the `--set` arguments on top.

    Raises:
        ConfigurationError: file, line, key, what was expected there, and what is close.
    """
    document = read_yaml(path)
    data = document.data
    if not isinstance(data, dict):
        raise ConfigurationError(
            f"{document.at()}: expected a mapping with the keys {_ticked(_KEYS)}, not {_kind(data)}."
        )
    _check_keys(document, data)
    recipe = Recipe(
        name=_text(document, data, "name") or Path(path).stem,
        input=_input(document, data),
        output=_beside(path, _text(document, data, "output") or "-"),
        tasks=_tasks(document, data),
        where=document.at("input"),
        run=read_run_options(document),
    )
    limits = [Limit(name, value, document.at(name), firm=False) for name, value in recipe.run.limits().items()]
    for spec in recipe.tasks:
        spec.limits.extend(limits)
    for argument in settings:
        _set(recipe, argument)
    _name_tasks(recipe.tasks)
    return recipe


def _ticked(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: f"the text {value!r}", type(None): "nothing"}
    return names.get(type(value), repr(value))


def _check_keys(document: Document, data: dict[Any, Any]) -> None:
    for key in data:
        if key not in _KEYS and key not in RUN_KEYS:
            known = [*_KEYS, *RUN_KEYS]
            raise ConfigurationError(
                f"{document.at(key)}: there is no key {key!r} here.{did_you_mean(str(key), known)} "
                f"The keys are {_ticked(known)}."
            )


def _expected(document: Document, keys: tuple[str | int, ...], expected: str, value: Any) -> ConfigurationError:
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    return ConfigurationError(f"{document.at(*keys)}: `{name}`: expected {expected}, not {_kind(value)}.")


def _text(document: Document, data: dict[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise _expected(document, (key,), _KEYS[key], value)
    return value


def _beside(path: str, name: str) -> str:
    """A path written in a file is meant from the file's folder."""
    return name if name == "-" else str(Path(path).parent / name)


def _input(document: Document, data: dict[str, Any]) -> str | list[Row] | None:
    value = data.get("input")
    if isinstance(value, str):
        return _beside(document.path, value)
    if not isinstance(value, list | None):
        raise _expected(document, ("input",), _KEYS["input"], value)
    for place, row in enumerate(value or ()):
        if not isinstance(row, dict) or not all(isinstance(column, str) for column in row):
            raise _expected(document, ("input", place), "a row: a mapping of column names to values", row)
    return value


def _tasks(document: Document, data: dict[str, Any]) -> list[TaskSpec]:
    value = data.get("tasks")
    if not isinstance(value, list) or not value:
        raise _expected(document, ("tasks",), _KEYS["tasks"], value)
    return [_task(document, place, item) for place, item in enumerate(value)]


def _task(document: Document, place: int, item: Any) -> TaskSpec:
    keys = ("tasks", place)
    if not isinstance(item, dict):
        raise _expected(document, keys, "a mapping with the key `task`", item)
    if not isinstance(item.get("task"), str):
        near = did_you_mean("task", [str(key) for key in item]) if "task" not in item else ""
        error = _expected(document, (*keys, "task"), "the name of a task (see `limbeck tasks`)", item.get("task"))
        raise ConfigurationError(f"{error}{near}")
    fields = {str(key): value for key, value in item.items() if key != "task"}
    if not isinstance(fields.get("name", ""), str):
        raise _expected(document, (*keys, "name"), "a text", fields["name"])
    origins = {name: document.at(*keys, name) for name in fields}
    return TaskSpec(item["task"], document.at(*keys, "task"), fields, origins)


def _set(recipe: Recipe, argument: str) -> None:
    key, text = split_setting(argument)
    flag = f"--set {key}"
    if key.startswith("tasks."):
        spec, rest = _addressed(recipe.tasks, key.removeprefix("tasks."), flag)
        spec.settings.append(Setting(flag, tuple(rest.split(".")), text))
        if rest == "name":
            spec.fields["name"] = text
    elif key in ("name", "output"):
        setattr(recipe, key, text)
    elif key == "input":
        value = read_value(text)
        recipe.input, recipe.where = value if isinstance(value, list) else text, flag
    elif key in RUN_KEYS:
        raise ConfigurationError(f"{flag}: this has an option of its own, `--{key.replace('_', '-')}`.")
    else:
        raise ConfigurationError(
            f"{flag}: there is no such key.{did_you_mean(key, _KEYS)} "
            "The keys are `tasks.NAME.FIELD`, `name`, `input` and `output`."
        )


def _addressed(tasks: list[TaskSpec], path: str, flag: str) -> tuple[TaskSpec, str]:
    """The task that `NAME.FIELD` begins with, and the rest. A name may hold dots: the longest one counts."""
    names = _default_names(tasks)
    matching = [name for name in names if path.startswith(f"{name}.") and len(path) > len(name) + 1]
    if not matching:
        first = path.partition(".")[0]
        raise ConfigurationError(
            f"{flag}: expected tasks.NAME.FIELD, with one of the names {_ticked(names)}.{did_you_mean(first, names)}"
        )
    name = max(matching, key=len)
    return names[name], path.removeprefix(f"{name}.")


def _default_names(tasks: list[TaskSpec]) -> dict[str, TaskSpec]:
    """Each task by its name; an unnamed repeat gets `-2`.

    Raises:
        ConfigurationError: two tasks were given the same name.
    """
    names: dict[str, TaskSpec] = {}
    for spec in sorted(tasks, key=lambda spec: "name" not in spec.fields):  # a given name goes first
        name, count = spec.name, 1
        while name in names and "name" not in spec.fields:
            count += 1
            name = f"{spec.name}-{count}"
        if name in names:
            raise ConfigurationError(
                f"{spec.origin('name')}: another task is named {name!r} already; names are unique in a run."
            )
        names[name] = spec
    return names


def _name_tasks(tasks: list[TaskSpec]) -> None:
    for name, spec in _default_names(tasks).items():
        if name != spec.name:
            spec.fields["name"] = name
