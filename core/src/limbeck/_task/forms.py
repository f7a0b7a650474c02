"""The two forms of a task: one call a row, or a conversation. A class has one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BeforeValidator

from ..errors import PluginContractError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from .task import Task

_LATER = ("repair", "fallback", "max_turns")
_ONE_CALL = ("format_input", "format_output", "format_generation")


def check_form(cls: type, base: type) -> None:
    """See that a task class is of one form, and abstract in none that it does not need.

    Args:
        base: the class in which both forms are declared.

    Raises:
        PluginContractError: it has both.
    """
    own = [name for name in _ONE_CALL if getattr(cls, name) is not getattr(base, name)]
    abstract = set(getattr(cls, "__abstractmethods__", ()))
    if getattr(cls, "converse", None) is not None:
        if own:
            raise PluginContractError(
                f"`{cls.__module__}.{cls.__qualname__}`",
                [f"it defines `converse` and `{own[0]}`: a task asks in one form. Keep one of them"],
            )
        abstract -= set(_ONE_CALL)
    elif "format_generation" in own:
        abstract -= {"format_output"}
    cls.__abstractmethods__ = frozenset(abstract)  # type: ignore[attr-defined]  # which `abc` reads again


def is_llm_field(field: FieldInfo) -> bool:
    """Tell whether a field is declared as an `LLMField`, perhaps as an optional one."""
    from .task import _resolve

    def resolves(annotation: Any, metadata: Any) -> bool:
        if any(isinstance(each, BeforeValidator) and each.func is _resolve for each in metadata):
            return True
        return any(resolves(part, getattr(part, "__metadata__", ())) for part in get_args(annotation))

    return resolves(field.annotation, field.metadata) and not _is_a_list(field.annotation)


def _is_a_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is list


def noted_config(task: Task) -> dict[str, Any]:
    """A task's configuration as it is noted in a ledger; a field that came later stands there only where it is used."""
    config = task.model_dump(mode="json", fallback=str)
    for name in _LATER:
        if config[name] == type(task).model_fields[name].get_default(call_default_factory=True):
            del config[name]
    return config
