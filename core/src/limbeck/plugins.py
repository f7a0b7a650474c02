"""What is installed, for programs that list, load or diagnose plugins: what `limbeck plugins` is made of.

    from limbeck.plugins import listings, problems

    for listing in listings("task"):
        print(listing.qualified, listing.version, listing.status)

Names are metadata: only `get`, `load` and `load_hooks` import a plugin. What one does wrong is a `Problem` of its
distribution. The module works where pydantic does not.

- `listings`: the names of one kind, with their state. `declared`, `disabled`: the entries behind them, also those
  of groups without a kind (`COMMANDS_GROUP`, `HOOKS_GROUP`). `GROUPS`: the groups of the kinds.
- `decide`: who gets a name that several offer, and why. `known_pack`: the official package that has a name.
- `get`, `load`, `load_hooks`: the objects. `contract_error`: for whoever loads an entry and finds something else.
- `problems`, `malformed_metadata`: what is wrong, and whose fault it is.

All of it is of the registry of the context: the process's own, unless `limbeck.testing.registry` has put another in
its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry.index import COMMANDS_GROUP, GROUPS, HOOKS_GROUP, Entry, Kind, known_pack, malformed_metadata
from ._registry.precedence import Decision, decide
from ._registry.problems import Problem
from ._registry.registry import Listing, default_registry
from .errors import PluginContractError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "COMMANDS_GROUP",
    "GROUPS",
    "HOOKS_GROUP",
    "Decision",
    "Entry",
    "Kind",
    "Listing",
    "Problem",
    "contract_error",
    "decide",
    "declared",
    "disabled",
    "get",
    "known_pack",
    "listings",
    "load",
    "load_hooks",
    "malformed_metadata",
    "problems",
]


def listings(kind: Kind) -> list[Listing]:
    """Every name of a kind that is installed or registered, sorted, with its state. Imports no plugin."""
    return default_registry().listings(kind)


def declared(group: str | None = None) -> list[Entry]:
    """The usable names that distributions declare in an entry-point group, or in all. Imports no plugin."""
    entries = default_registry().index.entries
    return [entry for each in ([group] if group is not None else entries) for entry in entries[each]]


def disabled() -> list[tuple[Entry, str]]:
    """The declared names that the environment keeps out, each with the variable that does. Imports no plugin."""
    return list(default_registry().index.disabled)


def get(kind: Kind, name: str) -> type[Any]:
    """The class that a name means; as `get_task`, `get_llm` and `get_step`, for a kind that is known at run time.

    Raises:
        UnknownNameError, AmbiguousNameError, PluginLoadError, PluginContractError: as these.
    """
    return default_registry().get(kind, name)  # type: ignore[no-any-return]  # a plugin's class


def load(entry: Entry) -> Any:
    """Import what an entry names, once; a failure is a problem, and raised again.

    Raises:
        PluginLoadError: it cannot be imported. PluginContractError: it is not what its group asks for.
    """
    return default_registry().load(entry)


def load_hooks() -> None:
    """Import the hook plugins, as the first run does. What is wrong with one is a problem, and a warning.

    Raises:
        RegistryError: something is wrong with one, under `LIMBECK_STRICT_PLUGINS`.
    """
    _ = default_registry().hooks


def contract_error(entry: Entry, faults: Sequence[str], *, what: str) -> PluginContractError:
    """The error to raise where what an entry names is not what it should be. It is noted as a problem.

    Args:
        faults: a sentence for each, without the full stop. what: what the name is of, such as "command".
    """
    error = PluginContractError(f"The {what} {entry.name!r} of {entry.distribution} {entry.version}", faults)
    problem = Problem("contract", entry.distribution, entry.version, entry.target, str(error))
    default_registry().report.record(problem, error=error)
    return error


def problems() -> list[Problem]:
    """What is wrong with installed plugins as far as it is known, in the order it was found. Imports no plugin."""
    registry = default_registry()
    _ = registry.index  # the scan fills the report
    return registry.report.all()
