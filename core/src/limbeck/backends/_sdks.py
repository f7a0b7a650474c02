"""A provider's SDK, imported when it is first used."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, MissingDependencyError, described

if TYPE_CHECKING:
    from types import ModuleType


def import_sdk(name: str, *, defines: str, needed_by: str, requirement: str) -> ModuleType:
    """The module `name`, once it is known to be the SDK and not a file of the user's own by that name.

    Args:
        name: the module. defines: a name that the SDK has. needed_by: who needs it, for messages.
        requirement: what to give to `pip install`.

    Raises:
        MissingDependencyError: it is not installed.
        ConfigurationError: a file or folder of another kind hides it, or it cannot be imported.
    """
    module = sys.modules.get(name) or _imported(name, needed_by, requirement)
    if not hasattr(module, defines):
        raise _hidden(name, getattr(module, "__file__", None), needed_by)
    return module


def _imported(name: str, needed_by: str, requirement: str) -> ModuleType:
    # Looked at before it is run: a script of the user's own may do anything. SDKs are packages.
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is None:
        raise _hidden(name, spec.origin, needed_by)
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        package = (exc.name or name).partition(".")[0]
        raise MissingDependencyError(package, needed_by=needed_by, requirement=requirement) from exc
    except Exception as exc:  # a package may raise anything; a file that hides one of its own does
        where = spec.origin if spec is not None else None
        raise ConfigurationError(
            f"{needed_by} needs the package `{name}`, whose import from {where!r} fails: {described(exc)}."
        ) from exc


def _hidden(name: str, file: str | None, needed_by: str) -> ConfigurationError:
    return ConfigurationError(
        f"{needed_by} needs the package `{name}`, and {file or f'a folder {name!r} without it'!r} hides it. "
        "Rename or move that, then run again."
    )
