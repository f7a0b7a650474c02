"""The arguments of a typed function: their JSON Schema, and the values that a model's JSON stands for."""

from __future__ import annotations

import functools
import inspect
import json
import typing
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from .._docstrings import names_in
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from ..types import JSONSchema

_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the titles that only repeat names, and what has no form in JSON; both cost tokens."""

    ignored_warning_kinds: set[Any] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic's

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False


class Arguments:
    """The arguments of a function.

    Args:
        function: with a type for each parameter. name: the tool's, for messages.

    Raises:
        ConfigurationError: a parameter has no type, or one that JSON has no form for.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._name = name
        self._parameters = list(inspect.signature(function).parameters.values())
        self._model = self._model_of(function)
        self.schema = self._schema()

    def _model_of(self, function: Callable[..., Any]) -> type[BaseModel]:
        """The model of a call: a field a parameter, under another name, for a parameter may be called `schema`."""
        types = _types_of(function, self._name)
        meanings = names_in(inspect.getdoc(function), [each.name for each in self._parameters])
        fields: dict[str, Any] = {}
        for place, parameter in enumerate(self._parameters):
            if parameter.kind in _SEVERAL:
                raise self._refused(f"its parameter `{parameter}` has no name of its own. Name each parameter")
            if parameter.name not in types:
                raise self._refused(f"its parameter `{parameter.name}` has no type. A model is told what it may give")
            fields[f"a{place}"] = _field(parameter, types[parameter.name], meanings.get(parameter.name))
        config = ConfigDict(extra="forbid", protected_namespaces=())
        try:
            return create_model(self._name, __config__=config, **fields)
        except (PydanticSchemaGenerationError, PydanticUserError) as exc:
            raise self._refused(_first_line(exc)) from exc

    def _schema(self) -> JSONSchema:
        try:
            schema = self._model.model_json_schema(schema_generator=_WithoutTitles)
        except PydanticUserError as exc:
            raise self._refused(_first_line(exc)) from exc
        schema.pop("title", None)
        return schema

    def _refused(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"The function of the tool `{self._name}` cannot be called by a model: {why}.")

    def read(self, given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the keyword arguments.

        Raises:
            ValueError: they do not fit; the message says which, and why.
        """
        try:
            read = self._model.model_validate_json(json.dumps(dict(given)))
        except ValidationError as exc:
            raise ValueError(_faults(exc)) from exc
        values = [(each, getattr(read, f"a{place}")) for place, each in enumerate(self._parameters)]
        positional = [value for each, value in values if each.kind is each.POSITIONAL_ONLY]
        return positional, {each.name: value for each, value in values if each.kind is not each.POSITIONAL_ONLY}


def _types_of(function: Any, name: str) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function).__call__
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as exc:
        raise ConfigurationError(
            f"The types of the function of the tool `{name}` cannot be read: {exc}. They must be known where it is "
            "defined, not only to a type checker."
        ) from exc


def _field(parameter: inspect.Parameter, annotation: Any, meaning: str | None) -> Any:
    default = parameter.default
    if isinstance(default, FieldInfo):
        return Annotated[annotation, default], Field(alias=parameter.name)
    said: dict[str, Any] = {} if meaning is None or _says_what_it_is(annotation) else {"description": meaning}
    given = {} if default is parameter.empty else {"default": default}
    return annotation, Field(alias=parameter.name, **said, **given)


def _says_what_it_is(annotation: Any) -> bool:
    return any(isinstance(part, FieldInfo) and part.description for part in getattr(annotation, "__metadata__", ()))


def _faults(exc: ValidationError) -> str:
    errors = exc.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"`{'.'.join(map(str, each['loc'])) or 'the arguments'}`: {each['msg']}" for each in errors[:5])


def _first_line(exc: Exception) -> str:
    return str(exc).strip().split("\n", 1)[0].rstrip(".")
