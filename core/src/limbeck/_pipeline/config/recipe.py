"""The reading of a file's keys and entries, before any class is known.

name: preference
input: rows.jsonl               # a path beside the file, `-`, or a list of rows: short for a source
output: out.jsonl               # short for a sink
steps:                          # in a chain, unless `after` says otherwise; `tasks` is the same
  - task: text-generation
    llm: openai/gpt-5-mini
  - step: keep-columns
    columns: [instruction, generation]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ...errors import ConfigurationError, did_you_mean
from ...types import ModelKind
from .endpoints import input_step, output_step
from .run_keys import RUN_KEYS, read_run_settings
from .run_settings import RunSettings
from .settings import Setting, split_setting
from .text.document import kind_of, spelt
from .text.interpolation import Environment, refers
from .text.yaml_text import read_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...types import Row
    from .text.document import Document, Keys

Short: TypeAlias = Literal["input", "output"]

KEYS = {
    "name": "a text",
    "input": "a path, `-` for stdin, or a list of rows",
    "output": "a path, or `-` for stdout",
    "steps": "a list of steps, each with the key `task` or `step`",
    "tasks": "a list of tasks, each with the key `task`",
}
WORDS = ("task", "step", "router", "join")
"""What an entry may be; the last two are short for steps of those names."""


@dataclass(slots=True)
class StepSpec:
    """The entry of a step, as it was asked for.

    Attributes:
        kind: whether its name is among the tasks or the steps. registered: that name.
        where: where that stands. fields: as they were written, `name` among them if it was given.
        origins: where each field was given, for error messages.
        after: the names of the steps that lead to it; None for the one before.
        settings: what is set on top. short: whether it is the file's `input` or `output`.
        folder: from where its paths are meant. name: what it is called.
        optional: left out where no rows would come to it.
    """

    kind: Literal["task", "step"]
    registered: str
    where: str
    fields: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    after: list[str] | None = None
    after_where: str = ""
    settings: list[Setting] = field(default_factory=list)
    short: Short | None = None
    folder: Path = field(default_factory=Path)
    name: str = ""
    optional: bool = False

    @property
    def default_name(self) -> str:
        """The name of the step unless it is given one, or another has it."""
        return self.short or self.registered.rpartition("/")[2]

    @property
    def subject(self) -> str:
        """The step, as messages call it."""
        return f"the {self.kind} {self.registered!r}"

    def origin(self, name: str) -> str:
        """The place where the field `name` was given, else where the step was."""
        return self.origins.get(name, self.where)


@dataclass(slots=True)
class Recipe:
    """A pipeline as it was asked for.

    Attributes:
        name: the pipeline's. steps: in the order of the file; `input` comes first and `output` last.
        run: how it is run.
        environment: what was taken from there. where: the place of the whole.
        firm: limits that go before what an LLM's own configuration says: the command line's.
    """

    name: str
    steps: list[StepSpec]
    environment: Environment
    where: str
    run: RunSettings = field(default_factory=RunSettings)
    origins: dict[str, str] = field(default_factory=dict)
    firm: dict[str, Any] = field(default_factory=dict)

    def short(self, which: Short) -> StepSpec | None:
        """The step that stands for `input` or `output`."""
        return next((spec for spec in self.steps if spec.short == which), None)

    def add(self, spec: StepSpec) -> None:
        """Take another step in, behind the others."""
        self.steps.append(spec)
        name_steps(self.steps)

    def read_from(self, rows: str | list[Row], where: str) -> None:
        """Let the rows come from elsewhere.

        Args:
            rows: themselves; a path, which is meant from the working directory; or `-` for stdin.
            where: what errors call the place of this, such as the option that said it.
        """
        self.steps = [short_input(rows, where), *(spec for spec in self.steps if spec.short != "input")]
        name_steps(self.steps)

    def write_to(self, path: str, where: str) -> None:
        """Let the rows go elsewhere; as `read_from`, with `-` for stdout."""
        self.steps = [*(spec for spec in self.steps if spec.short != "output"), short_output(path, where)]
        name_steps(self.steps)

    def default_output(self, path: str) -> None:
        """Let rows that no sink takes go there, unless the recipe says where they go."""
        if self.short("output") is None:
            output = short_output(path, self.where)
            output.optional = True
            self.add(output)

    def override(self, settings: RunSettings) -> None:
        """Run it with these settings where they say something: their limits go before those of an LLM's own fields."""
        self.run, self.firm = settings.over(self.run), settings.limits()


