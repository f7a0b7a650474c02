"""The models of fields: what a field may be given as, and how it is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._configured import Configured
from ..errors import ConfigurationError
from .model import secret_fields

if TYPE_CHECKING:
    from ..types import ModelKind

WORDS: dict[ModelKind, str] = {
    "llm": "LLM",
    "embedder": "embedder",
    "scorer": "scorer",
    "image_generator": "image generator",
}
"""What each kind of model is called in a sentence."""


def model_kind_of(task: Any) -> ModelKind:
    """The kind of model that a task, or its class, holds, in the field of that name; an object may be anybody's."""
    kind: ModelKind = getattr(task, "model_kind", "llm")
    return kind


def config_of(model: Any, kind: ModelKind = "llm") -> dict[str, Any]:
    """The configuration of `model` as plain JSON: its registered name and the fields that were set, never a secret."""
    from .._registry.registry import default_registry

    cls = type(model)
    name = default_registry().name_of(kind, cls) or f"{cls.__module__}:{cls.__qualname__}"
    if not isinstance(model, Configured):
        return {"provider": name}
    return {"provider": name, **model.model_dump(mode="json", exclude_unset=True, exclude=set(secret_fields(model)))}


def resolve_model(kind: ModelKind, value: Any) -> Any:
    """Turn what a field of a task may be given as into a backend.

    Args:
        kind: of the model.
        value: an object with the methods of a backend, a string `"provider/model"`, or the
            mapping that `config_of` makes.

    Raises:
        UnknownNameError: nothing has the provider's name.
        ConfigurationError: the fields do not fit the provider.
        PluginContractError: the object is not a backend.
    """
    from ..protocols import check_model

    if isinstance(value, str):
        value = _from_string(kind, value)
    elif isinstance(value, dict):
        value = _from_mapping(kind, value)
    if isinstance(value, type):
        raise ConfigurationError(
            f"`{kind}` was given the class `{value.__name__}`; give it an instance, `{value.__name__}(…)`."
        )
    check_model(kind, value)
    return value


def _from_string(kind: ModelKind, text: str) -> Any:
    from .._registry.registry import default_registry

    registry = default_registry()
    first, _, rest = text.partition("/")
    second, _, model = rest.partition("/")
    if rest and registry.declares(kind, f"{first}/{second}"):
        name = f"{first}/{second}"
    else:
        name, model = first, rest
    cls = registry.get(kind, name)
    if not model:
        try:
            return cls()
        except (TypeError, ValueError) as exc:
            message = f"The {WORDS[kind]} {text!r} names no model; write '{name}/<model>'."
            raise ConfigurationError(message) from exc
    build = getattr(cls, "from_model", None)
    return build(model) if build else cls(model=model)


def _from_mapping(kind: ModelKind, config: dict[str, Any]) -> Any:
    from .._registry.registry import default_registry

    fields = dict(config)
    provider = fields.pop("provider", None)
    if not isinstance(provider, str):
        raise ConfigurationError(
            f"{'A' if kind == 'scorer' else 'An'} `{kind}` given as a mapping needs the key `provider`, "
            "the name of the backend; "
            f"it has {', '.join(map(repr, config)) or 'no keys'}."
        )
    _, slash, model = provider.partition("/")
    if slash and not default_registry().declares(kind, provider):
        built = _from_string(kind, provider)
        given = built.model_dump(exclude_unset=True) if isinstance(built, Configured) else {"model": model}
        return type(built)(**{**given, **fields})
    return default_registry().get(kind, provider)(**fields)
