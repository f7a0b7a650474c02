"""The two forms of a task: one call a row, or a conversation. A class has one of them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BeforeValidator

from ..errors import PluginContractError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from .task import ModelTask

_LATER = ("repair", "fallback", "max_turns")
_ONE_CALL = ("format_input", "format_output", "format_generation")
_ARGUMENTS = ("input", "rng")


def check_form(cls: type, base: type) -> None:
    """See that a task class is of one form, and abstract in none that it does not need.

    Args:
        base: the class in which both forms are declared.

    Raises:
        PluginContractError: it has both, or its `converse` can be none.
    """
    own = [name for name in _ONE_CALL if _is_own(getattr(cls, name), getattr(base, name))]
    abstract = set(getattr(cls, "__abstractmethods__", ()))
    if getattr(cls, "converse", None) is not None:
        if getattr(cls, "model_kind", "llm") != "llm":
            raise _fault(cls, "it defines `converse`, and has no LLM to converse with. Make it a `Task`")
        if own:
            raise _fault(cls, f"it defines `converse` and `{own[0]}`: a task asks in one form. Keep one of them")
        arguments_of_converse(cls)
        abstract -= set(_ONE_CALL)
    elif "format_generation" in own:
        abstract -= {"format_output"}
    cls.__abstractmethods__ = frozenset(abstract)  # type: ignore[attr-defined]  # which `abc` reads again


def _is_own(method: Any, default: Any) -> bool:
    return method is not default and not getattr(method, "__isabstractmethod__", False)


def check_complete(cls: type) -> None:
    """See that a task that is about to be made asks in some form.

    Raises:
        PluginContractError: it asks in none.
    """
    missing = [name for name in _ONE_CALL if name in getattr(cls, "__abstractmethods__", ())]
    if missing:
        raise _fault(cls, f"it lacks {' and '.join(map('`{}`'.format, missing))}; or `converse`, in their place")


def arguments_of_converse(cls: type) -> frozenset[str]:
    """The arguments that a task's `converse` takes, of `input` and `rng`.

    Raises:
        PluginContractError: it takes another one, or is no method that could be a generator.
    """
    method: Any = inspect.getattr_static(cls, "converse")
    if isinstance(method, staticmethod | classmethod) or not callable(method):
        raise _fault(cls, "`converse` must be a method: `def converse(self, input, rng)`")
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise _fault(cls, "`converse` must be a plain generator, not `async`; what is awaited is given to `do`")
    names = list(inspect.signature(method).parameters)[1:]
    others = [name for name in names if name not in _ARGUMENTS]
    if others:
        raise _fault(cls, f"`converse` takes `input` and `rng`, or less; not {', '.join(map(repr, others))}")
    return frozenset(names)


def _fault(cls: type, what: str) -> PluginContractError:
    return PluginContractError(f"`{cls.__module__}.{cls.__qualname__}`", [what])


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


def noted_config(task: ModelTask) -> dict[str, Any]:
    """A task's configuration as it is noted in a ledger; a field that came later stands there only where it is used."""
    config = task.model_dump(mode="json", fallback=str)
    for name in _LATER:
        field = type(task).model_fields.get(name)  # only tasks with an LLM have them
        if field is not None and config[name] == field.get_default(call_default_factory=True):
            del config[name]
    return config
