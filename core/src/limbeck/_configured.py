"""The pydantic base of everything that is configured by fields."""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from .errors import ConfigurationError, LimbeckWarning, did_you_mean


def _let_pydantic_look_for_plugins() -> None:
    """Have pydantic read the entry points of every distribution now, as it does once, unguarded, at its first class.

    A malformed file, of whatever package, makes that raise; the next time it goes on without
    its plugins. So here it costs a warning, and not whoever makes the first task.
    """
    try:
        create_model("Probe")
    except Exception as exc:  # malformed metadata raises anything
        from ._registry.index import malformed_metadata

        problems = malformed_metadata()
        if not problems:
            raise
        found = "; ".join(map(str, problems))
        try:
            create_model("Probe")
        except Exception:
            raise ConfigurationError(
                f"pydantic cannot be used, because it trips over malformed package metadata: {found}. "
                "Mend or uninstall that, or set PYDANTIC_DISABLE_PLUGINS=1."
            ) from exc
        warnings.warn(
            f"pydantic goes on without its plugins, because it tripped over malformed package metadata: {found}. "
            "Mend or uninstall that; PYDANTIC_DISABLE_PLUGINS=1 silences this.",
            LimbeckWarning,
            stacklevel=2,
        )


_let_pydantic_look_for_plugins()


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