def read_recipe(document: Document, settings: Sequence[str] = ()) -> Recipe:
    """Read a document, with the `--set` arguments on top.

    Raises:
        ConfigurationError: file, line, key, what was expected there, and what is close.
    """
    reader = _Reader(document)
    recipe = reader.recipe()
    for argument in settings:
        _set(recipe, argument)
    name_steps(recipe.steps)
    return recipe


def recipe_of_task(entry: Mapping[str, tuple[Any, str]], settings: Sequence[str] = (), *, where: str) -> Recipe:
    """The recipe of one task, which has neither input nor output yet.

    Args:
        entry: as a file has it, with the keys `task`, `llm` and other fields; each value with its place, for errors.
        settings: `task.FIELD=VALUE`, and `llm.NAME=VALUE` for a field of the LLM or a parameter of the provider.
        where: what errors call the place of the whole.

    Raises:
        ConfigurationError: a setting is of neither form.
    """
    (named, place), fields = entry["task"], {name: each for name, each in entry.items() if name != "task"}
    values = {name: value for name, (value, _) in fields.items()}
    spec = StepSpec("task", named, place, values, {name: origin for name, (_, origin) in fields.items()})
    spec.settings.extend(map(_setting_of_task, settings))
    name_steps([spec])
    return Recipe(named, [spec], Environment(), where)


def _setting_of_task(argument: str) -> Setting:
    key, text = split_setting(argument)
    owner, *rest = key.split(".")
    if owner not in ("task", *get_args(ModelKind)) or not all(rest) or not rest:
        raise ConfigurationError(
            f"--set {key}: expected `task.FIELD` or `llm.NAME` (`embedder.NAME` and so on, of a task that has one)."
        )
    return Setting(f"--set {key}", tuple(rest if owner == "task" else [owner, *rest]), text)


def short_input(value: Any, where: str, *, folder: Path = Path()) -> StepSpec:
    """The source that `input` is short for."""
    return _short("input", *input_step(value), where, folder)


def short_output(value: str, where: str, *, folder: Path = Path()) -> StepSpec:
    """The sink that `output` is short for."""
    return _short("output", *output_step(value), where, folder)


def _short(which: Short, registered: str, fields: dict[str, Any], where: str, folder: Path) -> StepSpec:
    return StepSpec("step", registered, where, fields, dict.fromkeys(fields, where), short=which, folder=folder)


def ticked(names: Any) -> str:
    """Names in a sentence."""
    return ", ".join(f"`{name}`" for name in names)


