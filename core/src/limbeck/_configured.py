"""The pydantic base of everything that is configured by fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from .errors import ConfigurationError, did_you_mean


class Configured(BaseModel):
    """A model that refuses fields it does not have, and says which it has."""

    # `defer_build`: fetching a class by name must not pay for its validator.
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), defer_build=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, values: Any) -> Any:
        if isinstance(values, dict):
            known = {field.alias or name for name, field in cls.model_fields.items()} | set(cls.model_fields)
            for name in values:
                if name not in known:
                    raise ConfigurationError(
                        f"`{cls.__name__}` has no field {name!r}.{did_you_mean(str(name), known)} "
                        f"Its fields are {', '.join(sorted(known))}."
                    )
        return values
