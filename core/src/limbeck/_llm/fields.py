"""Fields of tasks that hold a model, of each kind: an object, `"provider/model"`, or `{"provider": …, **fields}`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator, PlainSerializer

if TYPE_CHECKING:
    from ..types import ModelKind


def _resolve(kind: ModelKind, value: Any) -> Any:
    from .resolving import resolve_model

    return resolve_model(kind, value)


def _config(kind: ModelKind, value: Any) -> Any:
    from .resolving import config_of

    return config_of(value, kind)


EmbedderField: TypeAlias = Annotated[
    Any, BeforeValidator(partial(_resolve, "embedder")), PlainSerializer(partial(_config, "embedder"))
]
ScorerField: TypeAlias = Annotated[
    Any, BeforeValidator(partial(_resolve, "scorer")), PlainSerializer(partial(_config, "scorer"))
]
ImageGeneratorField: TypeAlias = Annotated[
    Any, BeforeValidator(partial(_resolve, "image_generator")), PlainSerializer(partial(_config, "image_generator"))
]