class _Reader:
    """Reads one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._environment = Environment()

    def recipe(self) -> Recipe:
        document = self._document
        data = document.data
        if not isinstance(data, dict):
            raise ConfigurationError(
                f"{document.at()}: expected a mapping with the keys {ticked(KEYS)}, not {kind_of(data)}."
            )
        self._check_keys(data)
        steps = self._ends(data, self._steps(data))
        return Recipe(
            name=self._text(data, "name") or document.name,
            steps=steps,
            environment=self._environment,
            where=document.at(),
            run=read_run_settings(document, self._environment),
            origins={key: document.at(key) for key in RUN_KEYS},
        )

    def _check_keys(self, data: dict[Any, Any]) -> None:
        for key in data:
            if key not in KEYS and key not in RUN_KEYS:
                known = [*KEYS, *RUN_KEYS]
                raise ConfigurationError(
                    f"{self._document.at(key)}: there is no key {key!r} here.{did_you_mean(str(key), known)} "
                    f"The keys are {ticked(known)}."
                )
        if "steps" in data and "tasks" in data:
            raise ConfigurationError(
                f"{self._document.at('tasks')}: `tasks` and `steps` are the same list; give one of them."
            )

    def _text(self, data: Mapping[str, Any], key: str) -> str | None:
        value = data.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._document.expected((key,), KEYS[key], value)
        return self._fixed((key,), value) if key == "name" else value

    def _fixed(self, keys: Keys, name: str) -> str:
        """A name, which is shown everywhere, and so does not come from the environment."""
        if refers(name):
            raise ConfigurationError(
                f"{self._document.at(*keys)}: `{spelt(keys)}`: a name cannot come from the environment; it is shown in "
                "messages and files. Change it with `--set`, or in the file."
            )
        return name

    # The steps

    def _steps(self, data: dict[str, Any]) -> list[StepSpec]:
        key = "tasks" if "tasks" in data else "steps"
        value = data.get(key)
        if not isinstance(value, list) or not value:
            raise self._document.expected((key,), KEYS[key], value)
        return [self._step(key, place, item) for place, item in enumerate(value)]

    def _step(self, key: str, place: int, item: Any) -> StepSpec:
        keys = (key, place)
        if not isinstance(item, dict):
            word = "`task`" if key == "tasks" else "`task` or `step`"
            raise self._document.expected(keys, f"a mapping with the key {word}", item)
        for name in item:
            if not isinstance(name, str):
                raise self._document.expected(keys, "keys that are texts", name)
        kind, registered, where, fields = self._what(keys, item)
        spec = StepSpec(
            kind,
            *(registered, where, fields),
            {name: self._document.at(*keys, name) for name in fields if name in item},
            folder=self._document.folder,
        )
        self._name(keys, spec)
        spec.after, spec.after_where = self._after(keys, item), self._document.at(*keys, "after")
        return spec

    def _what(self, keys: Keys, item: dict[str, Any]) -> tuple[Literal["task", "step"], str, str, dict[str, Any]]:
        """Read which class an entry asks for, and its fields."""
        words = [word for word in WORDS if word in item]
        if len(words) > 1:
            raise ConfigurationError(
                f"{self._document.at(*keys, words[1])}: an entry is one of {ticked(WORDS)}; this one has "
                f"{ticked(words)}."
            )
        word = words[0] if words else "task" if keys[0] == "tasks" else "step"
        fields = {name: value for name, value in item.items() if name not in (word, "after")}
        where = self._document.at(*keys, word)
        if word in ("task", "step"):
            return word, self._registered(keys, word, item), where, fields  # type: ignore[return-value]  # one of the two
        return "step", word, where, self._unfolded(keys, word, item[word], fields)

    def _registered(self, keys: Keys, word: str, item: dict[str, Any]) -> str:
        value = item.get(word)
        if isinstance(value, str):
            return self._fixed((*keys, word), value)
        near = did_you_mean(word, item) if word not in item else ""
        error = self._document.expected((*keys, word), f"the name of a {word} (see `limbeck {word}s`)", value)
        raise ConfigurationError(f"{error}{near}")

    def _unfolded(self, keys: Keys, word: str, value: Any, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of `router: {…}` and `join: {…}`."""
        if not isinstance(value, dict):
            expected = "a condition for each step that follows" if word == "router" else "its fields, such as `group`"
            raise self._document.expected((*keys, word), f"a mapping: {expected}", value)
        if word == "router":
            # TOML has no null, so there an empty text means the same: the rows that nobody else takes.
            return {"routes": {name: condition or None for name, condition in value.items()}, **fields}
        return {**value, **fields}

    def _name(self, keys: Keys, spec: StepSpec) -> None:
        name = spec.fields.get("name", "")
        if not isinstance(name, str):
            raise self._document.expected((*keys, "name"), "a text", name)
        if name:
            self._fixed((*keys, "name"), name)
        else:
            spec.fields.pop("name", None)

    def _after(self, keys: Keys, item: dict[str, Any]) -> list[str] | None:
        value = item.get("after")
        if isinstance(value, str):
            return [value]
        if value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value)):
            return value
        raise self._document.expected((*keys, "after"), "the name of a step, or a list of names", value)

    # The ends

    def _ends(self, data: Mapping[str, Any], steps: list[StepSpec]) -> list[StepSpec]:
        given, output = self._given(data), self._text(data, "output")
        folder = self._document.folder
        if given is not None:
            steps = [short_input(given, self._document.at("input"), folder=folder), *steps]
        if output is not None:
            steps = [*steps, short_output(output, self._document.at("output"), folder=folder)]
        return steps

    def _given(self, data: Mapping[str, Any]) -> str | list[Row] | None:
        value = data.get("input")
        if not isinstance(value, str | list | None):
            raise self._document.expected(("input",), KEYS["input"], value)
        for place, row in enumerate(value if isinstance(value, list) else ()):
            if not isinstance(row, dict):
                raise self._document.expected(("input", place), "a row: a mapping of column names to values", row)
            for column in row:
                if not isinstance(column, str):
                    raise self._document.expected(("input", place), "column names that are texts", column)
        return value


