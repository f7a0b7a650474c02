"""Entries to objects: the import, behind a guard, and the check of what was got."""

from __future__ import annotations

import importlib
import re
import sys
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from ..errors import PluginContractError, PluginLoadError
from .index import GROUPS, installed_version, normalise
from .problems import describe_failure

if TYPE_CHECKING:
    from .index import Entry


def import_entry(entry: Entry) -> Any:
    """Import the object an entry names, attributing any failure to its distribution.

    Raises:
        PluginLoadError: the module or the attribute cannot be had.
    """
    module_name, _, attributes = entry.target.partition(":")
    try:
        target: Any = importlib.import_module(module_name)
        for attribute in filter(None, attributes.split(".")):
            target = getattr(target, attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 - the isolation boundary of loading: one plugin, SystemExit included
        cause = exc if isinstance(exc, Exception) else None
        raise PluginLoadError(
            distribution=entry.distribution,
            version=entry.version,
            target=entry.target,
            cause=describe_failure(exc),
            hint=_compatibility(entry),
        ) from cause
    return target


_CORE = re.compile(r"limbeck-core(?![a-z0-9-])")


def _compatibility(entry: Entry) -> str | None:
    """The plugin's requirement on the core, where the installed core does not meet it; else None."""
    installed = installed_version("limbeck-core")
    if installed is None:
        return None
    wanted = [requirement for requirement in entry.requirements if _CORE.match(normalise(requirement))]
    for requirement in wanted:
        if not _meets(installed, requirement):
            return f"It requires `{requirement}`, and limbeck-core {installed} is installed."
    return None


def _meets(version: str, requirement: str) -> bool:
    """Tell whether `version` meets the requirement; False where this is not known: the reader of both may judge."""
    try:
        from packaging.requirements import Requirement

        return Requirement(requirement).specifier.contains(version, prereleases=True)
    except Exception:  # noqa: BLE001 - no `packaging`, or an odd requirement; the failure itself must still be told
        return False


def check_loaded(entry: Entry, target: Any) -> None:
    """Raise `PluginContractError` unless `target` is what the entry's group must hold."""
    kind = next((kind for kind, group in GROUPS.items() if group == entry.group), None)
    if kind is not None:
        check_contract(kind, target, f"The {kind} {entry.name!r} of {entry.distribution} {entry.version}")


def check_contract(kind: str, target: Any, subject: str) -> None:
    """Raise `PluginContractError`, naming all that is wrong, unless `target` is a class of `kind`.

    A tool may be a function, and an object of its own, as well.
    """
    if kind == "tool" and isinstance(target, FunctionType | MethodType):
        return
    if kind != "tool" and not isinstance(target, type):
        raise PluginContractError(subject, [f"it must be a class, and `{path_of(target)}` is {type(target).__name__}"])
    from ..protocols import class_faults

    faults = class_faults(kind, target)
    if faults:
        raise PluginContractError(subject, faults)


def is_imported_as(cls: type, target: str) -> bool:
    """Tell whether `target` names `cls`, as far as this is known without importing anything."""
    module_name, _, attribute = target.partition(":")
    module = sys.modules.get(module_name)
    if module is None:
        return False
    if vars(module).get(attribute) is cls:
        return True
    # A lazy module is asked only for a class of that name, which is then imported already.
    return attribute == cls.__name__ and getattr(module, attribute, None) is cls


def path_of(target: Any) -> str:
    """`module:qualname`, as an entry point would write it."""
    return f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', type(target).__qualname__)}"
