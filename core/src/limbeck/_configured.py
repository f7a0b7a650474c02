"""The pydantic base of everything that is configured by fields."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from .errors import ConfigurationError, LimbeckWarning, did_you_mean


class Configured(BaseModel):
    """A model that refuses fields it does not have, and says which it has."""

    # `defer_build`: fetching a class by name must not pay for its validator.
    # `hide_input_in_errors`: a field that is missing would show all the others, keys among them.
    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        defer_build=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )

    _kind_of_class: ClassVar[str] = ""
    """"task", "llm" or "step", for an error that says where a field belongs."""

    @classmethod
    def model_rebuild(cls, **options: Any) -> bool | None:
        """As pydantic's; it is where a deferred class is built."""
        _let_pydantic_look_for_plugins()
        options["_parent_namespace_depth"] = options.get("_parent_namespace_depth", 2) + 1  # this frame
        return super().model_rebuild(**options)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, values: Any) -> Any:
        if isinstance(values, dict):
            known = {field.alias or name for name, field in cls.model_fields.items()} | set(cls.model_fields)
            for name in values:
                if name not in known:
                    from ._elsewhere import field_elsewhere

                    near = field_elsewhere(cls._kind_of_class, str(name)) or did_you_mean(str(name), known)
                    raise ConfigurationError(
                        f"`{cls.__name__}` has no field {name!r}.{near} Its fields are {', '.join(sorted(known))}."
                    )
        return values


@cache
def _let_pydantic_look_for_plugins() -> None:
    """Guard the one time that pydantic reads the entry points of every distribution: at the first class it builds.

    A malformed file, of whatever package, makes that raise; afterwards pydantic goes on
    without its plugins. So here it costs a warning, and not whoever makes the first task.

    Raises:
        ConfigurationError: pydantic does not go on.
    """
    try:
        create_model("Probe")
    except Exception as exc:
        from ._registry.index import malformed_metadata

        problems = malformed_metadata()
        if not problems:
            raise
        found = f"trips over malformed package metadata: {'; '.join(map(str, problems))}"
        remedy = "Mend or uninstall that, or set PYDANTIC_DISABLE_PLUGINS=1."
        try:
            create_model("Probe")
        except Exception:  # noqa: BLE001 - whatever it is, the first failure says more
            raise ConfigurationError(f"pydantic {found}. {remedy}") from exc
        warnings.warn(f"pydantic {found}. It goes on without its own plugins. {remedy}", LimbeckWarning, stacklevel=2)