# Settings


def _set(recipe: Recipe, argument: str) -> None:
    key, text = split_setting(argument)
    flag = f"--set {key}"
    word, _, path = key.partition(".")
    if word in ("steps", "tasks") and "." in key:
        spec, rest = _addressed(recipe.steps, word, path, flag)
        spec.settings.append(Setting(flag, tuple(rest.split(".")), text))
        if rest == "name":
            spec.fields["name"], spec.origins["name"] = text, flag
    elif key == "name":
        recipe.name = text
    elif key == "output":
        recipe.write_to(text, flag)
    elif key == "input":
        value = read_value(text, flag)
        recipe.read_from(value if isinstance(value, list) else text, flag)
    elif key in RUN_KEYS:
        raise ConfigurationError(f"{flag}: this has an option of its own, `--{key.replace('_', '-')}`.")
    else:
        raise ConfigurationError(
            f"{flag}: there is no such key.{did_you_mean(key, KEYS)} "
            "The keys are `steps.NAME.FIELD`, `name`, `input` and `output`."
        )


def _addressed(steps: list[StepSpec], word: str, path: str, flag: str) -> tuple[StepSpec, str]:
    """The step that `NAME.FIELD` begins with, and the rest. A name may hold dots: the longest one counts."""
    names = _names(steps)
    matching = [name for name in names if path.startswith(f"{name}.") and len(path) > len(name) + 1]
    if not matching:
        first = path.partition(".")[0]
        raise ConfigurationError(
            f"{flag}: expected {word}.NAME.FIELD, with one of the names {ticked(names)}.{did_you_mean(first, names)}"
        )
    name = max(matching, key=len)
    return names[name], path.removeprefix(f"{name}.")


def _names(steps: list[StepSpec]) -> dict[str, StepSpec]:
    """Each step by its name; an unnamed repeat gets `-2`.

    Raises:
        ConfigurationError: two steps were given the same name.
    """
    names: dict[str, StepSpec] = {}
    for spec in sorted(steps, key=lambda spec: ("name" not in spec.fields, spec.short is not None)):  # given ones first
        default = str(spec.fields.get("name", spec.default_name))
        name, count = default, 1
        while name in names and "name" not in spec.fields:
            count += 1
            name = f"{default}-{count}"
        if name in names:
            kind = "task" if spec.kind == names[name].kind == "task" else "step"
            raise ConfigurationError(
                f"{spec.origin('name')}: another {kind} is named {name!r} already; names are unique in a run."
            )
        names[name] = spec
    return names


def name_steps(steps: list[StepSpec]) -> None:
    """Give every step its name."""
    for name, spec in _names(steps).items():
        spec.name = name
